"""Random transforms of image and landmarks together: thirty copies of each training face (paper, 4.1).

Each copy composes the alignment with its random transform and samples the raw image once. The draws are keyed by
(seed, dataset, source row) with one row of numbers for each copy, so the same bytes come out for any number of workers,
and the first ten of thirty copies are those of ten.
"""

from __future__ import annotations  # pandas takes 0.3 s to import, and using a network needs none of it

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmfer.config import FACE_PX, AugmentParams, EvaluateParams
from mmfer.data.duplicates import copies_of_held_out
from mmfer.data.faceset import PART, FaceSet, create_array, new_faceset, open_faceset, read_index, write_rows
from mmfer.face.geometry import CENTRE, compose, invert, neutral_tones_and_boxes, warp_faces
from mmfer.parallel import each, ranges

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 4096  # rows that a worker takes at a time
N_DRAWS = 13  # random numbers of one copy: 5 for the geometry, 2 for the tone, 6 for the erased box


def write_augmented(raw_folder: Path, clean_folder: Path, target: Path, params: AugmentParams, workers: int) -> FaceSet:
    """Raw and clean FaceSets -> augmented FaceSet: images, transforms, and `copy`, `parent`, `trainable` in the index.

    Every row appears once as it is (copy 0, aligned); trainable rows also as `copies` - 1 random copies. Left out are
    rows that neither train, validate nor test: rejected training images, and copies of held-out ones.
    """
    raw = open_faceset(raw_folder, needs=("images",))
    clean = open_faceset(clean_folder, needs=("transforms",))
    made_by = {"stage": "augment", "params": params.model_dump(), "from": clean.made_by}
    with new_faceset(target, raw.dataset, raw.classes, copied_index(clean, params.copies), made_by) as folder:
        rows = len(read_index(folder, ["copy"]))
        create_array(folder, "images", (rows, FACE_PX, FACE_PX))
        create_array(folder, "transforms", (rows, 2, 3))
        folders = [path.absolute() for path in (raw_folder, clean_folder, folder)]
        jobs = [(*folders, part, params) for part in ranges(rows, CHUNK, workers)]
        each(_write_copies, jobs, workers, "copies")  # the kernel releases the GIL
    return open_faceset(target)


def copied_index(clean: FaceSet, copies: int) -> Iterator[pd.DataFrame]:
    """Clean FaceSet -> index of the augmented one, in parts: its rows as often as they are used."""
    table = clean.columns("split", "fold", "kept", "duplicate_of_test", "duplicate_of_val")
    keep_rejected = clean.made_by["params"]["keep_rejected"]
    copied = copies_of_held_out(table)
    trainable = ((table["split"] == "train") & (table["kept"] | keep_rejected) & ~copied).to_numpy(dtype=bool)
    held_out = (((table["split"] != "train") & ~copied) | (table["fold"] >= 0)).to_numpy(dtype=bool)
    ends = np.cumsum(np.where(trainable, copies, held_out.astype(int)))  # of each face's rows
    for start in range(0, max(ends[-1], 1), PART):
        rows = np.arange(start, min(start + PART, ends[-1]))
        parents = np.searchsorted(ends, rows, side="right")
        span = slice(*(parents[0], parents[-1] + 1) if len(parents) else (0, 0))
        own = (rows - np.concatenate([[0], ends])[parents]).astype(np.int16)
        part = read_index(clean.folder, rows=span).take(parents - span.start)
        yield part.assign(parent=parents.astype(np.int32), copy=own, trainable=trainable[parents])


def _write_copies(raw_folder: Path, clean_folder: Path, folder: Path, rows: slice, params: AugmentParams) -> None:
    raw, clean = open_faceset(raw_folder), open_faceset(clean_folder)
    index = read_index(folder, ["parent", "copy"], rows)
    parents, copies = (index[name].to_numpy(np.int64) for name in ("parent", "copy"))
    images, transforms = random_copies(raw, clean, parents, copies, params)
    write_rows(folder, "images", rows.start, images)
    write_rows(folder, "transforms", rows.start, transforms)


