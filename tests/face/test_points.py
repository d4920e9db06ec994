"""The 68 points against the renderer's own table of a face; how they move and mirror."""

import numpy as np
import pytest

from mmfer.data.synthetic.expressions import neutral_points
from mmfer.face import points
from mmfer.face.points import MIRROR, move_landmarks
from tests.faces import MIRRORED


def test_the_groups_share_out_all_points():
    groups = [points.JAW, points.RIGHT_BROW, points.LEFT_BROW, points.NOSE, points.EYES, points.MOUTH]
    assert [row for group in groups for row in range(68)[group]] == list(range(points.N_POINTS))
    assert [*range(68)[points.RIGHT_EYE], *range(68)[points.LEFT_EYE]] == list(range(68)[points.EYES])
    assert [*range(68)[points.OUTER_LIPS], *range(68)[points.INNER_LIPS]] == list(range(68)[points.MOUTH])


@pytest.mark.parametrize(
    ("group", "x", "y"),
    [
        ("RIGHT_EYE", -0.5, 0.0),
        ("LEFT_EYE", 0.5, 0.0),
        ("RIGHT_BROW", -0.6, -0.31),
        ("LEFT_BROW", 0.6, -0.31),
        ("NOSE_TIP", 0.0, 0.6),
        ("NOSE_BASE", 0.0, 0.8),
        ("RIGHT_MOUTH_CORNER", -0.42, 1.13),
        ("LEFT_MOUTH_CORNER", 0.42, 1.13),
        ("MOUTH", 0.0, 1.15),
        ("INNER_LIPS", 0.0, 1.14),
    ],
)
def test_a_group_lies_where_its_name_says(group, x, y):
    """The renderer's face at rest: origin between the eyes, unit their distance, the subject's right on the left."""
    middle = neutral_points()[getattr(points, group)].reshape(-1, 2).mean(axis=0)
    np.testing.assert_allclose(middle, [x, y], atol=0.03)


def test_the_mirror_image_of_each_point_is_the_renderers():
    assert MIRROR.tolist() == MIRRORED


def test_outlines_pass_each_point_once():
    assert [point for first, last, _ in points.OUTLINES for point in range(first, last + 1)] == list(range(68))


def test_moved_landmarks_are_the_affine_of_each_point(rng):
    landmarks = rng.uniform(0, 47, (2, 68, 2)).astype(np.float32)
    turn = np.array([[[0, -1, 47], [1, 0, 3]]] * 2, dtype=np.float32)
    expected = np.stack([47 - landmarks[..., 1], landmarks[..., 0] + 3], axis=-1)
    np.testing.assert_allclose(move_landmarks(landmarks, turn), expected, atol=1e-4)


def test_in_a_mirrored_face_the_left_eye_is_still_the_left_eye(rng):
    landmarks = rng.uniform(0, 47, (2, 68, 2)).astype(np.float32)
    moves = np.array([[[-1, 0, 47], [0, 1, 0]], [[1, 0, 2], [0, 1, 0]]], dtype=np.float32)  # one mirrors, one does not
    moved = move_landmarks(landmarks, moves)
    np.testing.assert_allclose(moved[0, 45], [47 - landmarks[0, 36, 0], landmarks[0, 36, 1]], atol=1e-5)
    np.testing.assert_allclose(moved[0, 48], [47 - landmarks[0, 54, 0], landmarks[0, 54, 1]], atol=1e-5)
    np.testing.assert_allclose(moved[1], landmarks[1] + [2, 0], atol=1e-5)
