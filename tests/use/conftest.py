"""Pictures that many tests here read."""

import numpy as np
import pytest

from tests.use.photos import write_video


@pytest.fixture
def colours():
    """A picture (40, 60, 3) of four even quarters."""
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:20, :30], picture[:20, 30:] = (200, 40, 40), (40, 180, 40)
    picture[20:, :30], picture[20:, 30:] = (40, 40, 220), (240, 240, 240)
    return picture


@pytest.fixture
def video(tmp_path):
    """Twelve frames that grow lighter."""
    path = tmp_path / "some.mp4"
    write_video(path, [np.full((64, 96, 3), 20 * n, np.uint8) for n in range(12)])
    return path
