"""Stage hide: variants of training faces in which a part of the face is hidden, found anew as any image is.

A face that is hidden when it is tested is looked for, fitted with landmarks and aligned as it is then seen, and so are
these: copies of them teach a network what wrong landmarks and a frame that has slipped look like. Copies of a hidden
face with the landmarks of the whole one would teach it to trust landmarks that no test face has.
"""

from __future__ import annotations  # pandas takes 0.3 s to import

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmfer.config import FACE_PX, AugmentParams, CleanParams, HideParams
from mmfer.data.duplicates import trainable
from mmfer.data.faceset import (
    FaceSet,
    check_made_of,
    create_array,
    new_faceset,
    open_faceset,
    params_of,
    read_index,
    write_index,
    write_rows,
)
from mmfer.errors import MmferError
from mmfer.face.detection import CHUNK, find_faces, prepare_models
from mmfer.face.geometry import alignment
from mmfer.face.occlude import hidden_shares, occlude
from mmfer.face.points import N_POINTS, PARTS
from mmfer.parallel import each, ranges

if TYPE_CHECKING:
    import pandas as pd

SHAPES = {"images": (FACE_PX, FACE_PX), "landmarks": (N_POINTS, 2), "transforms": (2, 3), "visible": (len(PARTS),)}


def write_hidden(
    raw_folder: Path,
    clean_folder: Path,
    target: Path,
    params: HideParams,
    workers: int,
    faces: np.ndarray | None = None,
) -> FaceSet:
    """Raw and clean FaceSets -> hidden FaceSet: `variants` rows of each of `faces`, without rows where that is 0.

    `faces` are raw rows in order; where they are None, all training faces.

    It holds images (not aligned), landmarks, transforms and visibility, as raw and clean do together. The index gains
    `parent` (raw row), `variant`, `other` (of `variants_of`), `face_score` and `kept` of the hidden face, and
    `hidden_<part>`: the share of the part's landmarks that is hidden. The draws are keyed by (seed, row, variant).
    MmferError if clean was made of other faces.
    """
    raw = open_faceset(raw_folder, needs=("images",))
    clean = open_faceset(clean_folder, needs=("landmarks",))
    check_made_of(clean, raw)
    made_by = {"stage": "hide", "params": params.model_dump(), "from": clean.made_by}
    if faces is None:
        faces = trained(clean)
    index = variants_of(clean, faces, params)
    prepare_models(CleanParams(**clean.made_by["params"]))  # before the threads, each of which would read them
    with new_faceset(target, raw.dataset, raw.classes, index, made_by, may_be_empty=True) as folder:
        for name, shape in SHAPES.items():
            create_array(folder, name, (len(index), *shape))
        folders = [path.absolute() for path in (raw_folder, clean_folder, folder)]
        jobs = [(*folders, rows, params) for rows in ranges(len(index), CHUNK, workers)]
        scores, shares = _joined(each(_write_variants, jobs, workers, "hidden faces"))
        write_index(folder, with_found(index, scores, shares))
    return open_faceset(target)


def trained(clean: FaceSet) -> np.ndarray:
    """The faces of a clean FaceSet that may train: raw rows (n,), in order."""
    return np.flatnonzero(trainable(clean.index, clean.made_by["params"]["keep_rejected"]))


def variants_of(clean: FaceSet, used: np.ndarray, params: HideParams) -> pd.DataFrame:
    """The rows of the hidden FaceSet, each face's in a row, with the face (raw row) whose patch may hide it: `other`.

    Such a face is another one of `used` and of the same fold, so that nothing of a fold is in what trains without it.
    """
    parents, rng = np.repeat(used, params.variants), np.random.default_rng(params.seed)
    index = clean.index.iloc[parents].assign(
        parent=parents.astype(np.int32), variant=np.tile(np.arange(params.variants, dtype=np.int16), len(used))
    )
    folds = index["fold"].to_numpy()
    others = np.empty(len(index), np.int32)
    for fold in np.unique(folds):
        of_fold = folds == fold
        own, places_in = np.unique(parents[of_fold], return_inverse=True)
        others[of_fold] = own[(places_in + rng.integers(1, max(len(own), 2), len(places_in))) % len(own)]
    return index.assign(other=others).reset_index(drop=True)


