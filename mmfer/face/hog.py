"""What the network sees of a face beside its pixels: landmarks and HOG (paper, 1.1). One face a row."""

import functools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np
from tqdm import tqdm

from mmfer.config import FACE_PX, ExtractParams
from mmfer.data.faceset import FaceSet, create_array, new_faceset, open_faceset, write_rows

CHUNK = 8192
# Where each of the 68 points of a face lies in its mirror image: point i of the mirrored face is point MIRROR[i].
MIRROR = np.concatenate(
    [
        range(16, -1, -1),  # jaw
        range(26, 16, -1),  # brows
        [27, 28, 29, 30, 35, 34, 33, 32, 31],  # nose
        [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40],  # eyes
        [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65],  # mouth
    ]
)


def write_features(augmented: Path, clean: Path, target: Path, params: ExtractParams, workers: int) -> FaceSet:
    """Augmented and clean FaceSets -> features FaceSet: landmarks and HOG of every row of the augmented one."""
    faces = open_faceset(augmented, needs=("images", "transforms"))
    originals = open_faceset(clean, needs=("landmarks",))
    made_by = {"stage": "extract", "params": params.model_dump(), "from": faces.made_by}
    landmarks_of = predicted_landmarks if params.landmarks == "predict" else moved_landmarks
    with new_faceset(target, faces.dataset, faces.classes, faces.index, made_by) as folder:
        create_array(folder, "landmarks", (len(faces), 68, 2))
        create_array(folder, "hog", (len(faces), hog_length(params)))

        def work(start: int) -> None:
            rows = slice(start, start + CHUNK)
            write_rows(folder, "hog", start, hog(faces.images[rows], params))
            write_rows(folder, "landmarks", start, landmarks_of(faces, originals, rows))

        starts = range(0, len(faces), CHUNK)
        with ThreadPoolExecutor(workers) as pool:  # the kernel releases the GIL
            list(tqdm(pool.map(work, starts), total=len(starts), desc="features", unit="chunk", disable=None))
    return open_faceset(target)


def moved_landmarks(faces: FaceSet, originals: FaceSet, rows: slice) -> np.ndarray:
    """Landmarks (n, 68, 2) of augmented rows: those of the raw image, moved as the image was."""
    parents = faces.index["parent"].to_numpy()[rows]
    return move_landmarks(originals.landmarks[parents], faces.transforms[rows])


def move_landmarks(landmarks: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    """Apply affine transforms (n, 2, 3) to landmarks (n, 68, 2); a mirroring one also swaps left and right points."""
    moved = landmarks @ transforms[:, :, :2].transpose(0, 2, 1) + transforms[:, None, :, 2]
    mirrored = np.linalg.det(transforms[:, :, :2]) < 0
    moved[mirrored] = moved[mirrored][:, MIRROR]
    return moved


def predicted_landmarks(faces: FaceSet, originals: FaceSet, rows: slice) -> np.ndarray:
    """Landmarks (n, 68, 2) of augmented rows: dlib's predictor on each image, in the box of the moved landmarks."""
    from mmfer.face.alignment import predict_landmarks

    moved = moved_landmarks(faces, originals, rows)
    corners = np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1)
    return predict_landmarks(faces.images[rows], corners)


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
def _hog(images, bins, magnitudes, orientations, cell, block, out):
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
def _normalise(cells, values):
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
