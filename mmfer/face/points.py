"""The 68 points of a face in iBUG 300-W order, 0-based: which is where, which is whose mirror image, how they move.

Right and left are the subject's own: the right eye lies on the left of the picture.
"""

import numpy as np

N_POINTS = 68
JAW, RIGHT_BROW, LEFT_BROW, NOSE = slice(0, 17), slice(17, 22), slice(22, 27), slice(27, 36)
RIGHT_EYE, LEFT_EYE, EYES = slice(36, 42), slice(42, 48), slice(36, 48)
OUTER_LIPS, INNER_LIPS, MOUTH = slice(48, 60), slice(60, 68), slice(48, 68)
PARTS = {"brows": slice(17, 27), "eyes": EYES, "nose": NOSE, "mouth": MOUTH, "jaw": JAW}  # that can be hidden
NOSE_TIP, NOSE_BASE, RIGHT_MOUTH_CORNER, LEFT_MOUTH_CORNER = 30, 33, 48, 54

# First and last point of each line of a drawn face, and whether it is closed.
OUTLINES = [
    *((0, 16, False), (17, 21, False), (22, 26, False), (27, 30, False), (31, 35, False)),  # jaw, brows, nose
    *((36, 41, True), (42, 47, True), (48, 59, True), (60, 67, True)),  # eyes, outer and inner lips
]

# Point i of a mirrored face is point MIRROR[i] of the face as it was.
MIRROR = np.concatenate(
    [
        range(16, -1, -1),  # jaw
        range(26, 16, -1),  # brows
        [27, 28, 29, 30, 35, 34, 33, 32, 31],  # nose
        [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40],  # eyes
        [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65],  # mouth
    ]
)


def move_landmarks(landmarks: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    """Landmarks (n, 68, 2) under affine transforms (n, 2, 3); a mirroring one also swaps left and right points."""
    moved = landmarks @ transforms[:, :, :2].transpose(0, 2, 1) + transforms[:, None, :, 2]
    mirrored = np.linalg.det(transforms[:, :, :2]) < 0
    moved[mirrored] = moved[mirrored][:, MIRROR]
    return moved
