"""Landmarks of a batch against dlib's own predictor, and files that hold no model."""

import errno
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import cv2
import dlib
import numpy as np
import pytest

from mmfer.errors import MmferError
from mmfer.face.shape_predictor import (
    BATCH,
    MODEL,
    ShapeModel,
    find_landmarks,
    find_landmarks_and_leaves,
    load_shape_model,
    read_shape_model,
)
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


@pytest.fixture
def small_model(rng, monkeypatch):
    """A predictor of four rounds of six trees with seven splits, which looks at 20 pixels."""
    model = ShapeModel(
        initial=rng.uniform(0.2, 0.8, 136).astype(np.float32),
        splits=rng.integers(0, 20, (4, 6, 7, 2)).astype(np.uint16),
        thresholds=rng.normal(0, 40, (4, 6, 7)).astype(np.float32),
        moves=rng.normal(0, 0.01, (4, 6, 8, 136)).astype(np.float32),
        anchors=rng.integers(0, 68, (4, 20)).astype(np.uint16),
        offsets=rng.normal(0, 0.1, (4, 20, 2)).astype(np.float32),
    )
    monkeypatch.setattr("mmfer.face.shape_predictor.load_shape_model", lambda: model)
    return model


def slow_walk(image, box, model):
    """Leaves of every tree and points of one face, in complex numbers: the turn is a fit of two shapes."""
    x, y = model.initial.astype(float).reshape(-1, 2).T
    initial = shape = x + 1j * y
    side, leaves = box[2] - box[0], []
    for splits, thresholds, moves, anchors, offsets in zip(*model[1:], strict=True):
        start, end = initial - initial.mean(), shape - shape.mean()
        turn = (start.conj() * end).sum() / (abs(start) ** 2).sum()
        at = complex(*box[:2]) + side * (turn * (offsets[:, 0] + 1j * offsets[:, 1]) + shape[anchors])
        padded = np.pad(image.astype(int), 500)  # black around
        grey = padded[np.rint(at.imag).astype(int) + 500, np.rint(at.real).astype(int) + 500]
        for pairs, bounds, leaf_moves in zip(splits, thresholds, moves, strict=True):
            node = 0
            while node < len(bounds):
                a, b = pairs[node]
                node = 2 * node + 1 if grey[a] - grey[b] > bounds[node] else 2 * node + 2
            leaves.append(node - len(bounds))
            dx, dy = leaf_moves[leaves[-1]].astype(float).reshape(-1, 2).T
            shape = shape + dx + 1j * dy
    return leaves, shape


@pytest.mark.parametrize("rounds", [0, 1, 3, 4])
def test_leaves_are_those_of_a_slow_walk_through_the_last_rounds(small_model, images, rounds):
    """Faces, noise and a box that leaves the image, in more than one batch."""
    boxes = np.tile([-10, 5, 80, 95], (len(images), 1))
    points, leaves = find_landmarks_and_leaves(images, boxes, rounds)
    assert (leaves.dtype, leaves.shape) == (np.uint8, (len(images), rounds, 6))
    for row in (0, 1, BATCH + 1, len(images) - 1):
        expected, shape = slow_walk(images[row], boxes[row], small_model)
        assert leaves[row].ravel().tolist() == expected[24 - 6 * rounds :]
        places = np.stack([90 * shape.real - 10, 90 * shape.imag + 5], axis=1)
        assert np.abs(points[row] - places).max() <= 0.51
    if rounds:
        assert len(np.unique(leaves)) == 8


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


def test_a_68_point_model_that_memory_does_not_hold_is_not_called_damaged(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(np, "memmap", full)
    with pytest.raises(MemoryError):
        read_shape_model(Path("a"))


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
