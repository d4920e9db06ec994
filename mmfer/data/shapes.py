"""Lossless coding of landmarks that lie on a grid, as a detector gives them: half pixels of a face of 48 pixels.

Each coordinate is foretold from those before it in its face, by weights that are fitted to all faces and coded with
them, and what is left over goes through a range coder. The 68 points of a face of FER2013 take 28 bytes; as
floats in LZMA they take 100.
"""

import struct
from collections.abc import Iterator

import numba
import numpy as np

from mmfer.data.coder import Coder, Reader, Writer, number

CHUNK = 256  # faces coded in one call
STEPS = (1.0, 0.5, 0.25, 0.125)  # pixels between two lines of the grid
FARTHEST = 2**12  # steps from the first of all coordinates to any other one
UNIT = 64  # stands before the coordinates, and takes the weight of what is added to a forecast
SHIFT = 12  # weights are whole numbers of 2 ** -12
HEAD = struct.Struct("<2fI")  # where the grid begins, its step, coordinates of a face


def encode(values: np.ndarray) -> bytes | None:
    """Values (n, m) float32 as bytes that `decode` makes the same values of; None where they are on no grid."""
    if not values.size or not np.isfinite(values).all():
        return None
    first = float(values.flat[0])
    step = next((step for step in STEPS if _on_grid(values, first, step)), None)
    if step is None:
        return None
    steps = _steps(values, first, step).astype(np.int64)
    weights = _weights(steps)
    writer = Writer(values.shape[1])
    for start in range(0, len(steps), CHUNK):
        with writer.coder(32 * steps[start : start + CHUNK].size) as coder:  # no number takes more decisions
            _code(steps[start : start + CHUNK], weights.astype(np.int64), coder)
    return HEAD.pack(first, step, values.shape[1]) + weights[_used(values.shape[1])].tobytes() + writer.code()


def decode(code: bytes, rows: int, columns: int) -> Iterator[np.ndarray]:
    """The values (rows, columns) float32 that `encode` was given, in chunks; ValueError where the code is not whole."""
    length = HEAD.size + columns * (columns + 1)
    if len(code) < length or HEAD.unpack(code[: HEAD.size])[2] != columns:
        raise ValueError(f"no code of {columns} columns")
    first, step, _ = HEAD.unpack(code[: HEAD.size])
    weights = np.zeros((columns, columns), np.int64)
    weights[_used(columns)] = np.frombuffer(code[HEAD.size : length], "<i2")
    reader = Reader(columns, code[length:])
    for start in range(0, rows, CHUNK):
        steps = np.zeros((min(CHUNK, rows - start), columns), np.int64)
        _code(steps, weights, reader.coder)
        if reader.ended:
            raise ValueError(f"the code of {rows} faces ends within the first {start + len(steps)}")
        yield _placed(steps, first, step)


def _on_grid(values: np.ndarray, first: float, step: float) -> bool:
    """Whether whole steps from the first value lead to all values, to the bit."""
    steps = _steps(values, first, step)
    return bool(abs(steps).max() <= FARTHEST) and _placed(steps, first, step).tobytes() == values.tobytes()


def _steps(values: np.ndarray, first: float, step: float) -> np.ndarray:
    return np.rint((values.astype(np.float64) - first) / step)


def _placed(steps: np.ndarray, first: float, step: float) -> np.ndarray:
    return (first + step * steps).astype(np.float32)


def _used(columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Where weights stand, rows and columns: each coordinate's of UNIT and of those before it."""
    return np.tril_indices(columns)


def _weights(steps: np.ndarray) -> np.ndarray:
    """Steps (n, m) -> the weights int16 (m, m): row k those of UNIT and of coordinates 0 to k - 1 in coordinate k.

    Least squares for all coordinates at once: Cholesky's factor of their products, inverted, is one minus the weights.
    """
    m = steps.shape[1]
    products = 1e-2 * np.eye(m + 1)  # few faces leave the weights free
    for start in range(0, len(steps), CHUNK):
        part = steps[start : start + CHUNK]
        values = np.column_stack([np.full(len(part), UNIT), part]).astype(np.float64)
        products += values.T @ values
    factor = np.linalg.cholesky(products)
    left = np.linalg.inv(factor / np.diag(factor))  # what is left of a value: itself, less its forecast
    return np.rint(-left * 2**SHIFT).clip(-(2**15), 2**15 - 1).astype("<i2")[1:, :-1]


@numba.njit(cache=True)
def _code(steps: np.ndarray, weights: np.ndarray, coder: Coder) -> None:
    """Write the steps (n, m) int64, or fill them with what is read."""
    for i in range(len(steps)):
        face = steps[i]
        for k in range(len(face)):
            total = weights[k, 0] * UNIT
            for j in range(k):
                total += weights[k, j + 1] * face[j]
            guess = min(max((total + (1 << (SHIFT - 1))) >> SHIFT, -FARTHEST), FARTHEST)
            face[k] = guess + number(face[k] - guess, k, coder)
