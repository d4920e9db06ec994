"""Fixtures that many tests share."""

import numpy as np
import pytest


@pytest.fixture
def rng():
    """A seeded generator."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def rendered():
    """Images (70, 48, 48) of rendered faces, no non-faces among them; their index; their classes."""
    from mmfer.config import SyntheticSource
    from mmfer.data.synthetic.faces import read_synthetic

    source = SyntheticSource(faces=70, identities=14, non_faces=0.0, occluders=0.0, label_noise=0.0)
    index, images, classes = read_synthetic(source, 2)
    return images, index, classes
