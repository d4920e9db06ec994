"""Stage augment, its kernel alone, and bare cv2.warpAffine, one thread each. `python -m benchmarks.augment`

cv2 gets the stage's own transforms, one face after the other; it neither draws them nor changes tones, erases or
writes. Seconds of one copy.
"""

import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.common import interleaved, medians, ratio, run
from benchmarks.faces import write_clean_faces
from mmfer.config import FACE_PX, AugmentParams
from mmfer.face.augment import write_augmented
from mmfer.face.geometry import invert, neutral_tones_and_boxes, warp_faces


def by_cv2(images: np.ndarray, parents: np.ndarray, inverses: np.ndarray) -> None:
    """A call for each copy."""
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for parent, inverse in zip(parents, inverses, strict=True):
        cv2.warpAffine(images[parent], inverse, (FACE_PX, FACE_PX), flags=how, borderMode=cv2.BORDER_REPLICATE)


def measure(quick: bool) -> dict[str, Any]:
    """All three by turns."""
    cv2.setNumThreads(1)
    params = AugmentParams(copies=30)
    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        images, _ = write_clean_faces(data, 20 if quick else 2000)

        def stage() -> Any:
            return write_augmented(data / "raw", data / "clean", data / "augmented", params, 1)

        made = stage()
        rows = len(made)
        parents, inverses = made.columns("parent")["parent"].to_numpy(), invert(np.array(made.transforms))
        out = np.empty((rows, FACE_PX, FACE_PX), np.uint8)
        tones, boxes = neutral_tones_and_boxes(rows)
        ways = {
            "stage": stage,
            "kernel": lambda: warp_faces(images, parents, inverses, tones, boxes, out),
            "cv2": lambda: by_cv2(images, parents, inverses),
        }
        times = interleaved(ways, 1 if quick else 5, dict.fromkeys(ways, rows))
    ratios = {
        "cv2_to_stage": ratio(times, "cv2", "stage", of="processor"),
        "cv2_to_kernel": ratio(times, "cv2", "kernel", of="processor"),
        "kernel_to_stage": ratio(times, "kernel", "stage", of="processor"),
    }
    return {"sizes": {"copies": rows}, "times": medians(times), "ratios": ratios}


if __name__ == "__main__":
    run(measure, __doc__)
