"""What stands around and before a face."""

import numpy as np
import pytest

from mmfer.data.synthetic.canvas import Canvas
from mmfer.data.synthetic.expressions import neutral_points
from mmfer.data.synthetic.scenery import (
    OCCLUDERS,
    background,
    degrade,
    occlude,
    render_non_face,
    sample_light,
    sample_pose,
    sample_view,
    to_bytes,
)


def test_poses_are_nearly_frontal_and_within_their_limits(rng):
    poses = np.rad2deg([(pose.roll, pose.yaw, pose.pitch) for pose in (sample_pose(rng) for _ in range(3000))])
    assert (np.abs(poses).max(axis=0) <= np.array([14, 20, 11]) + 0.5).all()
    np.testing.assert_allclose(poses.std(axis=0), [6, 8, 5], rtol=0.1)
    np.testing.assert_allclose(poses.mean(axis=0), 0, atol=0.6)


def test_a_lamp_is_a_unit_vector_in_front_of_the_face(rng):
    lamps = [sample_light(rng) for _ in range(200)]
    vectors = np.array([(lamp.x, lamp.y, lamp.z) for lamp in lamps])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert (vectors[:, 2] > 0).all()
    assert np.mean(vectors[:, 1] < 0) > 0.7  # y points down: most lamps hang above


def test_a_view_holds_brows_eyes_nose_and_mouth_whole_and_follows_a_dropped_chin(rng):
    points = neutral_points()
    for drop in (0.0, 0.3):
        seen = np.stack([sample_view(rng, 96, drop).pixels(points + np.array([0, drop])) for _ in range(50)])
        assert seen[:, 17:].min() > 0
        assert seen[:, 17:].max() < 96
        assert seen[:, 8, 1].mean() == pytest.approx(90, abs=4)  # the chin is near the lower edge wherever it is


@pytest.mark.parametrize("kind", OCCLUDERS)
def test_a_thing_before_the_face_changes_a_part_of_it(kind, rng):
    view = Canvas(96)
    image = np.full((96, 96), 0.5, np.float32)
    changed = np.abs(occlude(image, view, neutral_points(), kind, sample_light(rng), rng) - image) > 0.05
    assert 0.02 < changed.mean() < 0.7


def test_walls_and_non_faces_are_drawn_by_the_generator_alone():
    for draw in (background, render_non_face):
        for seed in range(12):
            one, again = (draw(np.random.default_rng(seed), 48) for _ in range(2))
            assert one.shape == (48, 48)
            np.testing.assert_array_equal(one, again)


def test_camera_faults_are_small(rng):
    image = np.full((48, 48), 0.5)
    faults = np.array([degrade(image, rng).mean() for _ in range(300)])
    assert faults.min() > 0.5**1.25 * 0.85 - 0.01
    assert faults.max() < 0.5**0.8 * 1.15 + 0.01


def test_greys_become_bytes_and_what_is_beyond_is_cut():
    assert to_bytes(np.array([-1, 0, 0.5, 1, 2])).tolist() == [0, 0, 127, 255, 255]
