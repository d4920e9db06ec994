"""Where the face is in images of 48 px, of which each is one face or noise: dlib's frontal detector, or YuNet.

dlib's sees faces from 80 px on, and neither sees one that fills its picture well, so that the image is enlarged and
given a border first. Landmarks are fitted in dlib's box, or in the one that it would have drawn around YuNet's face.
"""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from tqdm import tqdm

from mmfer.config import FACE_PX, CleanParams
from mmfer.data.cutting import face_detector, find_boxes
from mmfer.face import yunet
from mmfer.face.shape_predictor import find_landmarks, find_landmarks_and_leaves, load_shape_model
from mmfer.face.visibility import ROUNDS, visible

CHUNK = 256  # faces that a thread takes at a time


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
    prepare_models(params)  # before the threads, each of which would read them
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


def prepare_models(params: CleanParams) -> None:
    """Read what finds faces and landmarks, once; MmferError where a file of it is missing or damaged."""
    prepare_detector(params.detector)
    load_shape_model()


def _find_chunk(images: np.ndarray, params: CleanParams, rounds: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    side, border = params.detect_px, params.border_px
    factor = side / FACE_PX
    frame = (border, border, border + side - 1, border + side - 1)
    scores = np.full(len(images), np.nan, np.float32)
    large = np.zeros((len(images), side + 2 * border, side + 2 * border), np.uint8)
    inside, boxes = slice(border, border + side), np.tile(frame, (len(images), 1))
    for row, image in enumerate(images):
        large[row, inside, inside] = cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)
        found, values = BOXES[params.detector](large[row], params.threshold)
        if len(found):
            scores[row], boxes[row] = values.max(), found[values.argmax()]
    # Pixel centres: x of the enlarged image is factor * (x + 0.5) - 0.5 + border.
    points, leaves = find_landmarks_and_leaves(large, boxes, rounds)
    return scores, (points - border + 0.5) / factor - 0.5, leaves


def prepare_detector(name: str) -> None:
    """Load what a detector needs, once; MmferError where its file is missing or damaged."""
    if name == "yunet":
        yunet.load_model()
    else:
        with face_detector():
            pass


def _find_by_yunet(grey: np.ndarray, min_score: float) -> tuple[np.ndarray, np.ndarray]:
    """As `find_boxes`, with the boxes that the landmark model expects."""
    boxes, scores = yunet.find_boxes(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), min_score)
    return np.round(yunet.expected_boxes(boxes)).astype(np.int64) - [0, 0, 1, 1], scores


BOXES = {"dlib": find_boxes, "yunet": _find_by_yunet}


def predict_landmarks(images: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Faces (N, 48, 48) uint8 and boxes (N, 4) x0 y0 x1 y1 in their pixels -> landmarks (N, 68, 2) float32."""
    factor = 2
    large = [cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR) for image in images]
    areas = np.round(boxes.astype(np.float64) * factor)
    return (find_landmarks(np.stack(large), areas) + 0.5) / factor - 0.5
