"""Pictures in which a photo is searched for faces: the photo in another size, or a mosaic of parts of it."""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np

from mmfer.data.cutting import cut_square

ROOM = 2.0  # side of a tile, in sides of the face: few leave it in half of a stretch of a video


class View(NamedTuple):
    """A picture of a photo or of parts of it."""

    picture: np.ndarray  # (h, w, 3) uint8, RGB
    back: Callable[[np.ndarray], np.ndarray]  # boxes (n, 4) in its pixels -> in pixels of the photo


def scaled(photo: np.ndarray, side: int) -> View:
    """The photo RGB (H, W, 3) with its longest side so long."""
    height, width = photo.shape[:2]
    factor = side / max(height, width)
    size = max(round(width * factor), 1), max(round(height * factor), 1)
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    factors = np.tile([size[0] / width, size[1] / height], 2)
    return View(cv2.resize(photo, size, interpolation=how), lambda boxes: boxes / factors)


def mosaic(photo: np.ndarray, boxes: np.ndarray, tile: int) -> View:
    """What lies around boxes (n, 4) of a photo RGB (H, W, 3), n > 0, as squares of `tile` pixels beside each other.

    A box in the mosaic belongs to the tile that has its centre. Where the last row is not full, it repeats tiles.
    """
    columns = math.ceil(math.sqrt(len(boxes)))
    shown: np.ndarray = np.arange(columns * math.ceil(len(boxes) / columns)) % len(boxes)
    sides = np.maximum(np.round(ROOM * (boxes[:, 2:] - boxes[:, :2]).max(axis=1)), 2).astype(int)
    corners = np.round((boxes[:, :2] + boxes[:, 2:] - sides[:, None]) / 2).astype(int)
    cut = [cut_fast(photo, x, y, side, tile) for (x, y), side in zip(corners, sides.tolist(), strict=True)]
    rows = np.stack(cut)[shown].reshape(-1, columns, tile, tile, 3)
    picture = rows.swapaxes(1, 2).reshape(-1, columns * tile, 3)
    return View(np.ascontiguousarray(picture), partial(_from_tiles, shown, columns, tile, corners, sides))


def cut_fast(photo: np.ndarray, left: int, top: int, side: int, size: int) -> np.ndarray:
    """As cut_square, of grey or RGB; a square within the photo is not copied first."""
    if min(left, top) < 0 or left + side > photo.shape[1] or top + side > photo.shape[0]:
        return cut_square(photo, left, top, side, size)
    how = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return cv2.resize(photo[top : top + side, left : left + side], (size, size), interpolation=how)


def _from_tiles(
    shown: np.ndarray, columns: int, tile: int, corners: np.ndarray, sides: np.ndarray, boxes: np.ndarray
) -> np.ndarray:
    """Boxes (n, 4) of a mosaic in pixels of its photo."""
    last = np.array([columns, len(shown) // columns]) - 1
    places = np.clip((boxes[:, :2] + boxes[:, 2:]) / 2 // tile, 0, last).astype(int)  # column, row
    which = shown[places[:, 1] * columns + places[:, 0]]
    inside = boxes - tile * np.tile(places, 2)
    return inside * (sides[which] / tile)[:, None] + np.tile(corners[which], 2)
