"""Landmarks of a batch against dlib's own predictor, and files that hold no model."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import cv2
import dlib
import numpy as np
import pytest

from mmfer.errors import MmferError
from mmfer.face.shape_predictor import BATCH, MODEL, find_landmarks, load_shape_model, read_shape_model
from tests.faces import rendered_faces

FILE = Path(importlib.util.find_spec("face_recognition_models").submodule_search_locations[0], "models", MODEL)


@pytest.fixture(scope="module")
def images():
    """Rendered faces, more than a batch, and some that are none, in pictures larger than wide."""
    faces = np.resize(rendered_faces()[0], (BATCH + 14, 48, 48))
    noise = np.random.default_rng(0).integers(0, 256, (10, 120, 100), dtype=np.uint8)
    return np.concatenate([np.stack([cv2.resize(face, (100, 120)) for face in faces]), noise])


def by_dlib(predictor, image, box):
    return [(point.x, point.y) for point in predictor(image, dlib.rectangle(*map(int, box))).parts()]


def test_a_batch_has_the_very_landmarks_of_dlib_also_where_boxes_leave_the_image(shape_predictor, images, rng):
    corners = rng.integers(-30, 40, (len(images), 2))
    boxes = np.concatenate([corners, corners + rng.integers(40, 110, (len(images), 2))], axis=1)
    found = find_landmarks(images, boxes)
    assert (found.dtype, found.shape) == (np.float32, (len(images), 68, 2))
    np.testing.assert_array_equal(found, [by_dlib(shape_predictor, *pair) for pair in zip(images, boxes, strict=True)])


def test_several_boxes_may_be_of_one_image(shape_predictor, images):
    boxes = np.array([[10, 20, 90, 100], [0, 0, 99, 119], [30, 30, 70, 70]])
    found = find_landmarks(images[:2], boxes, of=np.array([1, 0, 1]))
    expected = [by_dlib(shape_predictor, images[i], box) for i, box in zip((1, 0, 1), boxes, strict=True)]
    np.testing.assert_array_equal(found, expected)


def test_no_box_has_no_landmarks(images):
    assert find_landmarks(images[:1], np.empty((0, 4), int), of=np.empty(0, int)).shape == (0, 68, 2)


def test_a_damaged_file_is_refused_or_read_and_never_more(tmp_path, rng):
    """Lengths, the end, and any byte: whatever stands there, memory outside of the file is not touched."""
    whole = FILE.read_bytes()[: 2**20]
    for trial in range(200):
        data = bytearray(whole[: rng.integers(1, 4000)] if trial % 2 else whole)
        for place in rng.integers(0, min(len(data), 2000), 3):
            data[place] = rng.integers(0, 256)
        (tmp_path / str(trial)).write_bytes(data)
        with pytest.raises(MmferError, match="not a 68-point model"):
            read_shape_model(tmp_path / str(trial))


@pytest.mark.parametrize("content", [None, b"", b"no model"])
def test_a_damaged_68_point_model_is_named(tmp_path, monkeypatch, content):
    (tmp_path / "models").mkdir()
    if content is not None:
        (tmp_path / "models" / MODEL).write_bytes(content)
    package = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: package)
    with pytest.raises(MmferError, match=r"landmarks\.dat: not a 68-point model .*force-reinstall"):
        load_shape_model()


def test_a_missing_68_point_model_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MmferError, match="pip install face_recognition_models"):
        load_shape_model()