def with_found(index: pd.DataFrame, scores: np.ndarray, shares: np.ndarray) -> pd.DataFrame:
    """The index with what was found of each row: detector scores (n,), hidden shares of the parts (n, 5)."""
    hidden = {f"hidden_{part}": share for part, share in zip(PARTS, shares.T, strict=True)}
    return index.assign(face_score=scores, kept=~np.isnan(scores), **hidden)


def _joined(found: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Scores and shares of some rows each -> those of all, also of none."""
    scores = np.concatenate([np.empty(0, np.float32), *(part for part, _ in found)])
    return scores, np.concatenate([np.empty((0, len(PARTS)), np.float32), *(part for _, part in found)])


def paint(raw: FaceSet, clean: FaceSet, drawn: pd.DataFrame, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `variants_of` -> their faces (n, 48, 48) uint8, a part hidden, and hidden shares (n, 5) float32.

    Nothing is found here: where landmarks are known, no detector is needed.
    """
    faces, shares = np.empty((len(drawn), FACE_PX, FACE_PX), np.uint8), np.empty((len(drawn), len(PARTS)), np.float32)
    of = drawn[["parent", "variant", "other"]].itertuples(index=False)
    for row, (parent, variant, other) in enumerate(of):
        rng, points = np.random.default_rng([seed, parent, variant]), clean.landmarks[parent]
        faces[row], hidden = occlude(raw.images[parent], points, raw.images[other], rng)
        shares[row] = hidden_shares(hidden, points)
    return faces, shares


def open_hidden(clean: Path, params: AugmentParams) -> FaceSet | None:
    """The FaceSet hidden beside the folder clean, where copies are made of it; MmferError if it was made without."""
    if not params.hidden:
        return None
    hidden = open_faceset(clean.with_name("hidden"), needs=tuple(SHAPES))
    if not params_of(hidden.made_by, "hide")["variants"]:
        raise MmferError(f"{hidden.folder}: no variants for augment.hidden: {params.hidden}; raise hide.variants")
    return hidden


def places(hidden: FaceSet | None, faces: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of so many raw faces: the first row of its variants, and how many there are, (faces,) int64 each."""
    if hidden is None:
        return np.zeros(faces, np.int64), np.zeros(faces, np.int64)
    counts = np.bincount(hidden.columns("parent")["parent"], minlength=faces)
    return np.cumsum(counts) - counts, counts


def taken(
    plain: np.ndarray, hidden: np.ndarray, parents: np.ndarray, variants: np.ndarray, first: np.ndarray
) -> np.ndarray:
    """Rows of raw or clean; where `variants` (n,) is not -1, those of hidden that `first`, of `places`, leads to."""
    rows, some = plain[parents], variants >= 0
    rows[some] = hidden[first[parents[some]] + variants[some]]
    return rows


def _write_variants(
    raw_folder: Path, clean_folder: Path, folder: Path, rows: slice, params: HideParams
) -> tuple[np.ndarray, np.ndarray]:
    """Write some rows -> detector scores (n,), hidden shares of the parts (n, 5) float32."""
    raw, clean = open_faceset(raw_folder), open_faceset(clean_folder)
    cleaning, drawn = CleanParams(**clean.made_by["params"]), read_index(folder, ["parent", "variant", "other"], rows)
    faces, shares = paint(raw, clean, drawn, params.seed)
    scores, landmarks, visible = find_faces(faces, cleaning, 1)
    write_rows(folder, "images", rows.start, faces)
    write_rows(folder, "landmarks", rows.start, landmarks)
    write_rows(folder, "transforms", rows.start, alignment(landmarks, ~np.isnan(scores), cleaning))
    write_rows(folder, "visible", rows.start, visible)
    return scores, shares
