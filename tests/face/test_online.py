"""Copies drawn online against those that the stages store, of the same draws."""

from functools import partial

import numpy as np
import pytest
import torch
from skimage.feature import hog as skimage_hog

from mmfer.config import AugmentParams, ExtractParams
from mmfer.data.faceset import open_faceset
from mmfer.face import online
from mmfer.face.augment import draw_key, random_copies
from mmfer.face.prepare import describe

ROWS = 40


@pytest.fixture(scope="module")
def faces(face_data):
    """Raw rendered faces, their landmarks and alignments, and the FaceSets that they are from."""
    raw, clean = open_faceset(face_data / "raw"), open_faceset(face_data / "clean")
    arrays = {"images": raw.images, "landmarks": clean.landmarks, "transforms": clean.transforms}
    return {name: np.array(array[:ROWS]) for name, array in arrays.items()}, raw, clean


def drawn(faces, make, params, copies):
    arrays, raw, _ = faces
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    key = draw_key(params, raw.dataset)
    return make(tensors, torch.arange(ROWS), torch.as_tensor(copies), params, ExtractParams(), key)


def stored(faces, params, copies):
    _, raw, clean = faces
    images, transforms = random_copies(raw, clean, np.arange(ROWS), copies, params)
    return describe(images, clean.landmarks[:ROWS], transforms, ExtractParams()), transforms


@pytest.mark.parametrize("threads", [1, 2])
def test_on_a_cpu_they_are_the_stored_ones_to_the_bit(faces, threads):
    params, copies, before = AugmentParams(), np.arange(ROWS) % 5, torch.get_num_threads()
    torch.set_num_threads(threads)
    made = drawn(faces, online.copies_on_cpu, params, copies)
    torch.set_num_threads(before)
    for name, values in stored(faces, params, copies)[0].items():
        np.testing.assert_array_equal(made[name].numpy(), values)


@pytest.mark.parametrize(
    "params",
    [AugmentParams(), AugmentParams(mirror=1.0, rotate_deg=90, scale=0.4, shift_px=9, erase=1.0)],
    ids=["defaults", "mirrored, far, all erased"],
)
def test_in_torch_they_are_the_stored_ones_within_the_stated_tolerances(faces, params):
    copies = np.arange(ROWS) % 5  # among them copy 0, the plain aligned face
    make = partial(online.copies_on_device, tables=online.tables_for(ExtractParams(), "cpu"))
    made, (expected, transforms) = drawn(faces, make, params, copies), stored(faces, params, copies)
    assert (np.linalg.det(transforms[:, :, :2]) < 0).any()
    assert np.abs(transforms[copies == 0] - np.eye(2, 3)).max() > 0.1  # the faces are aligned
    apart = np.abs(made["images"].numpy().astype(int) - expected["images"])
    assert apart.max() <= 1
    assert (apart > 0).mean() < 1e-3
    assert np.abs(made["landmarks"].numpy() - expected["landmarks"]).max() < 1e-3


@pytest.mark.parametrize("params", [ExtractParams(), ExtractParams(orientations=6, cell_px=6, block_cells=3)])
def test_hog_in_torch_is_that_of_scikit_image(faces, params):
    images = faces[0]["images"][:12]
    cells, blocks = (params.cell_px,) * 2, (params.block_cells,) * 2
    expected = [skimage_hog(image, params.orientations, cells, blocks, block_norm="L2-Hys") for image in images]
    bins, _ = online.tables_for(params, "cpu")
    np.testing.assert_allclose(online.hog(torch.from_numpy(images), params, bins), expected, atol=1e-5)


def test_an_even_picture_has_a_hog_of_zeros():
    even, (bins, _) = torch.full((1, 48, 48), 9, dtype=torch.uint8), online.tables_for(ExtractParams(), "cpu")
    assert online.hog(even, ExtractParams(), bins).abs().max() == 0
