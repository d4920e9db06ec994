"""Copies: one warp, the same bytes for any number of workers, no leaks."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from mmfer.config import AugmentParams
from mmfer.data.faceset import open_faceset
from mmfer.face import augment
from mmfer.face.augment import draws, looks, motions, random_copies
from mmfer.face.geometry import warp
from tests.tiny import write_tiny


@pytest.fixture
def smooth(rng):
    return np.stack([cv2.GaussianBlur(i, (0, 0), 3) for i in rng.integers(0, 256, (40, 48, 48), dtype=np.uint8)])


def test_warp_is_that_of_opencv(rng, smooth):
    transforms = motions(rng.random((40, augment.N_DRAWS)), AugmentParams()).astype(np.float32)
    options = {"flags": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REPLICATE}
    expected = [cv2.warpAffine(i, m, (48, 48), **options) for i, m in zip(smooth, transforms, strict=True)]
    assert np.abs(warp(smooth, transforms).astype(int) - expected).max() <= 2


def test_a_copy_is_one_warp_of_the_raw_image(tmp_path):
    data = write_tiny(tmp_path)
    raw, clean = open_faceset(data / "raw"), open_faceset(data / "clean")
    shifted = np.tile(np.array([[0.9, 0.1, 2.3], [-0.1, 0.9, 1.7]], np.float32), (60, 1, 1))
    clean = replace(clean, arrays=clean.arrays | {"transforms": shifted})
    params = AugmentParams(brightness=0, contrast=0, erase=0)
    parents, copies = np.arange(10), np.ones(10, dtype=int)
    images, transforms = random_copies(raw, clean, parents, copies, params)
    assert (images == warp(raw.images[:10], transforms)).all()
    twice = warp(warp(raw.images[:10], shifted[:10]), transforms)
    assert (images != twice).mean() > 0.2


def test_the_first_copy_is_the_plain_face_and_fewer_copies_are_the_first_of_more(tmp_path):
    few, many = write_tiny(tmp_path / "few", copies=3), write_tiny(tmp_path / "many", copies=6)
    few, many = open_faceset(few / "augmented"), open_faceset(many / "augmented")
    raw = open_faceset(tmp_path / "few/raw")
    plain = few.index["copy"] == 0
    assert (few.images[plain] == raw.images[few.index["parent"][plain]]).all()
    assert (few.images == many.images[many.index["copy"] < 3]).all()


def test_any_number_of_workers_and_any_chunks_give_the_same_bytes(tmp_path, monkeypatch):
    one = write_tiny(tmp_path / "one", workers=1)
    monkeypatch.setattr(augment, "CHUNK", 7)
    two = write_tiny(tmp_path / "two", workers=2)
    for name in ("augmented/images.npy", "augmented/transforms.npy", "features/hog.npy", "features/landmarks.npy"):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


def test_only_kept_training_faces_have_copies(tmp_path):
    index = open_faceset(write_tiny(tmp_path) / "augmented").index
    assert set(index["split"][index["copy"] > 0]) == {"train"}
    assert index["kept"][index["split"] == "train"].all()
    assert (index["split"] == "test").sum() == 12


def test_duplicates_of_held_out_faces_are_not_trained_on(tmp_path):
    clean = open_faceset(write_tiny(tmp_path) / "clean")
    clean.index.loc[[0, 1], "duplicate_of_test"] = True
    index, _, _ = augment.copy_index(clean, 3)
    assert not {0, 1} & set(index["parent"])


def test_copies_of_test_faces_do_not_validate(tmp_path):
    clean = open_faceset(write_tiny(tmp_path) / "clean")
    validating = clean.index.index[clean.index["split"] == "val"]
    clean.index.loc[validating[:2], "duplicate_of_test"] = True
    index, _, _ = augment.copy_index(clean, 3)
    assert set(index["parent"][index["split"] == "val"]) == set(validating[2:])


def test_in_cross_validation_rejected_faces_are_tested_but_not_trained_on(tmp_path):
    index = open_faceset(write_tiny(tmp_path, folds=4) / "augmented").index
    assert set(index["parent"]) == set(range(60))
    assert not index["trainable"][~index["kept"]].any()


def test_draws_depend_on_key_row_and_copy_alone():
    parents, copies = np.repeat(np.arange(30), 4), np.tile(np.arange(4), 30)
    everything = draws(parents, copies, (0, 1))
    np.testing.assert_array_equal(draws(parents[50:60], copies[50:60], (0, 1)), everything[50:60])
    assert (draws(parents, copies, (0, 2)) != everything).all()


def test_draws_are_those_of_numpy_whatever_the_order_of_the_rows(rng):
    parents, copies = rng.integers(0, 40, 200), rng.integers(0, 5, 200)
    drawn = {parent: np.random.default_rng([3, 1, parent]).random((5, augment.N_DRAWS)) for parent in range(40)}
    expected = np.stack([drawn[parent][copy] for parent, copy in zip(parents, copies, strict=True)])
    np.testing.assert_array_equal(draws(parents, copies, (3, 1)), expected)


def test_shares_and_ranges_are_those_of_the_parameters(rng):
    params = AugmentParams(mirror=0.3, erase=0.4, erase_px=10, shift_px=3.0, rotate_deg=0.0, scale=0.0)
    numbers = rng.random((4000, augment.N_DRAWS))
    matrix = motions(numbers, params)
    assert abs((np.linalg.det(matrix[:, :, :2]) < 0).mean() - 0.3) < 0.03
    _, boxes = looks(numbers, params)
    assert abs((boxes[:, 2] > boxes[:, 0]).mean() - 0.4) < 0.08  # a box of less than a pixel may vanish
    assert boxes[:, :4].min() >= 0
    assert boxes[:, :4].max() <= 48
