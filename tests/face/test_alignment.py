"""Alignment against geometry; detection on rendered faces and non-faces; the fall-back."""

import numpy as np
import pytest

from mmfer.config import CleanParams, SyntheticSource
from mmfer.data.faceset import digests, new_faceset, new_index, write_array
from mmfer.data.synthetic.faces import read_synthetic
from mmfer.errors import MmferError
from mmfer.face.alignment import (
    LEFT_EYE,
    NOSE_BASE,
    NOSE_DROP,
    RIGHT_EYE,
    alignment,
    find_faces,
    kept_shares,
    write_clean,
)
from mmfer.face.hog import move_landmarks


@pytest.fixture(scope="module")
def rendered():
    """Some rendered faces, no non-faces among them."""
    return read_synthetic(SyntheticSource(faces=70, identities=14, non_faces=0.0, occluders=0.0, label_noise=0.0), 2)


def test_alignment_brings_eyes_and_nose_to_their_places(rng):
    params = CleanParams()
    face = rng.uniform(10, 38, (1, 68, 2))
    face[:, RIGHT_EYE], face[:, LEFT_EYE], face[:, NOSE_BASE] = (15.0, 20.0), (33.0, 20.0), (24.0, 20 + 18 * NOSE_DROP)
    angle = np.deg2rad(25)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    spoilt = 1.3 * face @ turn.T + [3, -5]
    moved = move_landmarks(spoilt, alignment(spoilt, params))[0]
    half, middle = params.eye_distance_px / 2, 23.5
    np.testing.assert_allclose(moved[RIGHT_EYE].mean(0), [middle - half, params.eye_height_px], atol=1e-3)
    np.testing.assert_allclose(moved[LEFT_EYE].mean(0), [middle + half, params.eye_height_px], atol=1e-3)
    nose = params.eye_height_px + NOSE_DROP * params.eye_distance_px
    np.testing.assert_allclose(moved[NOSE_BASE], [middle, nose], atol=1e-3)


def test_rendered_faces_are_found_and_any_number_of_workers_finds_the_same(rendered):
    _, images, _ = rendered
    scores, landmarks = find_faces(images, CleanParams(), 1)
    assert np.isfinite(scores).mean() > 0.9
    again = find_faces(images, CleanParams(), 2)
    np.testing.assert_array_equal(again[0], scores)
    np.testing.assert_array_equal(again[1], landmarks)


def test_what_is_no_face_is_rejected_with_the_plain_frame_and_finite_landmarks(tmp_path, rng, rendered):
    noise = rng.integers(0, 256, (5, 48, 48), dtype=np.uint8)
    images = np.concatenate([rendered[1][:5], noise])
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


def test_a_higher_threshold_keeps_fewer(rendered):
    _, images, _ = rendered
    low, high = (find_faces(images[:30], CleanParams(threshold=t), 1)[0] for t in (-0.5, 2.0))
    assert np.isfinite(high).sum() < np.isfinite(low).sum()


def test_a_threshold_that_keeps_no_face_of_a_split_is_refused(tmp_path, rng, rendered):
    noise = rng.integers(0, 256, (5, 48, 48), dtype=np.uint8)
    images = np.concatenate([rendered[1][:5], noise])
    index = new_index([str(i) for i in range(10)], [0] * 10, np.repeat(["train", "test"], 5), digest=digests(images))
    with new_faceset(tmp_path / "raw", "d", ["a"], index, {}) as folder:
        write_array(folder, "images", images)
    with pytest.raises(MmferError, match=r"clean\.threshold: 0\.0 keeps no face of the test images; lower it"):
        write_clean(tmp_path / "raw", tmp_path / "clean", CleanParams(), 1)
    assert not (tmp_path / "clean").exists()
