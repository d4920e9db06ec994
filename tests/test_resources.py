"""Cost of a block: its time and its anonymous memory, not that of memmaps."""

import time

import numpy as np
import pytest

from mmfer.resources import STATUS, measured


def test_time_is_that_of_the_block():
    with measured() as cost:
        time.sleep(0.2)
    assert 0.15 < cost["seconds"] < 2


@pytest.mark.skipif(not STATUS.exists(), reason="memory is read from /proc, which this system lacks")
def test_arrays_count_and_memmaps_do_not(tmp_path):
    size = 256 << 20
    np.save(tmp_path / "a.npy", np.ones(size, np.uint8))
    with measured() as base:
        pass
    with measured() as mapped:
        np.load(tmp_path / "a.npy", mmap_mode="r").sum()
    with measured() as held:
        array = np.ones(size, np.uint8)
        time.sleep(0.1)
    assert mapped["peak_mib"] - base["peak_mib"] < 64
    assert held["peak_mib"] - base["peak_mib"] > 200
    assert array.size == size
