"""Augment and extract at FER2013's size, 861,270 rows, beside their bare kernels and beside a loop over images.

`python -m benchmarks.augment_extract` writes 4 GB to a temporary folder. Two threads each, but for the loop. The
kernels warp, describe and move landmarks, in memory, with transforms that are there already: they neither draw, open,
round to float16 nor write; `kernels_and_writes` also puts as many bytes to disk. The loop does for one image what the
public pipelines do: cv2.warpAffine, scikit-image's HOG, landmarks moved with it. Seconds of one row.
"""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from skimage.feature import hog as skimage_hog

from benchmarks.common import interleaved, medians, ratio, run
from benchmarks.faces import write_clean_faces
from mmfer.config import FACE_PX, AugmentParams, ExtractParams
from mmfer.data.faceset import FaceSet, create_array, open_faceset, write_rows
from mmfer.face.augment import write_augmented
from mmfer.face.extract import write_features
from mmfer.face.geometry import invert, neutral_tones_and_boxes, warp_faces
from mmfer.face.hog import hog
from mmfer.face.points import move_landmarks
from mmfer.resources import measured

PART, THREADS = 4096, 2


def loop(images: np.ndarray, landmarks: np.ndarray) -> None:
    """One copy of each image, by a loop over images."""
    turn = cv2.getRotationMatrix2D((23.5, 23.5), 10, 1.05)
    for image, points in zip(images, landmarks, strict=True):
        moved = cv2.warpAffine(image, turn, (48, 48), borderMode=cv2.BORDER_REPLICATE)
        skimage_hog(moved, 9, (8, 8), (2, 2), block_norm="L2-Hys")
        move_landmarks(points[None], turn[None])


def kernels(images: np.ndarray, landmarks: np.ndarray, made: FaceSet, scratch: Path | None) -> None:
    """The kernels over parts of the rows, in threads; with a folder, what they make is written there."""
    parents, transforms = made.columns("parent")["parent"].to_numpy(), np.array(made.transforms)
    inverses = invert(transforms)

    def part(start: int) -> None:
        rows = slice(start, start + PART)
        out = np.empty((len(parents[rows]), FACE_PX, FACE_PX), np.uint8)
        warp_faces(images, parents[rows], inverses[rows], *neutral_tones_and_boxes(len(out)), out)
        points = move_landmarks(landmarks[parents[rows]], transforms[rows])
        values = hog(out, ExtractParams())
        if scratch:
            for name, array in {"images": out, "landmarks": points, "hog": values}.items():
                write_rows(scratch, name, start, array)

    if scratch:
        for name, shape in {"images": (FACE_PX, FACE_PX), "landmarks": (68, 2), "hog": (900,)}.items():
            create_array(scratch, name, (len(parents), *shape))
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(part, range(0, len(parents), PART)))


def measure(quick: bool) -> dict[str, Any]:
    """All by turns, at full size."""
    cv2.setNumThreads(1)
    faces = 50 if quick else 28_709
    peaks: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        images, landmarks = write_clean_faces(data, faces)
        few = min(faces, 300)

        def augment() -> None:
            with measured() as cost:
                write_augmented(data / "raw", data / "clean", data / "augmented", AugmentParams(), THREADS)
            peaks.append(cost)

        def extract() -> None:
            write_features(data / "augmented", data / "clean", data / "features", ExtractParams(), THREADS)

        augment(), extract()  # the kernels are compiled, the disk has been there
        made = open_faceset(data / "augmented")
        ways = {
            "augment": augment,
            "extract": extract,
            "kernels": lambda: kernels(images, landmarks, made, None),
            "kernels_and_writes": lambda: kernels(images, landmarks, made, data),
            "loop": lambda: loop(images[:few], landmarks[:few]),
        }
        items = dict.fromkeys(ways, len(made)) | {"loop": few}
        times = interleaved(ways, 1 if quick else 3, items)
    times["stages"] = times["augment"] + times["extract"]
    ratios = {
        "kernels_to_stages": ratio(times, "kernels", "stages"),
        "kernels_to_stages_processor": ratio(times, "kernels", "stages", of="processor"),
        "kernels_and_writes_to_stages": ratio(times, "kernels_and_writes", "stages"),
        "loop_to_stages": ratio(times, "loop", "stages"),
    }
    more = {"rows_per_second": round(1 / float(np.median(times["stages"][:, 0])))}
    if "peak_mib" in peaks[-1]:
        more["peak_mib_augment"] = peaks[-1]["peak_mib"]
    return {"sizes": items, "times": medians(times), "ratios": ratios} | more


if __name__ == "__main__":
    run(measure, __doc__)
