"""The 68 points: groups, mirror images, moves."""

import numpy as np

from mmfer.face.points import MIRROR, move_landmarks


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
