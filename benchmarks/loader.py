"""What training waits for: batches of stored rows in random order, beside np.take of the same rows in memory.

`python -m benchmarks.loader`. One thread, three modalities, batches of 128, rows from memmapped files that the page
cache holds. Seconds of one row.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import interleaved, medians, ratio, run
from benchmarks.faces import write_clean_faces
from mmfer.config import AugmentParams, ExtractParams
from mmfer.data.faceset import open_faceset
from mmfer.face.augment import write_augmented
from mmfer.face.extract import write_features
from mmfer.training.feed import open_feed

BATCH = 128


def measure(quick: bool) -> dict[str, Any]:
    """Both by turns."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        write_clean_faces(data, 20 if quick else 4000)
        write_augmented(data / "raw", data / "clean", data / "augmented", AugmentParams(), 2)
        write_features(data / "augmented", data / "clean", data / "features", ExtractParams(), 2)
        seen, values = open_faceset(data / "augmented"), open_faceset(data / "features")
        feed = open_feed(seen, values, ("image", "landmarks", "hog"))
        there = [np.array(array) for array in feed.arrays.values()]
        rows = np.random.default_rng(0).permutation(len(seen))[: 40_000 // BATCH * BATCH]
        batches = np.split(rows, range(BATCH, len(rows), BATCH))
        numbers = [torch.from_numpy(batch) for batch in batches]
        ways = {
            "fetch": lambda: [feed.fetch(batch) for batch in numbers],
            "take": lambda: [[np.take(array, batch, axis=0) for array in there] for batch in batches],
        }
        times = interleaved(ways, 2 if quick else 9, dict.fromkeys(ways, len(rows)))
    ratios = {"take_to_fetch": ratio(times, "take", "fetch", of="processor")}
    more = {"rows_per_second": round(1 / float(np.median(times["fetch"][:, 0])))}
    return {"sizes": {"rows": len(rows)}, "times": medians(times), "ratios": ratios} | more


if __name__ == "__main__":
    run(measure, __doc__)
