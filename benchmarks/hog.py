"""HOG: our kernel beside scikit-image and beside a copy of what it reads and writes, one thread, random faces.

`python -m benchmarks.hog`. Seconds of one face.
"""

from typing import Any

import numpy as np
from skimage.feature import hog as skimage_hog

from benchmarks.common import interleaved, medians, ratio, run
from mmfer.config import ExtractParams
from mmfer.face.hog import hog


def by_skimage(faces: np.ndarray) -> np.ndarray:
    """HOG (N, 900) of faces (N, 48, 48), one after the other."""
    return np.stack([skimage_hog(face, 9, (8, 8), (2, 2), block_norm="L2-Hys") for face in faces])


def measure(quick: bool) -> dict[str, Any]:
    """All three by turns."""
    faces = np.random.default_rng(0).integers(0, 256, (200 if quick else 8000, 48, 48), dtype=np.uint8)
    few, params = faces[: 20 if quick else 200], ExtractParams()
    difference = np.abs(hog(few, params) - by_skimage(few)).max()  # and the kernel is compiled
    values = hog(faces, params)
    ways = {
        "ours": lambda: hog(faces, params),
        "scikit_image": lambda: by_skimage(few),
        "memory_copy": lambda: (faces.copy(), values.copy()),
    }
    items = {name: len(few if name == "scikit_image" else faces) for name in ways}
    times = interleaved(ways, 3 if quick else 9, items)
    ratios = {
        "scikit_image_to_ours": ratio(times, "scikit_image", "ours", of="processor"),
        "ours_to_memory_copy": ratio(times, "ours", "memory_copy", of="processor"),
    }
    return {"sizes": items, "times": medians(times), "ratios": ratios, "largest_difference": float(difference)}


if __name__ == "__main__":
    run(measure, __doc__)
