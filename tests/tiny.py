"""A tiny complete data folder, without dlib: three classes that differ in brightness pattern."""

from pathlib import Path

import numpy as np

from mmfer.config import AugmentParams, CleanParams, ExtractParams, HideParams, SyntheticSource
from mmfer.data.duplicates import mark_duplicates
from mmfer.data.faceset import digests, new_faceset, new_index, write_array
from mmfer.face.augment import write_augmented
from mmfer.face.extract import write_features
from mmfer.face.hide import write_hidden

CLASSES = ["left", "right", "middle"]
MADE_BY = {"stage": "made", "params": {}}


def write_tiny(data: Path, folds: int = 0, copies: int = 3, workers: int = 1) -> Path:
    """Write raw, clean, hidden (empty), augmented and features FaceSets of 60 images (20 people) below `data`."""
    rng = np.random.default_rng(0)
    label, person = np.arange(60) % 3, np.arange(60) // 3
    images = rng.integers(0, 60, (60, 48, 48), dtype=np.uint8)
    for image, where in zip(images, label, strict=True):
        image[:, 16 * where : 16 * where + 16] += 150
    split = "train" if folds else np.where(person < 12, "train", np.where(person < 16, "val", "test")).astype(object)
    columns = {"subject": [f"p{p}" for p in person], "fold": person % folds if folds else -1, "digest": digests(images)}
    index = mark_duplicates(new_index([f"i{i}" for i in range(60)], label, split, **columns))
    source = SyntheticSource().model_dump() | {"split": "subject"}
    origin = {"stage": "download", "params": source, "notes": []}
    with new_faceset(data / "raw", "tiny", CLASSES, index, origin) as folder:
        write_array(folder, "images", images)
    index = index.assign(kept=np.arange(60) % 10 != 9, face_score=np.float32(1))
    made_by = {"stage": "clean", "params": CleanParams().model_dump(), "from": origin}
    with new_faceset(data / "clean", "tiny", CLASSES, index, made_by) as folder:
        write_array(folder, "landmarks", rng.uniform(5, 43, (60, 68, 2)))
        write_array(folder, "transforms", np.tile(np.eye(2, 3), (60, 1, 1)))
        write_array(folder, "visible", rng.random((60, 5)))
    write_hidden(data / "raw", data / "clean", data / "hidden", HideParams(), workers)
    augment = AugmentParams(copies=copies, mirror=0.0)
    write_augmented(data / "raw", data / "clean", data / "augmented", augment, workers)
    write_features(data / "augmented", data / "clean", data / "features", ExtractParams(), workers)
    return data
