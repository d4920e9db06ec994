"""Copies against algebra and OpenCV: one warp of the raw image, the same bytes for any number of workers, no leaks."""

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from mmfer.config import AugmentParams, EvaluateParams
from mmfer.data.faceset import open_faceset
from mmfer.face import augment
from mmfer.face.augment import draw_key, draws, motions, random_copies, tones_and_boxes
from mmfer.face.geometry import warp
from tests.tiny import write_tiny

PLAIN = {"brightness": 0.0, "contrast": 0.0, "erase": 0.0}


def numbers_of(rng, n=200, **columns):
    """Random numbers of n copies, (n, N_DRAWS), some columns given: c0=0.3."""
    numbers = rng.random((n, augment.N_DRAWS))
    for name, value in columns.items():
        numbers[:, int(name[1:])] = value
    return torch.from_numpy(numbers)


def drawn(parents, copies, key):
    """`draws` of arrays."""
    return draws(torch.from_numpy(parents), torch.from_numpy(copies), key).numpy()


def by_hand(row, params):
    """The transform (3, 3) of one copy from its random numbers: a product of elementary ones about the middle, 23.5."""
    mirror, angle, size, x, y = row[0] < params.mirror, *(2 * row[1:5] - 1)
    angle, size = np.deg2rad(params.rotate_deg * angle), (1 + params.scale) ** size
    to_middle, back = np.eye(3), np.eye(3)
    to_middle[:2, 2], back[:2, 2] = -23.5, 23.5
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    shift = np.eye(3)
    shift[:2, 2] = params.shift_px * np.array([x, y])
    return shift @ back @ turn @ np.diag([size, size, 1]) @ np.diag([-1 if mirror else 1, 1, 1]) @ to_middle


@pytest.mark.parametrize(
    "params", [AugmentParams(), AugmentParams(rotate_deg=90, scale=0.5, shift_px=9), EvaluateParams()]
)
def test_motions_are_mirror_scale_and_turn_about_the_middle_then_a_shift(rng, params):
    numbers = numbers_of(rng)
    expected = [by_hand(row, params)[:2] for row in numbers.numpy()]
    np.testing.assert_allclose(motions(numbers, params), expected, atol=1e-9)


def test_a_copy_is_aligned_then_moved_and_is_one_warp_of_the_raw_image(face_data):
    raw, clean = open_faceset(face_data / "raw"), open_faceset(face_data / "clean")
    params = AugmentParams(**PLAIN)
    parents, copies = np.repeat(np.arange(20), 3), np.tile([0, 1, 5], 20)
    images, transforms = random_copies(raw, clean, parents, copies, params)
    numbers = drawn(parents, copies, draw_key(params, "faces"))
    how = {"flags": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REPLICATE}
    differences = []
    for row, parent in enumerate(parents):
        aligned = np.vstack([clean.transforms[parent], [0, 0, 1]])
        assert np.abs(aligned - np.eye(3)).max() > 0.01
        expected = aligned if copies[row] == 0 else by_hand(numbers[row], params) @ aligned
        np.testing.assert_allclose(transforms[row], expected[:2], atol=1e-4)
        seen = cv2.warpAffine(raw.images[parent], expected[:2], (48, 48), **how)
        differences.append(np.abs(images[row].astype(int) - seen).mean())
    assert np.max(differences) < 1  # OpenCV rounds places to 1/32 of a pixel
    assert 0.3 < (np.linalg.det(transforms[copies > 0][:, :, :2]) < 0).mean() < 0.7


def test_under_evaluation_only_the_geometry_changes(face_data):
    raw, clean = open_faceset(face_data / "raw"), open_faceset(face_data / "clean")
    images, transforms = random_copies(raw, clean, np.arange(40), np.full(40, 3), EvaluateParams())
    assert (images == warp(raw.images[:40], transforms)).all()


