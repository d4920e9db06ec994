"""Augment and extract at FER2013's size, 28,709 faces and thirty copies, beside a loop over images; prints JSON.

The loop does for one image what the public pipelines do: cv2.warpAffine, scikit-image's HOG, landmarks moved with it.
`python benchmarks/augment_extract.py [faces]` writes about 4 GB to a temporary folder.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from skimage.feature import hog as skimage_hog

from mmfer.config import AugmentParams, CleanParams, ExtractParams
from mmfer.data.duplicates import mark_duplicates
from mmfer.data.faceset import digests, new_faceset, new_index, write_array
from mmfer.face.augment import write_augmented
from mmfer.face.extract import write_features
from mmfer.face.points import move_landmarks
from mmfer.resources import measured


def write_clean_faces(data: Path, faces: int) -> tuple[np.ndarray, np.ndarray]:
    """Raw and clean FaceSets of random faces, all kept; return images and landmarks."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (faces, 48, 48), dtype=np.uint8)
    landmarks = rng.uniform(4, 44, (faces, 68, 2)).astype(np.float32)
    index = new_index([str(i) for i in range(faces)], np.arange(faces) % 7, "train", digest=digests(images))
    index = mark_duplicates(index)
    classes = [str(label) for label in range(7)]
    with new_faceset(data / "raw", "random", classes, index, {}) as folder:
        write_array(folder, "images", images)
    made_by = {"params": CleanParams().model_dump()}
    with new_faceset(data / "clean", "random", classes, index.assign(kept=True), made_by) as folder:
        write_array(folder, "landmarks", landmarks)
        write_array(folder, "transforms", np.tile(np.eye(2, 3, dtype=np.float32), (faces, 1, 1)))
    return images, landmarks


def loop_seconds(images: np.ndarray, landmarks: np.ndarray) -> float:
    """Seconds for one copy by a loop over images."""
    turn = cv2.getRotationMatrix2D((23.5, 23.5), 10, 1.05)
    start = time.perf_counter()
    for image, points in zip(images, landmarks, strict=True):
        moved = cv2.warpAffine(image, turn, (48, 48), borderMode=cv2.BORDER_REPLICATE)
        skimage_hog(moved, 9, (8, 8), (2, 2), block_norm="L2-Hys")
        move_landmarks(points[None], turn[None])
    return (time.perf_counter() - start) / len(images)


def main(faces: int) -> None:
    """Both stages with two workers, and the loop for some hundred images."""
    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        images, landmarks = write_clean_faces(data, faces)
        with measured() as augment:
            rows = len(write_augmented(data / "raw", data / "clean", data / "augmented", AugmentParams(), 2))
        with measured() as extract:
            write_features(data / "augmented", data / "clean", data / "features", ExtractParams(), 2)
    loop = loop_seconds(images[:500], landmarks[:500])
    seconds = augment["seconds"] + extract["seconds"]
    result = {"rows": rows, "augment": augment, "extract": extract, "rows_per_second": round(rows / seconds)}
    print(json.dumps(result | {"loop_us": round(1e6 * loop, 1), "ratio": round(loop * rows / seconds, 1)}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 28_709)
