"""YuNet and dlib's frontal detector alike: how a picture is searched, and what a face is made of what was found."""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from mmfer.data import cutting
from mmfer.face import yunet

BORDER = 24  # dlib misses faces that touch the edge
# Side and rise of the frame of FER2013 in units of the height of YuNet's box. Medians over faces of FER2013's Training
# that no network saw.
FRAME_SIDE, FRAME_RISE = 1.025, 0.02


class Found(NamedTuple):
    """A face as a detector sees it, all in pixels of the photo, edges x0 y0 x1 y1."""

    box: np.ndarray  # (4,) what the detector calls a face
    score: float
    frame: tuple[int, int, int]  # left, top, side of the square that FER2013 would show
    expected: np.ndarray  # (4,) the box that the landmark model expects


class Detector(NamedTuple):
    """How faces are searched for, and from which score on one is no weak one."""

    search: Callable[[np.ndarray, float], tuple[np.ndarray, np.ndarray]]  # picture RGB, least score -> boxes, scores
    found: Callable[[np.ndarray, float], Found]  # a box and its score, in pixels of the photo
    doubled: bool  # whether a photo is searched at twice its size too: dlib sees faces from 80 px on
    strict: float
    strict_close: float  # the same of faces that are close
    strict_small: float  # the same of small ones
    strict_turned: float  # the same of those that are found in a photo that was turned
    strict_again: float  # the same of those that are looked at again
    weakest: float  # the least score that is looked for


def _search_yunet(picture: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    return yunet.find_boxes(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), least)


def _found_by_yunet(box: np.ndarray, score: float) -> Found:
    (x, y), height = (box[:2] + box[2:]) / 2, box[3] - box[1]
    frame = FRAME_SIDE * height
    left, top = round(x - frame / 2), round(y - FRAME_RISE * height - frame / 2)
    return Found(box, score, (left, top, max(round(frame), 2)), yunet.expected_boxes(box[None])[0])


def _search_dlib(picture: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    bordered = cv2.copyMakeBorder(grey, BORDER, BORDER, BORDER, BORDER, cv2.BORDER_CONSTANT)
    boxes, scores = cutting.find_boxes(bordered, least)
    return boxes - BORDER + [0, 0, 1, 1], scores


def _found_by_dlib(box: np.ndarray, score: float) -> Found:
    return Found(box, score, cutting.face_square(box), box)


DETECTORS = {
    "yunet": Detector(
        _search_yunet,
        _found_by_yunet,
        doubled=False,
        strict=0.6,
        strict_close=0.4,
        strict_small=0.8,
        strict_turned=0.88,
        strict_again=0.7,
        weakest=0.1,
    ),
    "dlib": Detector(
        _search_dlib,
        _found_by_dlib,
        doubled=True,
        strict=0.0,
        strict_close=0.0,
        strict_small=0.0,
        strict_turned=0.5,
        strict_again=0.0,
        weakest=-0.7,
    ),
}
