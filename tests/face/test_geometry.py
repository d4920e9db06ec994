"""Affine transforms against algebra, the warp against OpenCV."""

import numpy as np

from mmfer.config import CleanParams
from mmfer.face.geometry import NOSE_DROP, similarity
from mmfer.face.points import LEFT_EYE, NOSE_BASE, RIGHT_EYE, move_landmarks


def test_alignment_brings_eyes_and_nose_to_their_places(rng):
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
