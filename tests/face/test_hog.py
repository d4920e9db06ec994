"""HOG against scikit-image."""

import numpy as np
import pytest
from skimage.feature import hog as skimage_hog

from mmfer.config import ExtractParams
from mmfer.face.hog import hog, hog_length, to_half


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


def test_half_precision_is_that_of_numpy(rng):
    # Of each exponent some numbers, those halfway between two halves among them; below 2**-25 all become zero.
    bits = np.arange(0, 0x3F800001, 1000, dtype=np.uint32)
    halfway = np.arange(0, 0x3F800001, 0x1000, dtype=np.uint32)
    subnormal = ((np.arange(2100) + 0.5) * 2**-24).astype(np.float32).view(np.uint32)
    values = np.concatenate([bits, halfway, subnormal]).view(np.float32)[None]
    assert to_half(values).dtype == np.float16
    np.testing.assert_array_equal(to_half(values), values.astype(np.float16))
