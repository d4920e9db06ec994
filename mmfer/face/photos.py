"""Faces in photos: where they are, what a network is shown of them, and their landmarks.

A photo is searched by YuNet, or by dlib's frontal detector, at two sizes or more that are joined: large, for small
faces, and small, for a face that fills it. A face is weak where its score is below the bound of its kind: false faces
are mostly small, or seen where a picture is turned. Weak ones are looked at again, enlarged, which tells most small,
turned and covered faces from what is none. Where no upright face is sure, the photo is turned by quarters too.

Where it is known from another frame of a video what faces to expect, only their surroundings are searched.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np

from mmfer.data.cutting import cut_square
from mmfer.face.detectors import DETECTORS, Detector, Found
from mmfer.face.shape_predictor import find_landmarks
from mmfer.face.views import View, cut_fast, mosaic, scaled

SMALL, MEDIUM, LARGE = 192, 320, 1280  # longest sides, in pixels, at which a photo is searched
CLOSE = 0.25  # of a photo's shorter side, from which on a face is close
SMALL_FACE = 32  # height in the largest of these pictures, in pixels, below which it is small
TILE = 192  # side of a picture of one face's surroundings, in pixels: the face takes half of it
AGAIN = 32  # weak faces at most that are looked at again
SHARED = 0.6  # of the smaller of two boxes, from which on they are one face
LANDMARK_PX = 160  # side of the picture in which landmarks are fitted; the face takes half of it


class Seen(NamedTuple):
    """A face that was found in the photo turned by quarters."""

    box: np.ndarray  # (4,) in pixels of the photo as it is
    score: float
    weak: bool
    turn: int  # quarters
    found: Found  # in pixels of the turned photo


@dataclass(frozen=True)
class Detection:
    """A face of a photo, in its pixels."""

    box: np.ndarray  # (4,) edges x0 y0 x1 y1
    score: float
    weak: bool
    landmarks: np.ndarray  # (68, 2)
    image: np.ndarray  # (48, 48) uint8: cut as those of FER2013, upright
    turned: int = 0  # degrees by which the face is turned clockwise: 0, 90, 180 or 270


def detect(
    photo: np.ndarray,
    detector: str = "yunet",
    min_score: float | None = None,
    near: Sequence[Detection] | None = None,
) -> list[Detection]:
    """Photo RGB (H, W, 3) or grey (H, W) uint8 -> its faces, the surest first, weak ones last.

    Those of at least `min_score`; where it is None, those that are not weak. With `near`, which are faces of another
    picture as large, only those that lie about where these do. MmferError where a file of the detector is missing.
    """
    photo = cv2.cvtColor(photo, cv2.COLOR_GRAY2RGB) if photo.ndim == 2 else photo
    chosen = DETECTORS[detector]
    least = chosen.weakest if min_score is None else min(chosen.weakest, min_score)
    found = _searched_whole(photo, chosen, least) if near is None else _searched_near(photo, chosen, least, near)
    wanted = [face for face in _joined(found) if (not face.weak if min_score is None else face.score >= min_score)]
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    return [_described(grey, face) for face in wanted]


def _searched_whole(photo: np.ndarray, detector: Detector, least: float) -> list[Seen]:
    longest = max(photo.shape[:2])
    sides = [min(max(longest, 256), LARGE), SMALL if longest <= MEDIUM else MEDIUM]
    sides += [min(2 * longest, 2 * LARGE)] if detector.doubled else []
    found = _searched(photo, 0, partial(_scaled, sides=sides), detector, least, partial(_strict, detector, photo))
    found += _looked_at_again(photo, found, detector)
    if max((face.score for face in found), default=-np.inf) < detector.strict_turned:
        smaller = partial(_scaled, sides=sides[1:])
        for turn in (1, 2, 3):
            found += _searched(photo, turn, smaller, detector, detector.strict_turned, lambda _: detector.strict_turned)
    return found


def _looked_at_again(photo: np.ndarray, found: list[Seen], detector: Detector) -> list[Seen]:
    """Of the weak faces, but close ones, those that are none when each is enlarged, with its surroundings."""
    doubtful = [face for face in _joined(found) if face.weak and not _close((face.box[2:] - face.box[:2]).max(), photo)]
    sure = []
    for face in doubtful[:AGAIN]:
        around = partial(_tiled, boxes=face.box[None])
        seen = _searched(photo, 0, around, detector, detector.strict_again, lambda _: detector.strict_again)
        sure += [other for other in seen if _same(face.box, other.box[None]).any()]
    return sure


def _searched_near(photo: np.ndarray, detector: Detector, least: float, near: Sequence[Detection]) -> list[Seen]:
    found = []
    for turn in sorted({face.turned // 90 for face in near}):
        boxes = [box_turned(face.box, turn, photo.shape) for face in near if face.turned == 90 * turn]
        known = partial(_strict, detector._replace(strict_small=detector.strict), photo)
        strict = (lambda _: detector.strict_turned) if turn else known
        tiles = partial(_tiled, boxes=np.stack(boxes))
        found += _searched(photo, turn, tiles, detector, detector.strict_turned if turn else least, strict)
    return found


def _strict(detector: Detector, photo: np.ndarray, box: np.ndarray) -> float:
    """The score from which on a box (4,) in the upright photo is no weak face."""
    if _close(box[2] - box[0], photo):
        return detector.strict_close
    return detector.strict_small if box[3] - box[1] < SMALL_FACE * max(max(photo.shape) / LARGE, 1) else detector.strict


def _close(side: float, photo: np.ndarray) -> bool:
    return side >= CLOSE * min(photo.shape[:2])


def _searched(
    photo: np.ndarray,
    turn: int,
    views: Callable[[np.ndarray], list[View]],
    detector: Detector,
    least: float,
    strict: Callable[[np.ndarray], float],
) -> list[Seen]:
    """The faces in some views of a photo that is turned by so many quarters first; `strict` bounds weak ones by box."""
    faces = []
    for view in views(np.ascontiguousarray(np.rot90(photo, turn))):
        boxes, scores = detector.search(view.picture, least)
        for box, score in zip(view.back(boxes), scores.tolist(), strict=True):
            place = box_unturned(box, turn, photo.shape)
            faces.append(Seen(place, score, score < strict(box), turn, detector.found(box, score)))
    return faces


def _scaled(photo: np.ndarray, sides: list[int]) -> list[View]:
    return [scaled(photo, side) for side in dict.fromkeys(sides)]


def _tiled(photo: np.ndarray, boxes: np.ndarray) -> list[View]:
    return [mosaic(photo, boxes, TILE)]


def _joined(found: list[Seen]) -> list[Seen]:
    """The surest of those that overlap, the surest first, weak ones last."""
    faces = sorted(found, key=lambda face: (face.weak, -face.score))
    boxes = np.array([face.box for face in faces]).reshape(-1, 4)
    kept: list[int] = []
    for n, box in enumerate(boxes):  # there may be thousands
        if not _same(box, boxes[kept]).any():
            kept.append(n)
    return [faces[n] for n in kept]


def _same(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether a box (4,), edges x0 y0 x1 y1, is about one face with each of others (n, 4) -> (n,) bool."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    area, areas = np.prod(box[2:] - box[:2]), np.prod(others[:, 2:] - others[:, :2], axis=1)
    return np.prod(np.maximum(sides, 0), axis=1) >= SHARED * np.minimum(area, areas)


def _described(grey: np.ndarray, face: Seen) -> Detection:
    turned = np.ascontiguousarray(np.rot90(grey, face.turn))
    landmarks = unturned(fit_landmarks(turned, face.found.expected), face.turn, grey.shape, 1)
    return Detection(face.box, face.score, face.weak, landmarks, cut_square(turned, *face.found.frame), 90 * face.turn)


def fit_landmarks(grey: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Photo (H, W) uint8, the box (4,) of a face as dlib's detector draws it -> landmarks (68, 2) float64."""
    side = max(round(2 * (box[2] - box[0])), 2)
    corner = np.round((box[:2] + box[2:] - side) / 2).astype(int)
    scale, cut = LANDMARK_PX / side, cut_fast(grey, corner[0], corner[1], side, LANDMARK_PX)
    place = np.round((box - np.tile(corner, 2)) * scale) - [0, 0, 1, 1]  # with the last pixels
    return (find_landmarks(cut[None], place[None])[0] + 0.5) / scale - 0.5 + corner


def unturned(points: np.ndarray, turn: int, shape: tuple[int, ...], last: int) -> np.ndarray:
    """Points (n, 2) of a photo that np.rot90 turned `turn` times, in the pixels of the photo of that shape (H, W).

    `last` is 1 for centres of pixels, which start at 0 and end one before the side, 0 for edges.
    """
    (height, width), (x, y) = shape, points.T
    places = [(x, y), (width - last - y, x), (width - last - x, height - last - y), (y, height - last - x)]
    return np.column_stack(places[turn])


def box_unturned(box: np.ndarray, turn: int, shape: tuple[int, ...]) -> np.ndarray:
    """A box (4,) of a photo that np.rot90 turned `turn` times, in the pixels of the photo of that shape (H, W)."""
    corners = unturned(box.reshape(2, 2), turn, shape[:2], 0)
    return np.concatenate([corners.min(axis=0), corners.max(axis=0)])


def box_turned(box: np.ndarray, turn: int, shape: tuple[int, ...]) -> np.ndarray:
    """The other way round: a box (4,) of a photo of that shape in the pixels of the photo that was turned."""
    height, width = shape[:2]
    return box_unturned(box, -turn % 4, (width, height) if turn % 2 else (height, width))
