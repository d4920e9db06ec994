"""Stage clean beside bare calls of dlib, by number of threads; rendered faces. `python -m benchmarks.clean`

dlib's detector sees the images at the size that clean shows them, enlarged beforehand, and its shape predictor the box
that it found, or the frame. Seconds of one face.
"""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import dlib
import numpy as np

from benchmarks.common import MADE_BY, interleaved, medians, ratio, run
from mmfer.config import CleanParams, SyntheticSource
from mmfer.data.duplicates import mark_duplicates
from mmfer.data.faceset import new_faceset, write_array
from mmfer.data.synthetic.faces import read_synthetic
from mmfer.face.clean import write_clean
from mmfer.face.shape_predictor import model_file


def enlarged(faces: np.ndarray, params: CleanParams) -> np.ndarray:
    """Faces (N, 48, 48) as the detector gets them."""
    side, border = params.detect_px, params.border_px
    return np.stack(
        [cv2.copyMakeBorder(cv2.resize(face, (side, side)), *[border] * 4, cv2.BORDER_CONSTANT) for face in faces]
    )


def by_dlib(images: np.ndarray, params: CleanParams) -> None:
    """Detector and predictor on one image after the other."""
    predictor, detector = dlib.shape_predictor(str(model_file())), dlib.get_frontal_face_detector()
    border, side = params.border_px, params.detect_px
    frame = dlib.rectangle(border, border, border + side - 1, border + side - 1)
    for image in images:
        found, scores, _ = detector.run(image, 0, params.threshold)
        predictor(image, found[int(np.argmax(scores))] if len(found) else frame).parts()


def measure(quick: bool) -> dict[str, Any]:
    """Both by turns, on one thread and on two."""
    index, faces, classes = read_synthetic(SyntheticSource(faces=70 if quick else 448, identities=28), 2)
    params = CleanParams()
    images = enlarged(faces, params)

    def dlib_on(threads: int) -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda part: by_dlib(part, params), np.array_split(images, threads)))

    with tempfile.TemporaryDirectory() as name:
        raw, clean = Path(name, "raw"), Path(name, "clean")
        with new_faceset(raw, "rendered", classes, mark_duplicates(index), MADE_BY) as folder:
            write_array(folder, "images", faces)
        ways = {
            "clean": lambda: write_clean(raw, clean, params, 1),
            "dlib": lambda: dlib_on(1),
            "clean_2_threads": lambda: write_clean(raw, clean, params, 2),
            "dlib_2_threads": lambda: dlib_on(2),
        }
        ways["clean"]()  # the kernels are compiled
        times = interleaved(ways, 1 if quick else 7, dict.fromkeys(ways, len(faces)))
    ratios = {
        "dlib_to_clean_per_core": ratio(times, "dlib", "clean", of="processor"),
        "clean_1_to_2_threads": ratio(times, "clean", "clean_2_threads"),
        "dlib_1_to_2_threads": ratio(times, "dlib", "dlib_2_threads"),
        "dlib_to_clean_2_threads": ratio(times, "dlib_2_threads", "clean_2_threads"),
        "dlib_to_clean_on_2_threads": ratio(times, "dlib", "clean_2_threads"),
    }
    return {"sizes": {"faces": len(faces)}, "times": medians(times), "ratios": ratios}


if __name__ == "__main__":
    run(measure, __doc__)
