"""Where the faces of a photo are, and the 48 x 48 frame around each one that the network is given.

dlib's detector sees faces from 80 px on, and scores each. The photo is searched at its own size, then small (for a face
that fills it), then at twice its size (for small faces), up to the first of these with a score of STRICT or more; all
such faces count. If there is none, the best one of WEAK or more is taken, alone: `Detection.score` tells which it was.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from mmfer.config import FACE_PX
from mmfer.face.alignment import edges, face_detector
from mmfer.face.shape_predictor import find_landmarks

STRICT, WEAK = 0.0, -0.7
SMALL, LARGE = 192, 1600  # longest sides, in pixels, between which a photo is searched
BORDER = 24  # dlib misses faces that touch the edge
# The frame around a detection, in units of its width: chosen on a tenth of FER2013's Training that no network saw.
FRAME_SIDE, FRAME_RISE = 1.27, 0.113


@dataclass(frozen=True)
class Detection:
    """A face of a photo, in its pixels: box (4,) x0 y0 x1 y1, detector score, landmarks (68, 2)."""

    box: np.ndarray
    score: float
    landmarks: np.ndarray


def detect(grey: np.ndarray, min_score: float = WEAK) -> list[Detection]:
    """Photo (H, W) uint8 -> its faces of at least that score, from left to right."""
    longest = max(grey.shape)
    size = min(max(longest, SMALL), LARGE)
    best: list[Detection] = []
    for side in dict.fromkeys([size, SMALL, min(2 * size, LARGE)]):
        found = _search(grey, side / longest, min_score)
        strict = [face for face in found if face.score >= STRICT]
        if strict:
            return sorted(strict, key=lambda face: tuple(face.box))
        best = sorted([*best, *found], key=lambda face: face.score)[-1:]
    return best


def _search(grey: np.ndarray, factor: float, min_score: float) -> list[Detection]:
    height, width = (max(round(side * factor), 1) for side in grey.shape)
    scaled = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    scaled = cv2.copyMakeBorder(scaled, BORDER, BORDER, BORDER, BORDER, cv2.BORDER_CONSTANT)
    with face_detector() as detector:
        boxes, scores, _ = detector.run(scaled, 0, min_score)
    areas = np.array([edges(box) for box in boxes], np.int64).reshape(-1, 4)
    points = find_landmarks(scaled[None], areas, of=np.zeros(len(areas), np.int64))
    # Edges of pixels scale as they are, centres of pixels are half a pixel from them.
    corners = (areas - BORDER + np.array([0, 0, 1, 1])) / factor
    places = (points.astype(np.float64) - BORDER + 0.5) / factor - 0.5
    return [Detection(*face) for face in zip(corners, scores, places, strict=True)]


def cut_face(grey: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The square of a photo (H, W) uint8 that FER2013 would show of the face in `box`, as (48, 48) uint8.

    Where it leaves the photo, the photo's edge is repeated.
    """
    side = max(round(FRAME_SIDE * (box[2] - box[0])), 2)
    left = round((box[0] + box[2] - side) / 2)
    top = round((box[1] + box[3] - side) / 2 - FRAME_RISE * (box[2] - box[0]))
    rows = np.clip(np.arange(top, top + side), 0, grey.shape[0] - 1)
    columns = np.clip(np.arange(left, left + side), 0, grey.shape[1] - 1)
    square = grey[rows[:, None], columns]
    how = cv2.INTER_AREA if side > FACE_PX else cv2.INTER_LINEAR
    return cv2.resize(square, (FACE_PX, FACE_PX), interpolation=how)
