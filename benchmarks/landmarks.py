"""The 68 landmarks of rendered faces, in batch and alone, beside dlib's own predictor; prints JSON.

`python benchmarks/landmarks.py`. Milliseconds for a face, the least of some rounds that take turns; `ratio`: dlib's
time to ours, by number of threads; `differing_points` counts landmarks that are not dlib's to the pixel.
"""

import importlib.util
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import dlib
import numpy as np

from mmfer.config import SyntheticSource
from mmfer.data.synthetic.faces import read_synthetic
from mmfer.face.shape_predictor import MODEL, find_landmarks

FACES, SIDE = 512, 120
BOX = (12, 12, 107, 107)


def by_dlib(predictor: dlib.shape_predictor, images: np.ndarray) -> np.ndarray:
    """Landmarks (N, 68, 2) of images whose faces are in BOX."""
    box = dlib.rectangle(*BOX)
    return np.array([[(point.x, point.y) for point in predictor(image, box).parts()] for image in images])


def shared(function, images: np.ndarray, threads: int) -> np.ndarray:
    """What a function returns for equal parts of the images, each in a thread."""
    with ThreadPoolExecutor(threads) as pool:
        return np.concatenate(list(pool.map(function, np.array_split(images, threads))))


def main() -> None:
    """Time both by turns."""
    package = importlib.util.find_spec("face_recognition_models")
    predictor = dlib.shape_predictor(str(Path(package.submodule_search_locations[0], "models", MODEL)))
    _, faces, _ = read_synthetic(SyntheticSource(faces=FACES, identities=64), 2)
    images = np.stack([cv2.resize(face, (SIDE, SIDE)) for face in faces])

    def batch(part: np.ndarray) -> np.ndarray:
        return find_landmarks(part, np.tile(BOX, (len(part), 1)))

    ways = {
        "dlib": lambda: by_dlib(predictor, images),
        "dlib_2_threads": lambda: shared(lambda part: by_dlib(predictor, part), images, 2),
        "batch": lambda: batch(images),
        "batch_2_threads": lambda: shared(batch, images, 2),
        "alone": lambda: np.concatenate([batch(image[None]) for image in images]),
    }
    found, times = {}, {name: [] for name in ways}
    for _ in range(4):
        for name, way in ways.items():
            start = time.perf_counter()
            found[name] = way()
            times[name].append((time.perf_counter() - start) / FACES * 1e3)
    result = {name: round(min(taken), 3) for name, taken in times.items()}
    ratio = {
        1: round(result["dlib"] / result["batch"], 1),
        2: round(result["dlib_2_threads"] / result["batch_2_threads"], 1),
    }
    differing = int((found["batch"] != found["dlib"]).any(axis=-1).sum())
    print(json.dumps(result | {"ratio": ratio, "differing_points": differing}))


if __name__ == "__main__":
    main()
