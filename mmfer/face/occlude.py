"""Things before a face: what training hides, so that networks learn from faces with a mouth or eyes that are not seen.

An occluder has a place (mouth, eyes, a side, anywhere), a shape (box, ellipse, blob, hand, or a cover such as a scarf,
a hat or a wall, which hides all beyond a wavy edge) and a surface (grey, shaded, noise, cloth, skin, another face).
None is what tests hide faces with (mmfer.testing.perturb): boxes there are upright and of the face's mean grey, from
which even surfaces here keep apart; dark glasses and surgical masks are not drawn here.

Shapes are signed distances in pixels, below zero inside, over the picture's coordinates in the frame of the face: right
along the eyes and down, in units of the distance of the eyes, from the point between them.
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from scipy.ndimage import map_coordinates

from mmfer.config import FACE_PX
from mmfer.face.points import EYES, LEFT_EYE, MOUTH, PARTS, RIGHT_EYE

PLACES = {"mouth": 0.3, "eyes": 0.3, "left": 0.1, "right": 0.1, "anywhere": 0.2}  # and how often each is hidden
SECOND = 0.15  # share of faces with two occluders
APART = 24.0  # grey levels that an even surface differs at least from the mean of the face


class View(NamedTuple):
    """A picture seen from the face in it: coordinates of each pixel, of the landmarks, and pixels of a unit."""

    u: np.ndarray  # (48, 48) to the right
    v: np.ndarray  # (48, 48) down
    points: np.ndarray  # (68, 2)
    unit: float


Shape = Callable[[View, np.ndarray, np.ndarray, str, Generator], np.ndarray]
Surface = Callable[[np.ndarray, np.ndarray, Generator], np.ndarray]


def occlude(face: np.ndarray, points: np.ndarray, other: np.ndarray, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Hide a part of a face (48, 48) uint8 with landmarks (68, 2) -> the face, and how far a pixel is hidden, 0 to 1.

    `other` (48, 48) uint8 is the face of which some occluders are patches.
    """
    view, seen = _view(points), face.astype(np.float64)
    hidden = np.zeros(face.shape)
    for _ in range(1 + (rng.random() < SECOND)):
        cover = np.clip(0.5 - _shape(view, rng), 0, 1)
        surface = SURFACES[rng.choice(list(SURFACES))](face, other, rng)
        seen += cover * (surface - seen)
        hidden = np.maximum(hidden, cover)
    return np.clip(np.round(seen), 0, 255).astype(np.uint8), hidden


