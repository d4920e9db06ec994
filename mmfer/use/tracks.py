"""Faces followed through a video: which box is whose, and probabilities smoothed over time.

A track goes on with the face that lies nearest to where it should be by now, each face in one track (the assignment of
least cost; Kuhn, 1955). That is where it was last, moved on at its own speed, for as long as it was not seen. What a
face looks like is not compared: after a cut, whoever sits in the same place goes on with the track.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from mmfer.use.photos import Picture
from mmfer.use.predictor import Face

LOST = 1.0  # seconds unseen after which a track has ended, if also the frame before did not show it
REACH = 0.5  # how far from its place a face may be, in sides of its box, ...
DRIFT, FARTHEST = 2.0, 2.0  # ... more by so many for each second since, and at most
GROWTH = 2.0  # most by which a face may have grown or shrunk
INERTIA = 0.2  # seconds over which the speed of a track is averaged
SMOOTH = 0.3  # seconds over which probabilities are averaged: expressions mostly last 0.5 to 4
FAR = 10.0  # cost of a pair that may not be, above all that may
Item = TypeVar("Item")


@dataclass(frozen=True)
class Track:
    """A face of a video, as far as it is known."""

    number: int  # from 1
    box: np.ndarray  # (4,) x0 y0 x1 y1 where it was seen last
    speed: np.ndarray  # (2,) of its centre, pixels a second
    seen: float  # when that was
    probabilities: dict[str, float]  # smoothed


def follow(found: Iterable[tuple[Item, list[Face]]], smooth: float = SMOOTH) -> Iterator[tuple[Item, list[Face]]]:
    """Pictures with their faces, those of videos and cameras in tracks; other items as they are.

    Each video counts its tracks from 1. `smooth` is the time constant in seconds of an average with exponentially
    falling weights, with which a track's probabilities are replaced; 0 leaves them. Of averaged ones no candidates
    are promised.
    """
    tracks: list[Track] = []
    before: Picture | None = None
    for item, faces in found:
        if not isinstance(item, Picture) or item.seconds is None:
            yield item, faces
            continue
        if not item.follows(before):
            tracks, before, first = [], None, 1
        since = (before or item).seconds or 0.0
        alive = [track for track in tracks if track.seen >= min(since, item.seconds - LOST)]
        now = _continued(alive, faces, item.seconds, smooth, first)
        first = max([first, *(track.number + 1 for track in now)])
        kept = {track.number for track in now}
        tracks = [*now, *(track for track in alive if track.number not in kept)]
        before = item
        yield item, [_marked(face, track, smooth) for face, track in zip(faces, now, strict=True)]


def _continued(tracks: list[Track], faces: list[Face], seconds: float, smooth: float, first: int) -> list[Track]:
    """The track of each face, brought up to date; those that are new have numbers from `first`."""
    boxes = np.array([face.box for face in faces]).reshape(-1, 4)
    elapsed = np.array([seconds - track.seen for track in tracks])
    expected = np.array([moved(track.box, track.speed * (seconds - track.seen)) for track in tracks]).reshape(-1, 4)
    pairs = {face: tracks[track] for track, face in match(expected, boxes, reach(elapsed))}
    fresh = iter(range(first, first + len(faces)))
    return [
        _next(pairs[n], face, seconds, smooth) if n in pairs else _new(next(fresh), face, seconds)
        for n, face in enumerate(faces)
    ]


def match(expected: np.ndarray, found: np.ndarray, reaches: np.ndarray) -> list[tuple[int, int]]:
    """Boxes (M, 4) where tracks should be, boxes (N, 4) of faces, reaches (M,) in sides -> pairs (track, face).

    Their centres lie within reach, and neither is GROWTH times as large as the other.
    """
    from scipy.optimize import linear_sum_assignment  # takes long to import, and photos need none of it

    places, sides = _places_and_sides(expected)
    others, other_sides = _places_and_sides(found)
    scale = np.sqrt(sides[:, None] * other_sides)
    distance = np.linalg.norm(places[:, None] - others, axis=2) / scale  # (M, N)
    growth = np.abs(np.log(sides[:, None] / other_sides))
    allowed = (distance <= reaches[:, None]) & (growth <= np.log(GROWTH))
    rows, columns = linear_sum_assignment(np.where(allowed, distance + growth, FAR))
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True) if allowed[row, column]]


def reach(elapsed: np.ndarray) -> np.ndarray:
    """How far from its place a face may be after so many seconds, in sides of its box."""
    return np.minimum(REACH + DRIFT * elapsed, FARTHEST)


def moved(box: np.ndarray, by: np.ndarray) -> np.ndarray:
    """A box (4,) moved by (x, y)."""
    return box + np.tile(by, 2)


def _places_and_sides(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres (N, 2) of boxes (N, 4), and the sides (N,) of squares as large."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2, np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))


def _new(number: int, face: Face, seconds: float) -> Track:
    return Track(number, np.array(face.box), np.zeros(2), seconds, face.probabilities)


def _next(track: Track, face: Face, seconds: float, smooth: float) -> Track:
    """A track that goes on with a face."""
    elapsed, box = max(seconds - track.seen, 0.001), np.array(face.box)
    (before, now), _ = _places_and_sides(np.stack([track.box, box]))
    keeps = np.exp(-elapsed / INERTIA)
    speed = keeps * track.speed + (1 - keeps) * (now - before) / elapsed
    stays = float(np.exp(-elapsed / smooth)) if smooth else 0.0
    old = track.probabilities
    mixed = {name: stays * old[name] + (1 - stays) * value for name, value in face.probabilities.items()}
    return Track(track.number, box, speed, seconds, mixed)


def _marked(face: Face, track: Track, smooth: float) -> Face:
    """A face with its track and what the track says by now."""
    if not smooth:
        return replace(face, track=track.number)
    best = max(track.probabilities, key=track.probabilities.__getitem__)
    return replace(face, track=track.number, expression=best, probabilities=track.probabilities, candidates=())
