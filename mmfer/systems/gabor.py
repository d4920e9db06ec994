"""System gabor: Gabor wavelets into a support vector machine (paper's [2]: Lekshmi and Sasikumar, 2009).

Bank, kernel and figures of the source are not known to us; this is our reconstruction. Complex filters of five
wavelengths and eight orientations, their magnitude averaged over the cells of a grid: 40 x 64 = 2560 values of a face.
"""

import math
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from pydantic import Field

from mmfer.config import FACE_PX, Block
from mmfer.systems import register
from mmfer.systems.estimators import EstimatorSystem

WAVELENGTHS = 4 * 2 ** (np.arange(5) / 2)  # px: half octaves from 4 to 16; longer waves do not fit the face
ORIENTATIONS = np.arange(8) * np.pi / 8
SIGMA = 0.56  # of the round envelope, in wavelengths: a bandwidth of one octave
REACH = 3  # standard deviations after which the filters are cut off
GRID = 8  # cells on each side
BATCH = 64  # faces filtered at once; their responses of one wavelength take 11 MB


class GaborParams(Block):
    """Our reconstruction; the paper says only 'Gabor wavelet and SVM'."""

    kernel: Literal["rbf", "linear"] = "rbf"
    components: int | None = Field(256, ge=1, description="principal components kept; empty: all 2560 values")
    c: float = Field(10.0, gt=0, description="linear: take about 0.001; the fit slows down as it grows")
    copies: int = Field(1, ge=1, description="copies of each training face that it sees; the fit grows with the square")


@register("gabor", params=GaborParams)
class Gabor(EstimatorSystem):
    """The filters are constant; standardisation, principal components and support vectors are fitted."""

    def __init__(self, params: GaborParams, n_classes: int, hog_length: int = 900) -> None:
        from sklearn.decomposition import PCA
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC

        reduce = [PCA(params.components, random_state=0)] if params.components else []
        classifier = SVC(C=params.c, kernel=params.kernel, gamma="scale", cache_size=500)
        super().__init__(make_pipeline(StandardScaler(), *reduce, classifier), ("image",), params.copies, n_classes)

    def values(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """The Gabor values (n, 2560) of the standardised faces."""
        return gabor_values(inputs["image"][:, 0])


def gabor_values(images: np.ndarray) -> np.ndarray:
    """Faces (n, 48, 48) -> (n, 2560) float32: mean magnitude by wavelength, orientation, row and column of the grid."""
    banks = [filter_bank(wavelength) for wavelength in WAVELENGTHS]
    values = np.empty((len(images), len(banks), len(ORIENTATIONS) * GRID**2), np.float32)
    for start in range(0, len(images), BATCH):
        rows = slice(start, start + BATCH)
        for i, bank in enumerate(banks):
            values[rows, i] = cell_means(np.abs(responses(images[rows], *bank)))
    return values.reshape(len(images), -1)


def filter_bank(wavelength: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The filters of one wavelength, as `responses` takes them: down and along (9, 48, 48), offset (8, 1, 1).

    With a round envelope a Gabor filter is the product of one for columns and one for rows, each of which is a matrix
    that holds the reflection at the border too. The ninth is the envelope alone. `offset` is the sum of each filter:
    that much of the envelope is taken off, so that even brightness gives no response.
    """
    sigma = SIGMA * wavelength
    reach = math.ceil(REACH * sigma)
    steps = np.arange(-reach, reach + 1)
    envelope = np.exp(-((steps / sigma) ** 2) / 2)
    waves = 2 * np.pi / wavelength * np.stack([np.sin(ORIENTATIONS), np.cos(ORIENTATIONS)])
    waves = np.pad(waves, ((0, 0), (0, 1)))
    taps = envelope / envelope.sum() * np.exp(1j * waves[:, :, None] * steps)  # (2, 9, steps)
    padded = np.pad(np.eye(FACE_PX), ((reach, reach), (0, 0)), mode="reflect")
    windows = sliding_window_view(padded, len(steps), axis=0)  # (48, 48, steps): which pixels each output sees
    down, along = np.einsum("oik,dfk->dfoi", windows, taps).astype(np.complex64)
    offset = taps.sum(axis=2).real.prod(axis=0)[:-1, None, None].astype(np.float32)
    return down, along, offset


def responses(images: np.ndarray, down: np.ndarray, along: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Faces (n, 48, 48) -> complex responses (n, 8, 48, 48) of the filters of one wavelength."""
    filtered = down @ images[:, None].astype(np.complex64) @ along.transpose(0, 2, 1)
    return filtered[:, :-1] - offset * filtered[:, -1:]


def cell_means(maps: np.ndarray) -> np.ndarray:
    """Maps (n, k, 48, 48) -> their means over the cells of the grid, (n, k * 64)."""
    cell = FACE_PX // GRID
    return maps.reshape(*maps.shape[:2], GRID, cell, GRID, cell).mean(axis=(3, 5)).reshape(len(maps), -1)
