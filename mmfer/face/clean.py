"""Stage clean: which images hold a face (the others are noise), its 68 landmarks, its alignment (paper, 4.1).

A rejected image keeps its plain frame, and its landmarks are the predictor's on the whole image: the documented
fall-back, counted by `kept`.
"""

from __future__ import annotations  # pandas takes 0.3 s to import

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmfer.config import CleanParams
from mmfer.data.faceset import (
    PART,
    FaceSet,
    count_splits,
    create_array,
    new_faceset,
    open_faceset,
    write_index,
    write_rows,
)
from mmfer.errors import MmferError
from mmfer.face.detection import CHUNK, find_faces, prepare_models
from mmfer.face.geometry import alignment
from mmfer.face.points import N_POINTS, PARTS
from mmfer.parallel import each, ranges

if TYPE_CHECKING:
    import pandas as pd


def write_clean(source: Path, target: Path, params: CleanParams, workers: int) -> FaceSet:
    """Raw FaceSet folder -> clean FaceSet (landmarks in raw pixels, transforms, visibility).

    The index gains `face_score` (float32, NaN where no face reaches the threshold) and `kept` (bool). MmferError where
    the threshold keeps no face of a split.
    """
    raw = open_faceset(source, needs=("images",))
    prepare_models(params)  # before the threads, each of which would read them
    made_by = {"stage": "clean", "params": params.model_dump(), "from": raw.made_by}
    with new_faceset(target, raw.dataset, raw.classes, None, made_by) as folder:
        create_array(folder, "landmarks", (len(raw), N_POINTS, 2))
        create_array(folder, "transforms", (len(raw), 2, 3))
        create_array(folder, "visible", (len(raw), len(PARTS)))
        jobs = [(source.absolute(), folder.absolute(), rows, params) for rows in ranges(len(raw), CHUNK, workers)]
        scores = np.concatenate(each(_write_found, jobs, workers, "faces"))  # dlib releases the GIL
        kept = ~np.isnan(scores)
        for split, found in raw.columns("split").assign(kept=kept).groupby("split")["kept"]:
            if not found.any():
                raise MmferError(f"clean.threshold: {params.threshold} keeps no face of the {split} images; lower it")
        write_index(folder, _scored(raw, scores, kept))
    return open_faceset(target)


def _write_found(source: Path, folder: Path, rows: slice, params: CleanParams) -> np.ndarray:
    scores, landmarks, visible = find_faces(open_faceset(source).images[rows], params, 1)
    write_rows(folder, "landmarks", rows.start, landmarks)
    write_rows(folder, "transforms", rows.start, alignment(landmarks, ~np.isnan(scores), params))
    write_rows(folder, "visible", rows.start, visible)
    return scores


def _scored(raw: FaceSet, scores: np.ndarray, kept: np.ndarray) -> Iterator[pd.DataFrame]:
    for number, part in enumerate(raw.parts()):
        rows = slice(number * PART, number * PART + len(part))
        yield part.assign(face_score=scores[rows], kept=kept[rows])


def kept_shares(clean: FaceSet) -> pd.DataFrame:
    """Images and the share of them in which a face was found: columns split, class, images, kept."""
    index = clean.columns("split", "label", "kept")
    counts = count_splits(index, clean.classes)
    found = count_splits(index[index["kept"]], clean.classes)
    merged = counts.merge(found, on=["split", "class"], suffixes=("", "_kept"))
    return counts.assign(kept=(merged["images_kept"] / merged["images"]).round(4))
