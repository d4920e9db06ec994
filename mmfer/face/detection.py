"""Where faces are: dlib's frontal detector on images of 48 px, of which each is one face or noise, and in photos.

The detector sees faces from 80 px on and scores each, so that a 48 px image is enlarged and given a border first.

A photo is searched at its own size, then small (for a face that fills it), then at twice its size (for small faces), up
to the first of these with a score of STRICT or more; all such faces count. If there is none, the best one of WEAK or
more is taken, alone: `Detection.score` shows which it was.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from tqdm import tqdm

from mmfer.config import FACE_PX, CleanParams
from mmfer.data.cutting import find_boxes
from mmfer.face.shape_predictor import find_landmarks, find_landmarks_and_leaves, load_shape_model
from mmfer.face.visibility import ROUNDS, visible

CHUNK = 256  # faces that a thread takes at a time
STRICT, WEAK = 0.0, -0.7
SMALL, LARGE = 192, 1600  # longest sides, in pixels, between which a photo is searched
BORDER = 24  # dlib misses faces that touch the edge


def find_faces(images: np.ndarray, params: CleanParams, workers: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faces (N, 48, 48) uint8 -> detector scores (N,), landmarks (N, 68, 2) and visibility (N, 5), all float32.

    Scores are NaN where below the threshold. Landmarks are in pixels of the image; where no face was found they are
    fitted to the whole image. Visibility is the probability that each of points.PARTS can be seen.
    """
    scores, landmarks, leaves = find_faces_and_leaves(images, params, workers, ROUNDS)
    return scores, landmarks, visible(leaves)


def find_faces_and_leaves(
    images: np.ndarray, params: CleanParams, workers: int, rounds: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `find_faces`, with the leaves (N, rounds, T) uint8 of the shape predictor's last rounds for visibility."""
    load_shape_model()  # before the threads, each of which would read it
    size = min(CHUNK, max(-(-len(images) // workers), 1))  # a few faces are shared among all workers too
    starts = range(0, len(images), size)

    def work(start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return _find_chunk(images[start : start + size], params, rounds)

    silent = True if len(images) <= CHUNK else None  # None: where no terminal is attached
    with ThreadPoolExecutor(workers) as pool:  # dlib releases the GIL
        parts = pool.map(work, starts)
        done = list(tqdm(parts, total=len(starts), desc="faces", unit="chunk", leave=False, disable=silent))
    scores, landmarks, leaves = map(np.concatenate, zip(*done, strict=True))
    return scores, landmarks, leaves


def _find_chunk(images: np.ndarray, params: CleanParams, rounds: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    side, border = params.detect_px, params.border_px
    factor = side / FACE_PX
    frame = (border, border, border + side - 1, border + side - 1)
    scores = np.full(len(images), np.nan, np.float32)
    large = np.zeros((len(images), side + 2 * border, side + 2 * border), np.uint8)
    inside, boxes = slice(border, border + side), np.tile(frame, (len(images), 1))
    for row, image in enumerate(images):
        large[row, inside, inside] = cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)
        found, values = find_boxes(large[row], params.threshold)
        if len(found):
            scores[row], boxes[row] = values.max(), found[values.argmax()]
    # Pixel centres: x of the enlarged image is factor * (x + 0.5) - 0.5 + border.
    points, leaves = find_landmarks_and_leaves(large, boxes, rounds)
    return scores, (points - border + 0.5) / factor - 0.5, leaves


def predict_landmarks(images: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Faces (N, 48, 48) uint8 and boxes (N, 4) x0 y0 x1 y1 in their pixels -> landmarks (N, 68, 2) float32."""
    factor = 2
    large = [cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR) for image in images]
    areas = np.round(boxes.astype(np.float64) * factor)
    return (find_landmarks(np.stack(large), areas) + 0.5) / factor - 0.5


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
    areas, scores = find_boxes(scaled, min_score)
    points = find_landmarks(scaled[None], areas, of=np.zeros(len(areas), np.int64))
    # Edges of pixels scale as they are, centres of pixels are half a pixel from them.
    corners = (areas - BORDER + np.array([0, 0, 1, 1])) / factor
    places = (points.astype(np.float64) - BORDER + 0.5) / factor - 0.5
    return [Detection(*face) for face in zip(corners, scores.tolist(), places, strict=True)]
