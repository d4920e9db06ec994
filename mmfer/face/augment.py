"""Random transforms of image and landmarks together: thirty copies of each training face (paper, 4.1).

A share of them may be of variants of the face in which a part of it is hidden (mmfer.face.hide).

Each copy composes the alignment with its random transform and samples the raw image once. The draws are keyed by
(seed, dataset, source row, copy), so the same bytes come out for any number of workers, and the first ten of thirty
copies are those of ten. They are torch functions, for networks may also draw their copies as they train, on any device
(mmfer.face.online).
"""

from __future__ import annotations  # pandas takes 0.3 s to import, and using a network needs none of it

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from mmfer.config import FACE_PX, AugmentParams, EvaluateParams
from mmfer.data.duplicates import copies_of_held_out, trainable
from mmfer.data.faceset import (
    PART,
    FaceSet,
    check_made_of,
    count_rows,
    create_array,
    new_faceset,
    open_faceset,
    read_index,
    write_rows,
)
from mmfer.face.geometry import CENTRE, compose, invert, warp_faces
from mmfer.face.hide import open_hidden, places, taken
from mmfer.parallel import each, ranges

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 4096  # rows that a worker takes at a time
GAMMA = -0x61C8864680B583EB  # SplitMix64's step, 2**64 over the golden ratio, as a signed number
N_DRAWS = 15  # random numbers of one copy: 5 for the geometry, 2 for the tone, 6 for the erased box, 2 for the variant
# Numbers, not arange * GAMMA: Triton makes that of 32 bits and refuses to compile it.
STEPS = (torch.arange(1, N_DRAWS + 1) * GAMMA).tolist()


def write_augmented(raw_folder: Path, clean_folder: Path, target: Path, params: AugmentParams, workers: int) -> FaceSet:
    """Raw and clean FaceSets -> augmented FaceSet: images, transforms, and `copy`, `parent`, `trainable`, `variant`.

    The last is the number of the variant that it is a copy of, -1 of the face itself; where `params.hidden` is above 0,
    variants are read from the FaceSet hidden beside clean.
    Every row appears once as it is (copy 0, aligned); trainable rows also as `copies` - 1 random copies. Left out are
    rows that neither train, validate nor test: rejected training images, and copies of held-out ones. Where copies are
    drawn online, none are written: every row appears once. MmferError if clean or hidden was made of other faces.
    """
    raw = open_faceset(raw_folder, needs=("images",))
    clean = open_faceset(clean_folder, needs=("transforms",))
    check_made_of(clean, raw)
    hidden = open_hidden(clean_folder, params)
    if hidden is not None:
        check_made_of(hidden, clean)
    made_by = {"stage": "augment", "params": params.model_dump(), "from": (clean if hidden is None else hidden).made_by}
    with new_faceset(target, raw.dataset, raw.classes, copied_index(clean, hidden, params), made_by) as folder:
        rows = count_rows(folder)
        create_array(folder, "images", (rows, FACE_PX, FACE_PX))
        create_array(folder, "transforms", (rows, 2, 3))
        folders = [path.absolute() for path in (raw_folder, clean_folder, folder)]
        jobs = [(*folders, part, params) for part in ranges(rows, CHUNK, workers)]
        each(_write_copies, jobs, workers, "copies")  # the kernel releases the GIL
    return open_faceset(target)


