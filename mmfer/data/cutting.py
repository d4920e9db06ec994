"""A face cut out of a photo: dlib's frontal detector, and the square around a face that FER2013 would show of it.

All uses of the detector go through here, and all cuts of photos: CK+'s frames, photos that a user has predicted.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmfer.config import FACE_PX
from mmfer.errors import MmferError

# What dlib.get_frontal_face_detector() makes, saved by dlib: half a second of reading its text less for each detector.
FRONTAL = Path(__file__).parents[1] / "weights" / "frontal" / "detector.svm"
# The frame around a detection, in units of its width: chosen on a tenth of FER2013's Training that no network saw.
FRAME_SIDE, FRAME_RISE = 1.27, 0.113
_idle_detectors: list[Any] = []


@contextmanager
def face_detector() -> Iterator[Any]:
    """Lend dlib's frontal face detector: one is not safe to share between threads at one time."""
    try:
        detector = _idle_detectors.pop()
    except IndexError:
        detector = _read_detector()
    yield detector
    _idle_detectors.append(detector)


def _read_detector() -> Any:
    import dlib

    try:
        return dlib.fhog_object_detector(str(FRONTAL))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise MmferError(f"{FRONTAL}: not dlib's frontal detector ({reason}); install mmfer again") from None


def find_boxes(grey: np.ndarray, min_score: float) -> tuple[np.ndarray, np.ndarray]:
    """Image (H, W) uint8 -> boxes (n, 4) int64, left, top, right, bottom in pixels, and their scores (n,) float64.

    The box ends with its right and bottom pixels: they are inside. Scores are at least `min_score`.
    """
    with face_detector() as detector:
        found, scores, _ = detector.run(grey, 0, min_score)
    boxes = [(box.left(), box.top(), box.right(), box.bottom()) for box in found]
    return np.array(boxes, np.int64).reshape(-1, 4), np.array(scores, np.float64)


def cut_face(grey: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The square of a photo (H, W) uint8 that FER2013 would show of the face in `box`, as (48, 48) uint8.

    `box` (4,) is left, top, right, bottom, edges in pixels: the last two are one more than those of the last pixels.
    """
    return cut_square(grey, *face_square(box))


def face_square(box: np.ndarray) -> tuple[int, int, int]:
    """Left, top and side, in pixels, of the square around a face that dlib's detector has found in `box` (4,)."""
    width = box[2] - box[0]
    side = max(round(FRAME_SIDE * width), 2)
    left = round((box[0] + box[2] - side) / 2)
    return left, round((box[1] + box[3] - side) / 2 - FRAME_RISE * width), side


def cut_square(grey: np.ndarray, left: int, top: int, side: int, size: int = FACE_PX) -> np.ndarray:
    """A square of a photo (H, W) uint8, as (size, size) uint8; where it leaves the photo, its edge is repeated."""
    rows = np.clip(np.arange(top, top + side), 0, grey.shape[0] - 1)
    columns = np.clip(np.arange(left, left + side), 0, grey.shape[1] - 1)
    how = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return cv2.resize(grey[rows[:, None], columns], (size, size), interpolation=how)
