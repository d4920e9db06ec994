"""What is rejected, and with what it goes on."""

import numpy as np
import pytest

from mmfer.config import CleanParams
from mmfer.data.faceset import digests, new_faceset, new_index, write_array
from mmfer.errors import MmferError
from mmfer.face.clean import kept_shares, write_clean


def test_what_is_no_face_is_rejected_with_the_plain_frame_and_finite_landmarks(tmp_path, rng, rendered):
    noise = rng.integers(0, 256, (5, 48, 48), dtype=np.uint8)
    images = np.concatenate([rendered[0][:5], noise])
    index = new_index([str(i) for i in range(10)], [0] * 10, "train", digest=digests(images))
    with new_faceset(tmp_path / "raw", "d", ["a"], index, {}) as folder:
        write_array(folder, "images", images)
    clean = write_clean(tmp_path / "raw", tmp_path / "clean", CleanParams(), 1)
    assert not clean.index["kept"][5:].any()
    assert np.isfinite(clean.landmarks).all()
    assert (clean.transforms[5:] == np.eye(2, 3)).all()
    found = int(clean.index["kept"].sum())
    assert kept_shares(clean).to_dict("records") == [
        {"split": "train", "class": "a", "images": 10, "kept": pytest.approx(found / 10)}
    ]


def test_a_threshold_that_keeps_no_face_of_a_split_is_refused(tmp_path, rng, rendered):
    noise = rng.integers(0, 256, (5, 48, 48), dtype=np.uint8)
    images = np.concatenate([rendered[0][:5], noise])
    index = new_index([str(i) for i in range(10)], [0] * 10, np.repeat(["train", "test"], 5), digest=digests(images))
    with new_faceset(tmp_path / "raw", "d", ["a"], index, {}) as folder:
        write_array(folder, "images", images)
    with pytest.raises(MmferError, match=r"clean\.threshold: 0\.0 keeps no face of the test images; lower it"):
        write_clean(tmp_path / "raw", tmp_path / "clean", CleanParams(), 1)
    assert not (tmp_path / "clean").exists()
