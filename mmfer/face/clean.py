"""Stage clean: which images hold a face (the others are noise), its 68 landmarks, its alignment (paper, 4.1).

A rejected image keeps its plain frame, and its landmarks are the predictor's on the whole image: the documented
fall-back, counted by `kept`.
"""

from __future__ import annotations  # pandas takes 0.3 s to import

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmfer.config import CleanParams
from mmfer.data.faceset import FaceSet, count_splits, new_faceset, open_faceset, write_array
from mmfer.errors import MmferError
from mmfer.face.detection import find_faces
from mmfer.face.geometry import alignment

if TYPE_CHECKING:
    import pandas as pd


def write_clean(source: Path, target: Path, params: CleanParams, workers: int) -> FaceSet:
    """Raw FaceSet folder -> clean FaceSet (landmarks in raw pixels, transforms).

    The index gains `face_score` (float32, NaN where no face reaches the threshold) and `kept` (bool). MmferError where
    the threshold keeps no face of a split.
    """
    raw = open_faceset(source, needs=("images",))
    scores, landmarks = find_faces(raw.images, params, workers)
    kept = ~np.isnan(scores)
    for split, found in raw.index.assign(kept=kept).groupby("split")["kept"]:
        if not found.any():
            raise MmferError(f"clean.threshold: {params.threshold} keeps no face of the {split} images; lower it")
    index = raw.index.assign(face_score=scores, kept=kept)
    made_by = {"stage": "clean", "params": params.model_dump(), "from": raw.made_by}
    with new_faceset(target, raw.dataset, raw.classes, index, made_by) as folder:
        write_array(folder, "landmarks", landmarks)
        write_array(folder, "transforms", alignment(landmarks, kept, params))
    return open_faceset(target)


def kept_shares(clean: FaceSet) -> pd.DataFrame:
    """Images and the share of them in which a face was found: columns split, class, images, kept."""
    counts = count_splits(clean.index, clean.classes)
    found = count_splits(clean.index[clean.index["kept"]], clean.classes)
    merged = counts.merge(found, on=["split", "class"], suffixes=("", "_kept"))
    return counts.assign(kept=(merged["images_kept"] / merged["images"]).round(4))