def hidden_shares(hidden: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How far pixels are hidden (48, 48), landmarks (68, 2) -> the hidden share of each of PARTS' points, (5,)."""
    x, y = np.clip(np.round(points), 0, FACE_PX - 1).astype(int).T
    at_points = hidden[y, x]
    return np.array([at_points[part].mean() for part in PARTS.values()])


def _view(points: np.ndarray) -> View:
    right, left = points[RIGHT_EYE].mean(axis=0), points[LEFT_EYE].mean(axis=0)
    apart = float(np.linalg.norm(left - right))
    cos, sin = (left - right) / apart if apart > 0 else (1.0, 0.0)
    unit = max(apart, 6.0)  # the eyes of a head in profile are near each other, or in one point
    turn = np.array([[cos, sin], [-sin, cos]]) / unit
    y, x = np.mgrid[:FACE_PX, :FACE_PX]
    seen = (np.stack([x, y], axis=2) - (left + right) / 2) @ turn.T
    return View(seen[..., 0], seen[..., 1], (points - (left + right) / 2) @ turn.T, unit)


def _shape(view: View, rng: Generator) -> np.ndarray:
    """Signed distances (48, 48) of an occluder at a random place."""
    place = str(rng.choice(list(PLACES), p=list(PLACES.values())))
    middle, half = _extent(view, place, rng)
    middle = middle + half * rng.uniform(-0.25, 0.25, 2)
    shape = SHAPES[rng.choice([name for name in SHAPES if name != "cover" or place != "anywhere"])]
    return shape(view, middle, half * rng.uniform(0.9, 1.5, 2), place, rng)


def _extent(view: View, place: str, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Middle and half the size of what is to be hidden, in the frame of the face."""
    if place in ("mouth", "eyes"):
        points = view.points[MOUTH if place == "mouth" else EYES]
        low, high = points.min(axis=0) - 0.1, points.max(axis=0) + 0.1
        return (low + high) / 2, (high - low) / 2
    if place == "anywhere":
        return rng.uniform([-0.8, -0.5], [0.8, 1.4]), rng.uniform(0.15, 0.6, 2)
    return np.array([-0.6 if place == "left" else 0.6, 0.4]), np.array([0.45, 0.9])


def _box(view: View, middle: np.ndarray, half: np.ndarray, place: str, rng: Generator) -> np.ndarray:
    """A box, turned."""
    a, b = _turned(view, middle, np.deg2rad(rng.uniform(-40, 40)))
    return view.unit * np.maximum(abs(a) - half[0], abs(b) - half[1])


def _ellipse(view: View, middle: np.ndarray, half: np.ndarray, place: str, rng: Generator) -> np.ndarray:
    """An ellipse, turned."""
    a, b = _turned(view, middle, np.deg2rad(rng.uniform(-40, 40)))
    return view.unit * half.min() * (np.hypot(a / half[0], b / half[1]) - 1)


def _blob(view: View, middle: np.ndarray, half: np.ndarray, place: str, rng: Generator) -> np.ndarray:
    """An ellipse whose rim waves."""
    a, b = (view.u - middle[0]) / half[0], (view.v - middle[1]) / half[1]
    angle, rim = np.arctan2(b, a), 1.0
    for waves in (2, 3, 5):
        rim = rim + rng.uniform(0, 0.2) * np.cos(waves * angle + rng.uniform(0, 2 * np.pi))
    return view.unit * half.min() * (np.hypot(a, b) - rim)


def _hand(view: View, middle: np.ndarray, half: np.ndarray, place: str, rng: Generator) -> np.ndarray:
    """Four fingers side by side, a palm and an arm, from any side."""
    a, b = _turned(view, middle, rng.uniform(0, 2 * np.pi))  # a along the fingers
    wide = rng.uniform(0.13, 0.2)  # of half a finger
    spread = rng.uniform(1.9, 2.6) * wide  # from finger to finger
    tips = half.max() * rng.uniform(0.6, 1.1) - np.array([0.25, 0.05, 0.0, 0.12])
    distances = [_capsule(a, b - spread * (k - 1.5), -0.9, tip, wide) for k, tip in enumerate(tips)]
    palm = np.maximum(abs(b) - 2 * spread, a + 0.1)
    return view.unit * np.minimum.reduce([*distances, palm])


def _cover(view: View, middle: np.ndarray, half: np.ndarray, place: str, rng: Generator) -> np.ndarray:
    """All beyond a wavy edge: below it at the mouth (a scarf), above it at the eyes (a hat), or aside (a wall)."""
    along, beyond, edge = {
        "mouth": (view.u, view.v, middle[1] - half[1]),
        "eyes": (view.u, -view.v, -middle[1] - half[1]),
        "left": (view.v, -view.u, -rng.uniform(-0.2, 0.3)),
        "right": (view.v, view.u, rng.uniform(-0.3, 0.2)),
    }[place]
    wave = rng.uniform(0, 0.12) * np.sin(rng.uniform(1, 5) * along + rng.uniform(0, 2 * np.pi))
    return view.unit * (edge + rng.uniform(-0.2, 0.2) * along + wave - beyond)


def _turned(view: View, middle: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates about a point, turned."""
    a, b, cos, sin = view.u - middle[0], view.v - middle[1], np.cos(angle), np.sin(angle)
    return cos * a + sin * b, cos * b - sin * a


def _capsule(a: np.ndarray, b: np.ndarray, start: float, end: float, radius: float) -> np.ndarray:
    """Distance from a rod with round ends, along a."""
    return np.hypot(a - np.clip(a, start, end), b) - radius


def _grey(face: np.ndarray, other: np.ndarray, rng: Generator) -> np.ndarray:
    """One level, apart from the mean of the face."""
    return np.full(face.shape, _level(face, rng))


def _shaded(face: np.ndarray, other: np.ndarray, rng: Generator) -> np.ndarray:
    """From one level to another, across the picture."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : 1j * FACE_PX, -1 : 1 : 1j * FACE_PX]
    across = np.cos(angle) * x + np.sin(angle) * y
    return _level(face, rng) + rng.uniform(30, 90) * across


def _noise(face: np.ndarray, other: np.ndarray, rng: Generator) -> np.ndarray:
    """Noise, fine or coarse, about a level."""
    noise = rng.normal(0, 1, face.shape)
    size = rng.uniform(0, 2.5)
    if size > 0.3:
        noise = cv2.GaussianBlur(noise, (0, 0), size)
    return rng.uniform(20, 235) + rng.uniform(15, 70) * noise / noise.std()


def _cloth(face: np.ndarray, other: np.ndarray, rng: Generator) -> np.ndarray:
    """Stripes or checks."""
    y, x = np.mgrid[:FACE_PX, :FACE_PX]
    angle, length, depth = rng.uniform(0, np.pi), rng.uniform(2.5, 9), rng.uniform(10, 60)
    a, b = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    wave = np.sin(2 * np.pi * a / length) + (rng.random() < 0.5) * np.sin(2 * np.pi * b / length)
    return rng.uniform(20, 235) + depth * wave


def _skin(face: np.ndarray, other: np.ndarray, rng: Generator) -> np.ndarray:
    """The light of the face itself, without its features: lighter or darker, with some grain."""
    smooth = cv2.GaussianBlur(face.astype(np.float64), (0, 0), 12)
    grain = cv2.GaussianBlur(rng.normal(0, 1, face.shape), (0, 0), 1.2)
    level = rng.choice([rng.uniform(0.55, 0.9), rng.uniform(1.1, 1.35)])
    return level * smooth + rng.uniform(2, 8) * grain / grain.std()


def _patch(face: np.ndarray, other: np.ndarray, rng: Generator) -> np.ndarray:
    """Another face, turned, scaled and moved; by SciPy, for OpenCV 5 warps otherwise than OpenCV 4."""
    middle, angle, scale = (FACE_PX - 1) / 2, np.radians(rng.uniform(-180, 180)), rng.uniform(0.8, 1.6)
    x_shift, y_shift = rng.uniform(-12, 12, 2)
    y, x = np.mgrid[:FACE_PX, :FACE_PX]
    x, y = (x - middle - x_shift) / scale, (y - middle - y_shift) / scale
    places = [np.sin(angle) * x + np.cos(angle) * y + middle, np.cos(angle) * x - np.sin(angle) * y + middle]
    return map_coordinates(other.astype(np.float64), places, order=1, mode="mirror")


def _level(face: np.ndarray, rng: Generator) -> float:
    """A grey level at least APART from the face's mean."""
    mean = float(face.mean())
    below, above = max(mean - APART, 0), max(255 - mean - APART, 0)
    drawn = rng.uniform(0, below + above)
    return drawn if drawn < below else drawn - below + mean + APART


SHAPES: dict[str, Shape] = {"box": _box, "ellipse": _ellipse, "blob": _blob, "hand": _hand, "cover": _cover}
SURFACES: dict[str, Surface] = {
    "grey": _grey,
    "shaded": _shaded,
    "noise": _noise,
    "cloth": _cloth,
    "skin": _skin,
    "patch": _patch,
}
