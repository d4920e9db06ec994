"""Faces in photos: where they are, what a network is shown of them, and their landmarks.

A photo is searched by YuNet, or by dlib's frontal detector, at two sizes or more that are joined: large, for small
faces, and small, for a face that fills it. Where no upright face is sure, it is turned by quarters too. A face is weak
where its score is below the bound of its kind: false faces are mostly small, or seen where a picture is turned.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from mmfer.data import cutting
from mmfer.data.cutting import cut_square
from mmfer.face import yunet
from mmfer.face.shape_predictor import find_landmarks

SMALL, MEDIUM, LARGE = 192, 320, 1280  # longest sides, in pixels, at which a photo is searched
CLOSE = 0.25  # of a photo's shorter side, from which on a face is close
BORDER = 24  # dlib misses faces that touch the edge
SHARED = 0.6  # of the smaller of two boxes, from which on they are one face
LANDMARK_PX = 160  # side of the picture in which landmarks are fitted; the face takes half of it
# A box of YuNet in units of its height: side and rise of the frame of FER2013, side and rise of the box that dlib would
# have drawn, which the landmark model expects. Medians over faces of FER2013's Training that no network saw.
FRAME_SIDE, FRAME_RISE = 1.025, 0.02
EXPECTED_SIDE, EXPECTED_RISE = 0.917, -0.057


class Found(NamedTuple):
    """A face as a detector sees it, all in pixels of the photo, edges x0 y0 x1 y1."""

    box: np.ndarray  # (4,) what the detector calls a face
    score: float
    frame: tuple[int, int, int]  # left, top, side of the square that FER2013 would show
    expected: np.ndarray  # (4,) the box that the landmark model expects


class Seen(NamedTuple):
    """A face that was found in the photo turned by quarters."""

    box: np.ndarray  # (4,) in pixels of the photo as it is
    score: float
    weak: bool
    turn: int  # quarters
    found: Found  # in pixels of the turned photo


class Detector(NamedTuple):
    """How faces are searched for, and from which score on one is no weak one."""

    search: Callable[[np.ndarray, list[int], float], list[Found]]  # photo RGB, longest sides, least score
    strict: float
    strict_close: float  # the same of faces that are close
    strict_turned: float  # the same of those that are found in a photo that was turned
    weakest: float  # the least score that is looked for


@dataclass(frozen=True)
class Detection:
    """A face of a photo, in its pixels."""

    box: np.ndarray  # (4,) edges x0 y0 x1 y1
    score: float
    weak: bool
    landmarks: np.ndarray  # (68, 2)
    image: np.ndarray  # (48, 48) uint8: cut as those of FER2013, upright
    turned: int = 0  # degrees by which the face is turned clockwise: 0, 90, 180 or 270


def detect(photo: np.ndarray, detector: str = "yunet", min_score: float | None = None) -> list[Detection]:
    """Photo RGB (H, W, 3) or grey (H, W) uint8 -> its faces, the surest first.

    Those of at least `min_score`; where it is None, those that are not weak. MmferError where a file of the detector is
    missing.
    """
    photo = cv2.cvtColor(photo, cv2.COLOR_GRAY2RGB) if photo.ndim == 2 else photo
    chosen, longest = DETECTORS[detector], max(photo.shape[:2])
    sides = [min(max(longest, 256), LARGE), SMALL if longest <= MEDIUM else MEDIUM]
    found = _searched(photo, 0, chosen, sides, chosen.weakest if min_score is None else min_score)
    if max((face.score for face in found), default=-np.inf) < chosen.strict_turned:
        found += [
            face for turn in (1, 2, 3) for face in _searched(photo, turn, chosen, sides[1:], chosen.strict_turned)
        ]
    wanted = [face for face in _joined(found) if min_score is not None or not face.weak]
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    return [_described(grey, face) for face in wanted]


def _searched(photo: np.ndarray, turn: int, detector: Detector, sides: list[int], least: float) -> list[Seen]:
    """The faces of a photo that is turned by so many quarters first."""
    close, faces = CLOSE * min(photo.shape[:2]), []
    for face in detector.search(np.ascontiguousarray(np.rot90(photo, turn)), sides, least):
        corners = unturned(face.box.reshape(2, 2), turn, photo.shape[:2], 0)
        box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
        upright = detector.strict_close if face.box[2] - face.box[0] >= close else detector.strict
        weak = face.score < (detector.strict_turned if turn else upright)
        faces.append(Seen(box, face.score, weak, turn, face))
    return faces


def _joined(found: list[Seen]) -> list[Seen]:
    """The surest of those that overlap, the surest first."""
    kept: list[Seen] = []
    for face in sorted(found, key=lambda face: -face.score):
        if all(intersection(face.box, other.box) < SHARED * min(area(face.box), area(other.box)) for other in kept):
            kept.append(face)
    return kept


def intersection(a: np.ndarray, b: np.ndarray) -> float:
    """Pixels that two boxes (4,), edges x0 y0 x1 y1, have in common."""
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    return float(max(width, 0) * max(height, 0))


def area(box: np.ndarray) -> float:
    """Pixels in a box (4,)."""
    return float(np.prod(box[2:] - box[:2]))


def _described(grey: np.ndarray, face: Seen) -> Detection:
    turned = np.ascontiguousarray(np.rot90(grey, face.turn))
    landmarks = unturned(fit_landmarks(turned, face.found.expected), face.turn, grey.shape, 1)
    return Detection(face.box, face.score, face.weak, landmarks, cut_square(turned, *face.found.frame), 90 * face.turn)


def fit_landmarks(grey: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Photo (H, W) uint8, the box (4,) of a face as dlib's detector draws it -> landmarks (68, 2) float64."""
    side = max(round(2 * (box[2] - box[0])), 2)
    corner = np.round((box[:2] + box[2:] - side) / 2).astype(int)
    scale, cut = LANDMARK_PX / side, cut_square(grey, corner[0], corner[1], side, LANDMARK_PX)
    place = np.round((box - np.tile(corner, 2)) * scale) - [0, 0, 1, 1]  # with the last pixels
    return (find_landmarks(cut[None], place[None])[0] + 0.5) / scale - 0.5 + corner