def test_contrast_turns_about_the_middle_grey_and_brightness_adds(rng):
    params = AugmentParams(brightness=0.2, contrast=0.4)
    tones, _ = tones_and_boxes(numbers_of(rng, c5=0.5), params)  # no brightness
    assert 0.6 < tones[:, 0].min() < 0.65
    assert 1.35 < tones[:, 0].max() < 1.4
    np.testing.assert_allclose(127.5 * tones[:, 0] + tones[:, 1], 127.5, atol=1e-4)
    tones, _ = tones_and_boxes(numbers_of(rng, c6=0.5), params)  # no contrast
    np.testing.assert_allclose(tones[:, 0], 1)
    assert -51 <= tones[:, 1].min() < -48
    assert 48 < tones[:, 1].max() <= 51


def test_tones_are_applied_to_the_copies(face_data):
    raw, clean = open_faceset(face_data / "raw"), open_faceset(face_data / "clean")
    rows, first = np.arange(40), np.ones(40, int)
    plain, _ = random_copies(raw, clean, rows, first, AugmentParams(**PLAIN))
    toned, _ = random_copies(raw, clean, rows, first, AugmentParams(**PLAIN | {"brightness": 0.1, "contrast": 0.3}))
    spread = [np.polyfit(*pair, 1) for pair in zip(plain.reshape(40, -1), toned.reshape(40, -1), strict=True)]
    gain, offset = np.array(spread).T  # clipping at black and white flattens some
    assert gain.min() < 0.85
    assert gain.max() > 1.1
    assert np.corrcoef(gain, offset)[0, 1] < -0.5  # about the middle grey: more gain, less offset


def test_an_erased_box_is_one_grey_and_all_around_it_is_untouched(face_data):
    raw, clean = open_faceset(face_data / "raw"), open_faceset(face_data / "clean")
    rows, first = np.arange(40), np.ones(40, int)
    plain, _ = random_copies(raw, clean, rows, first, AugmentParams(**PLAIN))
    erased, _ = random_copies(raw, clean, rows, first, AugmentParams(**PLAIN | {"erase": 1.0, "erase_px": 20}))
    params = AugmentParams(erase=1.0, erase_px=20)
    _, boxes = tones_and_boxes(torch.from_numpy(drawn(rows, first, draw_key(params, "faces"))), params)
    greys = []
    for before, after, (x0, y0, x1, y1, _) in zip(plain, erased, boxes.numpy(), strict=True):
        inside = after[y0:y1, x0:x1]
        if inside.size:
            assert inside.min() == inside.max()
            greys.append(int(inside[0, 0]))
        outside = after.copy()
        outside[y0:y1, x0:x1] = before[y0:y1, x0:x1]
        assert (outside == before).all()
    assert np.ptp(greys) > 150


def test_boxes_lie_anywhere_and_have_sides_up_to_the_largest(rng):
    _, boxes = tones_and_boxes(numbers_of(rng, 4000), AugmentParams(erase=1.0, erase_px=20))
    boxes = boxes.numpy()
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    for side in (width, height):
        assert side.max() in (19, 20, 21)  # corners are cut to whole pixels
        assert side.mean() == pytest.approx(10.5, abs=0.6)
    assert (boxes[:, :2].min(), boxes[:, 2:4].max()) == (0, 47)
    assert boxes[:, :4].mean() == pytest.approx(23.5, abs=0.7)
    assert abs(np.corrcoef(boxes[:, 0], boxes[:, 1])[0, 1]) < 0.1
    assert (boxes[:, 4].min() < 5, boxes[:, 4].max() > 250) == (True, True)


def test_shares_of_mirrored_and_erased_copies_are_those_of_the_parameters(rng):
    params = AugmentParams(mirror=0.3, erase=0.4, erase_px=10)
    numbers = numbers_of(rng, 4000)
    assert abs((np.linalg.det(motions(numbers, params)[:, :, :2]) < 0).mean() - 0.3) < 0.03
    _, boxes = tones_and_boxes(numbers, params)
    assert abs((boxes[:, 2] > boxes[:, 0]).double().mean() - 0.4) < 0.08  # a box of less than a pixel may vanish


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
    monkeypatch.setattr(augment, "PART", 7)
    two = write_tiny(tmp_path / "two", workers=2)
    for name in ("augmented/images.npy", "augmented/transforms.npy", "features/hog.npy", "features/landmarks.npy"):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    one, two = open_faceset(one / "augmented"), open_faceset(two / "augmented")
    pd.testing.assert_frame_equal(one.index, two.index)


