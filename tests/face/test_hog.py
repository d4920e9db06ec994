"""HOG against scikit-image; landmarks under moves and mirrors."""

import numpy as np
import pytest
from skimage.feature import hog as skimage_hog

from mmfer.config import ExtractParams
from mmfer.face.hog import MIRROR, hog, hog_length, move_landmarks


def reference(images, params):
    cell, block = (params.cell_px,) * 2, (params.block_cells,) * 2
    return np.stack([skimage_hog(i, params.orientations, cell, block, block_norm="L2-Hys") for i in images])


@pytest.mark.parametrize("change", [{}, {"orientations": 12}, {"cell_px": 6, "block_cells": 3}, {"cell_px": 16}])
def test_hog_is_that_of_scikit_image(rng, change):
    params = ExtractParams(**change)
    images = rng.integers(0, 256, (20, 48, 48), dtype=np.uint8)
    values = hog(images, params)
    assert values.shape == (20, hog_length(params))
    np.testing.assert_allclose(values, reference(images, params), atol=1e-5)


def test_hog_of_smooth_and_flat_faces_is_that_of_scikit_image():
    y, x = np.mgrid[:48, :48]
    smooth = np.stack([(2 * x + y) % 256, 128 + 100 * np.sin(x / 5) * np.cos(y / 7), np.full((48, 48), 9)]).astype(
        np.uint8
    )
    np.testing.assert_allclose(hog(smooth, ExtractParams()), reference(smooth, ExtractParams()), atol=1e-5)


def test_hog_has_900_values_by_default():
    assert hog_length(ExtractParams()) == 900


def test_mirror_swaps_left_and_right():
    assert (MIRROR[MIRROR] == np.arange(68)).all()
    pairs = {0: 16, 8: 8, 17: 26, 27: 27, 31: 35, 36: 45, 39: 42, 41: 46, 48: 54, 60: 64, 61: 63, 67: 65}
    assert {i: MIRROR[i] for i in pairs} == pairs


def test_moved_landmarks_are_the_affine_of_each_point(rng):
    landmarks = rng.uniform(0, 47, (2, 68, 2)).astype(np.float32)
    turn = np.array([[[0, -1, 47], [1, 0, 3]]] * 2, dtype=np.float32)
    expected = np.stack([47 - landmarks[..., 1], landmarks[..., 0] + 3], axis=-1)
    np.testing.assert_allclose(move_landmarks(landmarks, turn), expected, atol=1e-4)


def test_in_a_mirrored_face_the_left_eye_is_still_the_left_eye(rng):
    landmarks = rng.uniform(0, 47, (1, 68, 2)).astype(np.float32)
    mirror = np.array([[[-1, 0, 47], [0, 1, 0]]], dtype=np.float32)
    moved = move_landmarks(landmarks, mirror)
    np.testing.assert_allclose(moved[0, 45], [47 - landmarks[0, 36, 0], landmarks[0, 36, 1]], atol=1e-5)
    np.testing.assert_allclose(moved[0, 48], [47 - landmarks[0, 54, 0], landmarks[0, 54, 1]], atol=1e-5)