def copied_index(clean: FaceSet, hidden: FaceSet | None, params: AugmentParams) -> Iterator[pd.DataFrame]:
    """Clean FaceSet -> index of the augmented one, in parts: its rows as often as they are used."""
    copies, key = params.copies if params.mode == "stored" else 1, draw_key(params, clean.dataset)
    table = clean.columns("split", "fold", "kept", "duplicate_of_test", "duplicate_of_val")
    trains = trainable(table, clean.made_by["params"]["keep_rejected"])
    held_out = (((table["split"] != "train") & ~copies_of_held_out(table)) | (table["fold"] >= 0)).to_numpy(dtype=bool)
    ends = np.cumsum(np.where(trains, copies, held_out.astype(int)))  # of each face's rows
    _, counts = places(hidden, len(clean))
    for start in range(0, max(ends[-1], 1), PART):
        rows = np.arange(start, min(start + PART, ends[-1]))
        parents = np.searchsorted(ends, rows, side="right")
        span = slice(*(parents[0], parents[-1] + 1) if len(parents) else (0, 0))
        own = (rows - np.concatenate([[0], ends])[parents]).astype(np.int16)
        part = read_index(clean.folder, rows=span).take(parents - span.start)
        faces, numbers = torch.from_numpy(parents), torch.from_numpy(own.astype(np.int64))
        variant = draw_variants(faces, numbers, torch.from_numpy(counts[parents]), params, key).numpy().astype(np.int16)
        yield part.assign(parent=parents.astype(np.int32), copy=own, trainable=trains[parents], variant=variant)


def _write_copies(raw_folder: Path, clean_folder: Path, folder: Path, rows: slice, params: AugmentParams) -> None:
    raw, clean, hidden = open_faceset(raw_folder), open_faceset(clean_folder), open_hidden(clean_folder, params)
    index = read_index(folder, ["parent", "copy", "variant"], rows)
    parents, copies, variants = (index[name].to_numpy(np.int64) for name in ("parent", "copy", "variant"))
    images, transforms = random_copies(raw, clean, parents, copies, params, hidden, variants)
    write_rows(folder, "images", rows.start, images)
    write_rows(folder, "transforms", rows.start, transforms)