def test_only_kept_training_faces_have_copies(tmp_path):
    index = open_faceset(write_tiny(tmp_path) / "augmented").index
    assert set(index["split"][index["copy"] > 0]) == {"train"}
    assert index["kept"][index["split"] == "train"].all()
    assert (index["split"] == "test").sum() == 12


def test_duplicates_of_held_out_faces_are_not_trained_on(tmp_path):
    clean = open_faceset(write_tiny(tmp_path) / "clean")
    clean.index.loc[[0, 1], "duplicate_of_test"] = True
    index = pd.concat(augment.copied_index(clean, None, AugmentParams(copies=3)))
    assert not {0, 1} & set(index["parent"])


def test_copies_of_test_faces_do_not_validate(tmp_path):
    clean = open_faceset(write_tiny(tmp_path) / "clean")
    validating = clean.index.index[clean.index["split"] == "val"]
    clean.index.loc[validating[:2], "duplicate_of_test"] = True
    index = pd.concat(augment.copied_index(clean, None, AugmentParams(copies=3)))
    assert set(index["parent"][index["split"] == "val"]) == set(validating[2:])


def test_in_cross_validation_rejected_faces_are_tested_but_not_trained_on(tmp_path):
    index = open_faceset(write_tiny(tmp_path, folds=4) / "augmented").index
    assert set(index["parent"]) == set(range(60))
    assert not index["trainable"][~index["kept"]].any()


def splitmix(state):
    """SplitMix64's numbers after a state, in Python's integers (Steele, Lea and Flood, 2014, figure 17)."""
    whole = 2**64 - 1
    while True:
        state = (state + 0x9E3779B97F4A7C15) & whole
        yield mixed(state)


def mixed(z):
    """Its output function."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return z ^ (z >> 31)


def test_the_generator_is_splitmix64():
    stream = splitmix(1234567)
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]  # Rosetta Code
    assert [next(stream) for _ in range(3)] == published


def test_draws_are_the_stream_of_a_state_hashed_from_key_row_and_copy(rng):
    parents, copies, key = rng.integers(0, 40_000, 20), rng.integers(0, 5000, 20), -(2**40) - 7
    expected = []
    for parent, copy in zip(parents.tolist(), copies.tolist(), strict=True):
        stream = splitmix(mixed((mixed((parent + key) % 2**64) + copy) % 2**64))
        expected.append([(next(stream) >> 40) / 2**24 for _ in range(augment.N_DRAWS)])
    np.testing.assert_array_equal(drawn(parents, copies, key), expected)


def test_draws_are_uniform_and_those_of_neighbours_are_independent():
    parents, copies = np.repeat(np.arange(2000), 10), np.tile(np.arange(10), 2000)
    numbers = drawn(parents, copies, draw_key(AugmentParams(), "faces"))
    assert len(np.unique(numbers)) > 0.98 * numbers.size
    for column in numbers.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-4
    by_copy, by_parent = (numbers[step:] - 0.5 for step in (1, 10))
    others = [(by_copy * (numbers[:-1] - 0.5)).mean(), (by_parent * (numbers[:-10] - 0.5)).mean()]
    apart = np.corrcoef(numbers.T)[np.triu_indices(augment.N_DRAWS, 1)]
    assert np.abs([*others, *apart]).max() < 0.04


def test_seeds_and_data_sets_have_draws_of_their_own():
    keys = [draw_key(AugmentParams(seed=seed), name) for seed in (0, 1, 2**32 - 1) for name in ("a", "b")]
    assert len(set(keys)) == 6
    rows = np.arange(30)
    assert len({drawn(rows, rows, key).tobytes() for key in keys}) == 6
