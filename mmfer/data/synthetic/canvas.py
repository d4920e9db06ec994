"""A square grid over a part of the plane, and soft shapes drawn on it: what the face renderer paints with.

Maps are float32 (side, side). Positions, widths and softness are in the plane's units, so the same code draws the same
picture at any resolution. `softness` is the sigma of a Gaussian blur.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np

SUBPIXEL = 4  # OpenCV draws polygons at 1/16 pixel when coordinates are shifted by 4 bits
FULL = 200  # grey value of strength 1 in 8-bit drawings; leaves room for strengths up to 1.25


class Stroke(NamedTuple):
    """A brush stroke through control points (K, 2); `taper` is the relative width from its start to its end."""

    strength: float
    points: np.ndarray | list
    width: float
    taper: Sequence[float] = (0.5, 0.85, 1.0, 0.85, 0.5)


@dataclass(frozen=True)
class Canvas:
    """`side` pixels over the square from (left, top) with sides of `extent` units; the default holds a whole head."""

    side: int
    left: float = -2.0
    top: float = -1.75
    extent: float = 4.0

    @property
    def scale(self) -> float:
        """Pixels per unit."""
        return self.side / self.extent

    @cached_property
    def x(self) -> np.ndarray:
        """x of the pixel centres, float32 (1, side): broadcasts along the rows."""
        return self._centres(self.left)[None, :]

    @cached_property
    def y(self) -> np.ndarray:
        """y of the pixel centres, float32 (side, 1): broadcasts along the columns."""
        return self._centres(self.top)[:, None]

    def _centres(self, start: float) -> np.ndarray:
        return ((np.arange(self.side) + 0.5) / self.scale + start).astype(np.float32)

    def pixels(self, points: np.ndarray | list) -> np.ndarray:
        """Points (..., 2) in units -> in pixels, where whole numbers are pixel centres."""
        return (np.asarray(points, dtype=float) - (self.left, self.top)) * self.scale - 0.5

    def blur(self, image: np.ndarray, softness: float) -> np.ndarray:
        """Gaussian blur."""
        return cv2.GaussianBlur(image, (0, 0), softness * self.scale)

    def spot(self, x: float, y: float, width: float, height: float) -> np.ndarray:
        """A Gaussian bump of height 1 at (x, y); width and height are its sigmas."""
        across = np.exp(-0.5 * ((self.x - np.float32(x)) / np.float32(width)) ** 2)
        return np.exp(-0.5 * ((self.y - np.float32(y)) / np.float32(height)) ** 2) * across

    def fill(self, outline: np.ndarray | list, softness: float) -> np.ndarray:
        """1 inside the polygon (K, 2), 0 outside."""
        image = np.zeros((self.side, self.side), np.uint8)
        self._polygon(image, outline, 255)
        return self.blur(image.astype(np.float32) / 255, softness)

    def draw(self, strokes: Sequence[Stroke], softness: float) -> np.ndarray:
        """Brush strokes in one map, later over earlier; strengths are cut at 1.25, faint ones are left out."""
        image = np.zeros((self.side, self.side), np.uint8)
        for stroke in strokes:
            if stroke.strength >= 0.04:
                self._polygon(image, _stroke_outline(stroke), int(min(stroke.strength, 1.25) * FULL))
        return self.blur(image.astype(np.float32) / FULL, softness)

    def _polygon(self, image: np.ndarray, outline: np.ndarray | list, grey: int) -> None:
        corners = np.round(self.pixels(outline) * 2**SUBPIXEL).astype(np.int32)
        cv2.fillPoly(image, [corners], grey, cv2.LINE_AA, SUBPIXEL)

    def noise(self, rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
        """Smooth noise of variance about 1 with this many bumps down and across."""
        coarse = rng.normal(0, 1, (rows, columns)).astype(np.float32)
        return cv2.resize(coarse, (self.side, self.side), interpolation=cv2.INTER_CUBIC)


def spline(points: np.ndarray | list, per_segment: int = 5, closed: bool = False) -> np.ndarray:
    """Catmull-Rom curve through points (K, 2), `per_segment` samples between two of them."""
    p = np.asarray(points, dtype=float)
    # An open curve goes on in straight lines at its ends.
    before, after = (p[-1:], p[:2]) if closed else (2 * p[:1] - p[1:2], 2 * p[-1:] - p[-2:-1])
    p = np.concatenate([before, p, after])
    t = np.arange(per_segment) / per_segment
    weights = 0.5 * np.stack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2])
    windows = np.stack([p[:-3], p[1:-2], p[2:-1], p[3:]])
    curve = np.einsum("kn,kmd->mnd", weights, windows).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, p[-2:-1]])


def _stroke_outline(stroke: Stroke) -> np.ndarray:
    curve = spline(stroke.points, 4)
    tangent = np.concatenate([curve[1:2] - curve[:1], curve[2:] - curve[:-2], curve[-1:] - curve[-2:-1]])
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
    along = np.arange(len(curve)) / (len(curve) - 1)
    width = stroke.width * np.interp(along, np.linspace(0, 1, len(stroke.taper)), stroke.taper)
    across = tangent[:, ::-1] * (-1, 1) * width[:, None] / 2
    return np.concatenate([curve + across, (curve - across)[::-1]])


def paint(image: np.ndarray, mask: np.ndarray, grey: np.ndarray | float) -> np.ndarray:
    """Lay `grey` over the image where the mask is 1, in part where it is between 0 and 1."""
    return image + mask * (np.float32(grey) - image)


def step(x: np.ndarray) -> np.ndarray:
    """A soft step from 0 to 1 (the logistic function)."""
    return 1 / (1 + np.exp(-np.clip(x, -30, 30)))
