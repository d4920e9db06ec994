"""Which parts of a face can be seen: a linear model of the leaves that it fell into in the shape predictor's trees.

The predictor places its points on hidden parts too, and never says that it guesses. Yet its trees compare grey levels
around the points, and where these are not those of a face, other leaves are reached (Davis King, dlib's author, advises
to learn from them what is hidden). The model is tools/visibility.py's, made of faces that mmfer.face.occlude hid.
"""

import functools
from pathlib import Path

import numba
import numpy as np

from mmfer.face.points import PARTS

WEIGHTS = Path(__file__).parents[1] / "weights" / "visibility"
ROUNDS = 3  # of the shape predictor, the last ones


def visible(leaves: np.ndarray) -> np.ndarray:
    """Leaves (n, ROUNDS, T) uint8 -> probability (n, 5) float32 that more than half of each of PARTS can be seen."""
    weights, bias = _linear_model()
    logits = np.tile(bias, (len(leaves), 1))
    add_weights(leaves.reshape(len(leaves), len(weights)), weights, logits)
    return 1 / (1 + np.exp(-logits))


def named(row: np.ndarray) -> dict[str, float]:
    """Probabilities (5,) of a face by part."""
    return dict(zip(PARTS, row.tolist(), strict=True))


@functools.cache
def _linear_model() -> tuple[np.ndarray, np.ndarray]:
    """Weights (ROUNDS * T, leaves, 5) and bias (5,), float32."""
    with np.load(WEIGHTS / "weights.npz", allow_pickle=False) as file:
        return file["weights"].astype(np.float32), file["bias"]


@numba.njit(nogil=True, cache=True)
def add_weights(
    leaves: np.ndarray,  # (n, trees) uint8
    weights: np.ndarray,  # (trees, leaves, parts) float32
    logits: np.ndarray,  # (n, parts) float32, added to
) -> None:
    """Add the weights of the leaves that each face fell into."""
    for i in range(len(leaves)):
        for t in range(leaves.shape[1]):
            for part in range(logits.shape[1]):
                logits[i, part] += weights[t, leaves[i, t], part]
