"""Affine transforms against algebra and scikit-image, the warp against OpenCV."""

import cv2
import numpy as np
import pytest
from skimage.transform import estimate_transform

from mmfer.config import CleanParams
from mmfer.face.geometry import (
    NOSE_DROP,
    alignment,
    compose,
    invert,
    neutral_tones_and_boxes,
    similarity,
    warp,
    warp_faces,
)
from mmfer.face.points import LEFT_EYE, NOSE_BASE, RIGHT_EYE, move_landmarks


def transform(angle=0.0, size=1.0, shift=(0.0, 0.0), mirror=False):
    """A transform (3, 3) about the origin, composed by hand."""
    cos, sin = size * np.cos(np.deg2rad(angle)), size * np.sin(np.deg2rad(angle))
    turn = np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]], [0, 0, 1]])
    return turn @ np.diag([-1.0 if mirror else 1.0, 1, 1])


def test_similarity_brings_eyes_and_nose_to_their_places(rng):
    params = CleanParams()
    face = rng.uniform(10, 38, (1, 68, 2))
    face[:, RIGHT_EYE], face[:, LEFT_EYE], face[:, NOSE_BASE] = (15.0, 20.0), (33.0, 20.0), (24.0, 20 + 18 * NOSE_DROP)
    angle = np.deg2rad(25)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    spoilt = 1.3 * face @ turn.T + [3, -5]
    moved = move_landmarks(spoilt, similarity(spoilt, params))[0]
    half, middle = params.eye_distance_px / 2, 23.5
    np.testing.assert_allclose(moved[RIGHT_EYE].mean(0), [middle - half, params.eye_height_px], atol=1e-3)
    np.testing.assert_allclose(moved[LEFT_EYE].mean(0), [middle + half, params.eye_height_px], atol=1e-3)
    nose = params.eye_height_px + NOSE_DROP * params.eye_distance_px
    np.testing.assert_allclose(moved[NOSE_BASE], [middle, nose], atol=1e-3)


def test_similarity_of_any_three_points_is_that_of_scikit_image(rng):
    params = CleanParams(eye_distance_px=20.0, eye_height_px=16.0)
    faces = rng.uniform(5, 43, (20, 68, 2))
    places = np.array([[13.5, 16], [33.5, 16], [23.5, 16 + 20 * NOSE_DROP]])
    for face, found in zip(faces, similarity(faces, params), strict=True):
        points = np.stack([face[36:42].mean(axis=0), face[42:48].mean(axis=0), face[33]])
        if np.linalg.det(np.cov(points.T, places.T)[:2, 2:]) > 0:  # elsewhere the nearest would be a reflection
            np.testing.assert_allclose(found, estimate_transform("similarity", points, places).params[:2], atol=1e-4)


def test_who_was_not_found_keeps_the_frame_and_so_does_everybody_without_alignment(rng):
    landmarks, found = rng.uniform(5, 43, (3, 68, 2)), np.array([True, False, True])
    aligned = alignment(landmarks, found, CleanParams())
    assert aligned.dtype == np.float32
    np.testing.assert_array_equal(aligned[1], np.eye(2, 3))
    np.testing.assert_array_equal(aligned[[0, 2]], similarity(landmarks[[0, 2]], CleanParams()))
    assert (alignment(landmarks, found, CleanParams(align=False)) == np.eye(2, 3)).all()


def test_a_composition_does_the_inner_first():
    outer, inner = transform(30, 1.5, (3, -2)), transform(-70, 0.8, (10, 4), mirror=True)
    composed = compose(outer[None, :2], inner[None, :2])
    np.testing.assert_allclose(composed[0], (outer @ inner)[:2], atol=1e-12)


def test_the_inverse_is_that_of_numpy():
    moves = np.stack([transform(30, 1.5, (3, -2))[:2], transform(200, 0.4, (0, 9), mirror=True)[:2]])
    expected = [np.linalg.inv(np.vstack([move, [0, 0, 1]]))[:2] for move in moves]
    np.testing.assert_allclose(invert(moves), expected, atol=1e-6)


@pytest.mark.parametrize(
    "move",
    [
        transform(),
        transform(shift=(20.5, -11.25)),  # far beyond the border, which is repeated
        transform(35, 0.6, (25, -3)),
        transform(-80, 1.7, (-8, 30)),
        transform(10, 1, (47, 0), mirror=True),
    ],
)
def test_the_warp_is_that_of_opencv(rng, move):
    smooth = [cv2.GaussianBlur(face, (0, 0), 3) for face in rng.integers(0, 256, (4, 48, 48), dtype=np.uint8)]
    smooth = np.stack(smooth)  # OpenCV rounds places to 1/32 of a pixel
    how = {"flags": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REPLICATE}
    expected = [cv2.warpAffine(face, move[:2], (48, 48), **how) for face in smooth]
    assert np.abs(warp(smooth, np.tile(move[None, :2], (4, 1, 1))).astype(int) - expected).max() <= 2


def test_tone_and_box_are_those_asked_for_of_each_face(rng):
    faces = rng.integers(0, 256, (2, 48, 48), dtype=np.uint8)
    tones, boxes = neutral_tones_and_boxes(3)
    tones[1], boxes[2] = (1.5, -40), (3, 10, 20, 12, 200)
    parents, out = np.array([1, 0, 1]), np.zeros((3, 48, 48), np.uint8)
    warp_faces(faces, parents, np.tile(np.eye(2, 3, dtype=np.float32), (3, 1, 1)), tones, boxes, out)
    np.testing.assert_array_equal(out[0], faces[1])
    np.testing.assert_array_equal(out[1], np.floor(np.clip(1.5 * faces[0] - 40 + 0.5, 0, 255)))
    painted = faces[1].copy()
    painted[10:12, 3:20] = 200
    np.testing.assert_array_equal(out[2], painted)
