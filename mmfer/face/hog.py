"""Histograms of oriented gradients (paper, 1.1; Dalal and Triggs, 2005), one face a row."""

import functools

import numba
import numpy as np

from mmfer.config import FACE_PX, ExtractParams


def hog_length(params: ExtractParams) -> int:
    """Number of HOG values of a face: blocks x blocks x cells of a block x orientations; 900 by default."""
    blocks = FACE_PX // params.cell_px - params.block_cells + 1
    return blocks**2 * params.block_cells**2 * params.orientations


def hog(images: np.ndarray, params: ExtractParams) -> np.ndarray:
    """Faces (N, 48, 48) uint8 -> (N, hog_length) float32, skimage.feature.hog with L2-Hys within 1e-5.

    Grey levels are integers, so the 511 x 511 possible gradients are looked up in a table instead of computed.
    """
    bins, magnitudes = _gradient_tables(params.orientations)
    out = np.empty((len(images), hog_length(params)), np.float32)
    _hog(np.ascontiguousarray(images), bins, magnitudes, params.orientations, params.cell_px, params.block_cells, out)
    return out


@functools.cache
def _gradient_tables(orientations: int) -> tuple[np.ndarray, np.ndarray]:
    """Bin (511, 511) uint8 and magnitude (511, 511) float32 of the gradient (dy - 255, dx - 255)."""
    dy, dx = np.mgrid[-255:256, -255:256].astype(np.float64)
    angle = np.rad2deg(np.arctan2(dy, dx)) % 180
    return np.minimum(angle // (180 / orientations), orientations - 1).astype(np.uint8), np.hypot(dy, dx).astype(
        np.float32
    )


@numba.njit(nogil=True, cache=True)
def _hog(
    images: np.ndarray,  # (n, 48, 48) uint8
    bins: np.ndarray,  # (511, 511) uint8, by dy + 255 and dx + 255
    magnitudes: np.ndarray,  # (511, 511) float32
    orientations: int,
    cell: int,  # pixels
    block: int,  # cells
    out: np.ndarray,  # (n, hog_length) float32
) -> None:
    side = images.shape[1]
    cells = side // cell
    blocks = cells - block + 1
    histogram = np.empty((cells, cells, orientations), np.float32)
    for i in range(len(images)):
        image = images[i]
        histogram[:] = 0
        for y in range(side):
            for x in range(side):
                # As in scikit-image: no gradient across the border, none along it in its own direction.
                dy = np.int64(image[y + 1, x]) - np.int64(image[y - 1, x]) if 0 < y < side - 1 else 0
                dx = np.int64(image[y, x + 1]) - np.int64(image[y, x - 1]) if 0 < x < side - 1 else 0
                histogram[y // cell, x // cell, bins[dy + 255, dx + 255]] += magnitudes[dy + 255, dx + 255]
        histogram /= cell * cell
        position = 0
        for row in range(blocks):
            for column in range(blocks):
                values = out[i, position : position + block * block * orientations]
                _normalise(histogram[row : row + block, column : column + block], values)
                position += len(values)


@numba.njit(nogil=True, cache=True)
def _normalise(cells: np.ndarray, values: np.ndarray) -> None:  # (block, block, orientations) -> (their product,)
    """L2-Hys: divide by the norm, cut at 0.2, divide again (Dalal and Triggs, 2005)."""
    for k, value in enumerate(cells.flat):
        values[k] = value
    for limit in (np.float32(0.2), np.float32(np.inf)):
        total = np.float32(1e-10)
        for value in values:
            total += value * value
        scale = 1 / np.sqrt(total)
        for k in range(len(values)):
            values[k] = min(values[k] * scale, limit)