def random_copies(
    raw: FaceSet, clean: FaceSet, parents: np.ndarray, copies: np.ndarray, params: AugmentParams | EvaluateParams
) -> tuple[np.ndarray, np.ndarray]:
    """Copy numbers `copies` (n,) of the faces `parents` (n,) -> images (n, 48, 48) uint8, transforms (n, 2, 3) float32.

    Copy 0 is the plain aligned face. Under EvaluateParams only the geometry changes.
    """
    numbers = draws(parents, copies, (params.seed, zlib.crc32(raw.dataset.encode())))
    motion = motions(numbers, params)
    motion[copies == 0] = np.eye(2, 3)
    transforms = compose(motion, clean.transforms[parents]).astype(np.float32)
    tones, boxes = neutral_tones_and_boxes(len(parents))
    if isinstance(params, AugmentParams):
        tones, boxes = tones_and_boxes(numbers, params)
    tones[copies == 0], boxes[copies == 0] = (1, 0), 0
    images = np.empty((len(parents), FACE_PX, FACE_PX), np.uint8)
    warp_faces(raw.images, parents, invert(transforms), tones, boxes, images)
    return images, transforms


def draws(parents: np.ndarray, copies: np.ndarray, key: tuple[int, ...]) -> np.ndarray:
    """Uniform numbers in [0, 1), (n, N_DRAWS), that depend on nothing but key, parent row and copy number."""
    numbers = np.empty((len(parents), N_DRAWS))
    order = np.argsort(parents, kind="stable")
    for parent, start, count in zip(*np.unique(parents[order], return_index=True, return_counts=True), strict=True):
        rows = order[start : start + count]
        stream = np.random.default_rng([*key, int(parent)]).random((copies[rows].max() + 1, N_DRAWS))
        numbers[rows] = stream[copies[rows]]
    return numbers


def motions(numbers: np.ndarray, params: AugmentParams | EvaluateParams) -> np.ndarray:
    """Draws (n, N_DRAWS) -> affine transforms about the centre (n, 2, 3): mirror, then scale and turn, then shift."""
    signed = 2 * numbers[:, 1:5] - 1
    mirror = np.where(numbers[:, 0] < params.mirror, -1.0, 1.0)
    turn, size = np.deg2rad(params.rotate_deg) * signed[:, 0], (1 + params.scale) ** signed[:, 1]
    matrix = np.zeros((len(numbers), 2, 3))
    matrix[:, 0, 0], matrix[:, 0, 1] = size * np.cos(turn) * mirror, -size * np.sin(turn)
    matrix[:, 1, 0], matrix[:, 1, 1] = size * np.sin(turn) * mirror, size * np.cos(turn)
    centre = np.array([CENTRE, CENTRE])
    matrix[:, :, 2] = centre - matrix[:, :, :2] @ centre + params.shift_px * signed[:, 2:4]
    return matrix


def tones_and_boxes(numbers: np.ndarray, params: AugmentParams) -> tuple[np.ndarray, np.ndarray]:
    """Draws (n, N_DRAWS) -> tones (n, 2) float32: gain, offset in grey levels; boxes (n, 5) int16: x0 y0 x1 y1 grey."""
    signed = 2 * numbers[:, 5:7] - 1
    gain = 1 + params.contrast * signed[:, 1]
    offset = 255 * params.brightness * signed[:, 0] + 127.5 * (1 - gain)  # contrast turns about the middle grey
    size = 1 + numbers[:, 8:10] * (params.erase_px - 1)
    corner = numbers[:, 10:12] * (FACE_PX - size)
    boxes = np.concatenate([corner, corner + size, 256 * numbers[:, 12:13]], axis=1)
    boxes[numbers[:, 7] >= params.erase] = 0
    return np.stack([gain, offset], axis=1).astype(np.float32), boxes.astype(np.int16)