def unturned(points: np.ndarray, turn: int, shape: tuple[int, ...], last: int) -> np.ndarray:
    """Points (n, 2) of a photo that np.rot90 turned `turn` times, in the pixels of the photo of that shape (H, W).

    `last` is 1 for centres of pixels, which start at 0 and end one before the side, 0 for edges.
    """
    (height, width), (x, y) = shape, points.T
    places = [(x, y), (width - last - y, x), (width - last - x, height - last - y), (y, height - last - x)]
    return np.column_stack(places[turn])


def _search_yunet(photo: np.ndarray, sides: list[int], least: float) -> list[Found]:
    found = []
    for side in dict.fromkeys(sides):
        scaled, factors = _scaled(photo, side)
        boxes, scores = yunet.find_boxes(cv2.cvtColor(scaled, cv2.COLOR_RGB2BGR), least)
        for box, score in zip(boxes / factors, scores.tolist(), strict=True):
            (x, y), height = (box[:2] + box[2:]) / 2, box[3] - box[1]
            frame, expected = FRAME_SIDE * height, EXPECTED_SIDE * height
            left, top = round(x - frame / 2), round(y - FRAME_RISE * height - frame / 2)
            middle = np.array([x, y - EXPECTED_RISE * height])
            corners = np.concatenate([middle - expected / 2, middle + expected / 2])
            found.append(Found(box, score, (left, top, max(round(frame), 2)), corners))
    return found


def _search_dlib(photo: np.ndarray, sides: list[int], least: float) -> list[Found]:
    """At twice its size too, for the detector sees faces from 80 px on."""
    found, grey = [], cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    for side in dict.fromkeys([*sides, min(2 * max(grey.shape), 2 * LARGE)]):
        scaled, factors = _scaled(grey, side)
        scaled = cv2.copyMakeBorder(scaled, BORDER, BORDER, BORDER, BORDER, cv2.BORDER_CONSTANT)
        boxes, scores = cutting.find_boxes(scaled, least)
        for box, score in zip((boxes - BORDER + [0, 0, 1, 1]) / factors, scores.tolist(), strict=True):
            found.append(Found(box, score, cutting.face_square(box), box))
    return found


def _scaled(photo: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The photo with its longest side so long, and the factors (4,) by which x and y, twice, became larger."""
    height, width = photo.shape[:2]
    factor = side / max(height, width)
    size = max(round(width * factor), 1), max(round(height * factor), 1)
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(photo, size, interpolation=how), np.tile([size[0] / width, size[1] / height], 2)


def prepare_detector(name: str) -> None:
    """Load what a detector needs, once; MmferError where its file is missing or damaged."""
    if name == "yunet":
        yunet.load_model()
    else:
        with cutting.face_detector():
            pass


DETECTORS = {
    "yunet": Detector(_search_yunet, strict=0.6, strict_close=0.4, strict_turned=0.88, weakest=0.3),
    "dlib": Detector(_search_dlib, strict=0.0, strict_close=0.0, strict_turned=0.5, weakest=-0.7),
}
