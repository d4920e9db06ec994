"""Affine transforms of faces, (n, 2, 3), pixels to pixels: where a face belongs, compositions, inverses, the warp.

A transform maps a point of the raw image to a point of the image that is made; centres of pixels are whole numbers.
"""

from typing import Any

import numba
import numpy as np

from mmfer.config import FACE_PX, CleanParams
from mmfer.face.points import LEFT_EYE, NOSE_BASE, RIGHT_EYE

CENTRE = (FACE_PX - 1) / 2  # of an image, x and y
NOSE_DROP = 0.73  # height of eyes over nose base, in eye distances: mean of the frontal faces of FER2013


def alignment(landmarks: np.ndarray, found: np.ndarray, params: CleanParams) -> np.ndarray:
    """Landmarks (n, 68, 2) and whether each face was found (n,) -> transforms (n, 2, 3) float32 that align the faces.

    Those that were not found keep their frame, and all do where `params.align` is false.
    """
    transforms = np.tile(np.eye(2, 3, dtype=np.float32), (len(landmarks), 1, 1))
    aligned = found & params.align
    transforms[aligned] = similarity(landmarks[aligned], params)
    return transforms


def similarity(landmarks: np.ndarray, params: CleanParams) -> np.ndarray:
    """Landmarks (n, 68, 2) -> similarity transforms (n, 2, 3) float32 that bring eyes and nose base to fixed places.

    Least squares over three points (Umeyama, 1991), in complex numbers: the plane's similarities are z -> a z + b. The
    nose keeps the scale honest where a turned head brings the eyes together; the mouth is left out, for it is the
    expression.
    """
    eyes = [landmarks[:, eye].mean(axis=1) for eye in (RIGHT_EYE, LEFT_EYE)]
    points = np.stack([*eyes, landmarks[:, NOSE_BASE]], axis=1)
    p = points[..., 0] + 1j * points[..., 1]  # (n, 3)
    half, height = params.eye_distance_px / 2, params.eye_height_px
    nose = height + NOSE_DROP * params.eye_distance_px
    q = np.array([CENTRE - half + 1j * height, CENTRE + half + 1j * height, CENTRE + 1j * nose])
    centre = p.mean(axis=1, keepdims=True)
    spread = np.square(np.abs(p - centre)).sum(axis=1)
    a = (np.conj(p - centre) * (q - q.mean())).sum(axis=1) / np.maximum(spread, 1e-6)
    b = q.mean() - a * centre[:, 0]
    rows = [np.stack([a.real, -a.imag, b.real], axis=1), np.stack([a.imag, a.real, b.imag], axis=1)]
    return np.stack(rows, axis=1).astype(np.float32)


def compose(outer: Any, inner: Any) -> Any:
    """Transforms (n, 2, 3), arrays or tensors, that do what `inner` does, then what `outer` does."""
    composed = outer[:, :, :2] @ inner
    composed[:, :, 2] += outer[:, :, 2]
    return composed


def invert(transforms: np.ndarray) -> np.ndarray:
    """Transforms (n, 2, 3) -> their inverses (n, 2, 3) float32."""
    linear = np.linalg.inv(transforms[:, :, :2].astype(np.float64))
    return np.concatenate([linear, -linear @ transforms[:, :, 2:]], axis=2).astype(np.float32)


def warp(faces: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    """Faces (n, 48, 48) uint8 as they look after their transforms (n, 2, 3), uint8 (n, 48, 48)."""
    out = np.empty((len(faces), FACE_PX, FACE_PX), np.uint8)
    warp_faces(faces, np.arange(len(faces)), invert(transforms), *neutral_tones_and_boxes(len(faces)), out)
    return out


def neutral_tones_and_boxes(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Tones (n, 2) and boxes (n, 5), as `warp_faces` takes them, that change nothing."""
    return np.tile(np.array([1, 0], np.float32), (n, 1)), np.zeros((n, 5), np.int16)


@numba.njit(nogil=True, cache=True)
def warp_faces(
    faces: np.ndarray,  # (m, h, w) uint8
    parents: np.ndarray,  # (n,) int: the face of each image
    inverses: np.ndarray,  # (n, 2, 3) float32, image -> raw
    tones: np.ndarray,  # (n, 2) float32: grey -> tones[0] * grey + tones[1]
    boxes: np.ndarray,  # (n, 5) int16: x0 y0 x1 y1, the last two exclusive, and a grey level
    out: np.ndarray,  # (n, 48, 48) uint8
) -> None:
    """Fill out[i] with faces[parents[i]] seen through inverses[i], its tone changed, its box painted.

    Bilinear, pixels outside repeat the border: cv2.warpAffine with BORDER_REPLICATE, but for many faces in one call.

    A row is made in three passes, of which the processor's vectors do the first and the last.
    """
    side = out.shape[2]
    left, top = np.empty(side, np.uint32), np.empty(side, np.uint32)
    du, dv, corners = np.empty(side), np.empty(side), np.empty((4, side))
    for i in range(len(parents)):
        face = faces[parents[i]]
        gain, offset = tones[i]
        for y in range(out.shape[1]):
            _look_up(inverses[i], y, face.shape, left, top, du, dv)
            for x in range(side):
                column, row = left[x], top[x]
                corners[0, x], corners[1, x] = face[row, column], face[row, column + 1]
                corners[2, x], corners[3, x] = face[row + 1, column], face[row + 1, column + 1]
            for x in range(side):
                upper = corners[0, x] * (1 - du[x]) + corners[1, x] * du[x]
                lower = corners[2, x] * (1 - du[x]) + corners[3, x] * du[x]
                grey = gain * (upper * (1 - dv[x]) + lower * dv[x]) + offset
                out[i, y, x] = np.uint8(min(max(grey + 0.5, 0.0), 255.0))
        x0, y0, x1, y1, paint = boxes[i]
        out[i, y0:y1, x0:x1] = np.uint8(paint)


@numba.njit(nogil=True, cache=True)
def _look_up(
    inverse: np.ndarray,  # (2, 3) float32
    y: int,
    shape: tuple[int, int],
    left: np.ndarray,  # (48,) uint32, filled; so are the others
    top: np.ndarray,  # (48,) uint32
    du: np.ndarray,  # (48,) float64
    dv: np.ndarray,  # (48,) float64
) -> None:
    """Where the pixels of row y come from: the upper left of four pixels, and how far on between them, 0 to 1."""
    height, width = shape
    for x in range(len(left)):
        u = min(max(inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2], 0.0), width - 1.0)
        v = min(max(inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2], 0.0), height - 1.0)
        column, row = min(np.int32(u), np.int32(width - 2)), min(np.int32(v), np.int32(height - 2))
        left[x], top[x] = column, row
        du[x], dv[x] = u - column, v - row