def random_copies(
    raw: FaceSet,
    clean: FaceSet,
    parents: np.ndarray,
    copies: np.ndarray,
    params: AugmentParams | EvaluateParams,
    hidden: FaceSet | None = None,
    variants: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Copy numbers `copies` (n,) of the faces `parents` (n,) -> images (n, 48, 48) uint8, transforms (n, 2, 3) float32.

    Copy 0 is the plain aligned face. Under EvaluateParams only the geometry changes. `variants` (n,) int64 are those of
    the FaceSet hidden that they are copies of, -1: of the face itself.
    """
    faces, own, alignments = raw.images, parents, clean.transforms[parents]
    if hidden is not None and variants is not None:
        which = (parents, variants, places(hidden, len(clean))[0])
        faces, own = taken(raw.images, hidden.images, *which), np.arange(len(parents))
        alignments = taken(clean.transforms, hidden.transforms, *which)
    rows, numbers = torch.from_numpy(parents.astype(np.int64)), torch.from_numpy(copies.astype(np.int64))
    drawn = draw(rows, numbers, torch.from_numpy(alignments), params, draw_key(params, raw.dataset))
    transforms, tones, boxes = (part.numpy() for part in drawn)
    images = np.empty((len(parents), FACE_PX, FACE_PX), np.uint8)
    warp_faces(faces, own, invert(transforms), tones, boxes, images)
    return images, transforms


def draw_variants(parents: Tensor, copies: Tensor, counts: Tensor, params: AugmentParams, key: int) -> Tensor:
    """Copies (n,) of the faces `parents` (n,), int64 -> the variants that they are made of, (n,) int64.

    -1 is the face itself: of copy 0, of all but the share `params.hidden` of the others, and of faces without variants.
    `counts` (n,) int64 is how many each face has.
    """
    if not params.hidden:
        return torch.full_like(parents, -1)
    numbers = draws(parents, copies, key)[:, -2:].double()
    some = (copies > 0) & (counts > 0) & (numbers[:, 0] < params.hidden)
    return torch.where(some, (numbers[:, 1] * counts).long(), -1)


def draw(
    parents: Tensor, copies: Tensor, alignments: Tensor, params: AugmentParams | EvaluateParams, key: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Copies (n,) of the faces `parents` (n,), int64, aligned by (n, 2, 3) -> how each is made from its raw face.

    Transforms (n, 2, 3), tones (n, 2) float32 and boxes (n, 5) int16, as geometry.warp_faces takes them.
    """
    numbers, plain = draws(parents, copies, key), (copies == 0)[:, None]
    transforms = torch.where(plain[:, :, None], alignments, compose(motions(numbers, params), alignments))
    tones = numbers.new_tensor([[1.0, 0.0]]).repeat(len(numbers), 1)
    boxes = torch.zeros((len(numbers), 5), dtype=torch.int16, device=numbers.device)
    if isinstance(params, AugmentParams):
        changes = tones_and_boxes(numbers, params)
        tones, boxes = torch.where(plain, tones, changes[0]), torch.where(plain, boxes, changes[1])
    return transforms, tones, boxes


def draw_key(params: AugmentParams | EvaluateParams, dataset: str) -> int:
    """A number that sets the draws of one seed and data set apart from those of others."""
    digest = hashlib.sha256(f"{params.seed}:{dataset}".encode()).digest()
    return int.from_bytes(digest[:8], "little", signed=True)


def draws(parents: Tensor, copies: Tensor, key: int) -> Tensor:
    """Uniform numbers in [0, 1), (n, N_DRAWS) float32, that depend on nothing but key, parent row and copy number.

    SplitMix64 (Steele, Lea and Flood, 2014) in integers that wrap around: the same on every device.
    """
    state = _mixed(_mixed(parents + key) + copies)
    steps = torch.tensor(STEPS, device=parents.device)
    return (_mixed(state[:, None] + steps) >> 40 & 0xFFFFFF).float() / 2**24


def _mixed(z: Tensor) -> Tensor:
    """SplitMix64's output function of a state; torch has no unsigned shift, so that the sign's copies are masked."""
    z = (z ^ (z >> 30 & 0x3FFFFFFFF)) * -0x40A7B892E31B1A47  # 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27 & 0x1FFFFFFFFF)) * -0x6B2FB644ECCEEE15  # 0x94D049BB133111EB
    return z ^ (z >> 31 & 0x1FFFFFFFF)


def motions(numbers: Tensor, params: AugmentParams | EvaluateParams) -> Tensor:
    """Draws (n, N_DRAWS) -> affine transforms about the centre (n, 2, 3): mirror, then scale and turn, then shift."""
    signed = 2 * numbers[:, 1:5] - 1
    mirror = 1.0 - 2.0 * (numbers[:, 0] < params.mirror)
    turn, size = math.radians(params.rotate_deg) * signed[:, 0], (1 + params.scale) ** signed[:, 1]
    cos, sin = size * turn.cos(), size * turn.sin()
    matrix = torch.stack([torch.stack([cos * mirror, -sin], dim=1), torch.stack([sin * mirror, cos], dim=1)], dim=1)
    shift = CENTRE * (1 - matrix.sum(dim=2)) + params.shift_px * signed[:, 2:4]
    return torch.cat([matrix, shift[:, :, None]], dim=2)


def tones_and_boxes(numbers: Tensor, params: AugmentParams) -> tuple[Tensor, Tensor]:
    """Draws (n, N_DRAWS) -> tones (n, 2) float32: gain, offset in grey levels; boxes (n, 5) int16: x0 y0 x1 y1 grey."""
    signed = 2 * numbers[:, 5:7] - 1
    gain = 1 + params.contrast * signed[:, 1]
    offset = 255 * params.brightness * signed[:, 0] + 127.5 * (1 - gain)  # contrast turns about the middle grey
    size = 1 + numbers[:, 8:10] * (params.erase_px - 1)
    corner = numbers[:, 10:12] * (FACE_PX - size)
    boxes = torch.cat([corner, corner + size, 256 * numbers[:, 12:13]], dim=1)
    boxes = torch.where(numbers[:, 7:8] < params.erase, boxes, 0)
    return torch.stack([gain, offset], dim=1), boxes.to(torch.int16)
