"""HOG: our kernel beside scikit-image on the same random faces; prints JSON. `python benchmarks/hog.py`"""

import json
import time

import numpy as np
from skimage.feature import hog as skimage_hog

from mmfer.config import ExtractParams
from mmfer.face.hog import hog


def seconds(function, repeats: int = 5) -> float:
    """The best of some timings."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Compare both for one face each."""
    faces = np.random.default_rng(0).integers(0, 256, (2000, 48, 48), dtype=np.uint8)
    hog(faces[:1], ExtractParams())  # compiles
    ours = seconds(lambda: hog(faces, ExtractParams())) / len(faces)
    few = faces[:200]
    theirs = seconds(lambda: [skimage_hog(f, 9, (8, 8), (2, 2), block_norm="L2-Hys") for f in few], 3) / len(few)
    difference = np.abs(
        hog(few, ExtractParams()) - np.stack([skimage_hog(f, 9, (8, 8), (2, 2), block_norm="L2-Hys") for f in few])
    ).max()
    result = {
        "ours_us": round(1e6 * ours, 1),
        "scikit_image_us": round(1e6 * theirs, 1),
        "ratio": round(theirs / ours, 1),
        "largest_difference": float(difference),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
