"""FaceSets of random faces for the benchmarks: no detector has to find them."""

from pathlib import Path

import numpy as np

from benchmarks.common import MADE_BY
from mmfer.config import CleanParams
from mmfer.data.duplicates import mark_duplicates
from mmfer.data.faceset import digests, new_faceset, new_index, write_array


def write_clean_faces(data: Path, faces: int) -> tuple[np.ndarray, np.ndarray]:
    """Raw and clean FaceSets of random faces, all kept, all of them training; return images and landmarks."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (faces, 48, 48), dtype=np.uint8)
    landmarks = rng.uniform(4, 44, (faces, 68, 2)).astype(np.float32)
    index = new_index([str(i) for i in range(faces)], np.arange(faces) % 7, "train", digest=digests(images))
    index = mark_duplicates(index)
    classes = [str(label) for label in range(7)]
    with new_faceset(data / "raw", "random", classes, index, MADE_BY) as folder:
        write_array(folder, "images", images)
    made_by = {"stage": "clean", "params": CleanParams().model_dump(), "from": MADE_BY}
    with new_faceset(data / "clean", "random", classes, index.assign(kept=True), made_by) as folder:
        write_array(folder, "landmarks", landmarks)
        write_array(folder, "transforms", np.tile(np.eye(2, 3, dtype=np.float32), (faces, 1, 1)))
        write_array(folder, "visible", np.ones((faces, 5), np.float32))
    return images, landmarks
