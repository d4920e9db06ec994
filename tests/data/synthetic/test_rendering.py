"""Turned heads: landmarks and pixels move alike, and as a rotation in space says."""

import numpy as np
import pytest

from mmfer.data.synthetic.canvas import Canvas
from mmfer.data.synthetic.rendering import Light, Pose, depth_at, project, shade, turn


def test_a_head_that_looks_straight_ahead_is_where_it_was(rng):
    points = rng.normal(size=(68, 2))
    np.testing.assert_allclose(project(points, rng.random(68), Pose()), points, atol=1e-12)


def test_a_roll_turns_in_the_plane_and_keeps_all_distances(rng):
    points = rng.normal(size=(20, 2))
    rolled = project(points, rng.random(20), Pose(roll=0.3))
    turned = (rolled[1:] - rolled[0]) @ [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]
    np.testing.assert_allclose(turned, points[1:] - points[0], atol=1e-12)


def test_what_is_nearer_moves_further_when_the_head_turns():
    points = np.zeros((2, 2))
    far, near = project(points, np.array([0.0, 0.5]), Pose(yaw=0.2))
    assert near[0] - far[0] == pytest.approx(0.5 * np.sin(0.2))


@pytest.mark.parametrize("pose", [Pose(), Pose(roll=0.2), Pose(yaw=0.3), Pose(pitch=-0.2), Pose(0.1, -0.2, 0.15)])
def test_pixels_go_where_landmarks_go(pose):
    canvas, view = Canvas(160), Canvas(160)
    height = canvas.spot(0, 0.3, 0.9, 1.0)
    place = np.array([[0.35, 0.2]])
    (seen,) = turn([canvas.spot(*place[0], 0.08, 0.08)], canvas, height, pose, view)
    x, y = (float((seen * axis).sum() / seen.sum()) for axis in (view.x, view.y))
    expected = project(place, depth_at(canvas, height, place), pose)[0]
    assert (x, y) == pytest.approx(tuple(expected), abs=0.02)


def test_a_slope_towards_the_lamp_is_brighter():
    canvas = Canvas(64)
    ridge = canvas.spot(0, 0.25, 0.5, 5)
    lit = shade(canvas, ridge, np.full((64, 64), 0.5, np.float32), Light(0.7, 0.0, 0.714, 0.3, 0.7))
    left, right = lit[20:44, 20:28].mean(), lit[20:44, 36:44].mean()
    assert right > 1.2 * left  # the lamp stands on the side of positive x
