"""Fixtures that many tests share."""

import os

# Before torch and numpy read it: two processes of tests with two threads each would wait for one another.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pytest
from hypothesis import settings

# A busy machine is no failure; the same examples on every machine.
settings.register_profile("mmfer", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("mmfer")

LONG = [  # files that take longest, which start first, so that neither of two processes waits for the other at the end
    *("pipeline/test_stages", "use/test_export", "pipeline/test_params", "training/test_processes"),
    *("training/test_campaign", "use/test_serving", "use/test_demo_server", "training/test_train", "test_parallel"),
    *("tracking/test_compared", "tracking/test_tracking", "pipeline/test_remote", "report/test_results"),
    "use/test_web",
]


def pytest_configure(config):
    """Files to the processes of pytest-xdist in the order of the tests; not those of the most tests first."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    """The files of LONG first."""
    places = {f"tests/{name}.py": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(LONG)))


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


@pytest.fixture(scope="session")
def face_data(tmp_path_factory):
    """A data folder of rendered faces and some noise: raw, clean, augmented, features (tests/faces.py). Only to read.

    Faces are turned, aligned and, in half of the copies, mirrored. `tests.faces.write_faces` writes one to be changed,
    or with other parameters; `tests.faces.rendered_faces` has the images and the renderer's true landmarks.
    """
    from tests.faces import write_faces

    return write_faces(tmp_path_factory.mktemp("faces"))


@pytest.fixture(scope="session")
def shape_predictor():
    """dlib's own reading of the 68-point model."""
    import dlib

    from mmfer.face.shape_predictor import model_file

    return dlib.shape_predictor(str(model_file()))
