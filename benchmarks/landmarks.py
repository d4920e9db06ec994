"""The 68 landmarks of rendered faces, in batch and alone, beside dlib's own predictor. `python -m benchmarks.landmarks`

Seconds of one face. `differing_points` counts landmarks that are not dlib's to the pixel.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import dlib
import numpy as np

from benchmarks.common import interleaved, medians, ratio, run
from mmfer.config import SyntheticSource
from mmfer.data.synthetic.faces import read_synthetic
from mmfer.face.shape_predictor import find_landmarks, model_file

SIDE, BOX = 120, (12, 12, 107, 107)


def by_dlib(predictor: dlib.shape_predictor, images: np.ndarray) -> np.ndarray:
    """Landmarks (N, 68, 2) of images whose faces are in BOX."""
    box = dlib.rectangle(*BOX)
    return np.array([[(point.x, point.y) for point in predictor(image, box).parts()] for image in images])


def shared(function, images: np.ndarray, threads: int) -> np.ndarray:
    """What a function returns for equal parts of the images, each in a thread."""
    with ThreadPoolExecutor(threads) as pool:
        return np.concatenate(list(pool.map(function, np.array_split(images, threads))))


def measure(quick: bool) -> dict[str, Any]:
    """Both by turns."""
    predictor = dlib.shape_predictor(str(model_file()))
    _, faces, _ = read_synthetic(SyntheticSource(faces=70 if quick else 448, identities=28), 2)
    images = np.stack([cv2.resize(face, (SIDE, SIDE)) for face in faces])

    def batch(part: np.ndarray) -> np.ndarray:
        return find_landmarks(part, np.tile(BOX, (len(part), 1)))

    differing = int((batch(images) != by_dlib(predictor, images)).any(axis=-1).sum())
    ways = {
        "dlib": lambda: by_dlib(predictor, images),
        "dlib_2_threads": lambda: shared(lambda part: by_dlib(predictor, part), images, 2),
        "batch": lambda: batch(images),
        "batch_2_threads": lambda: shared(batch, images, 2),
        "alone": lambda: np.concatenate([batch(image[None]) for image in images]),
    }
    times = interleaved(ways, 1 if quick else 4, dict.fromkeys(ways, len(images)))
    ratios = {
        "dlib_to_batch": ratio(times, "dlib", "batch"),
        "dlib_to_batch_2_threads": ratio(times, "dlib_2_threads", "batch_2_threads"),
        "dlib_to_alone": ratio(times, "dlib", "alone"),
    }
    return {"sizes": {"faces": len(images)}, "times": medians(times), "ratios": ratios, "differing_points": differing}


if __name__ == "__main__":
    run(measure, __doc__)
