"""What a data set costs: core-hours, GPU-hours and bytes by stage, from measured rates; and whether that comes true.

`python -m benchmarks.cost` prints the table of docs/cost.md from results/. `python -m benchmarks.cost check [FILE]`
runs clean, augment and extract on 2,800 rendered faces, with FILE (fer2013.zip) also on those of FER2013, and prints
JSON: core-seconds that were predicted, and those that it took.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.common import MADE_BY, machine
from mmfer.config import AugmentParams, CleanParams, ExtractParams, Fer2013Source, SyntheticSource
from mmfer.data.duplicates import mark_duplicates
from mmfer.data.faceset import new_faceset, write_array
from mmfer.data.sources.fer2013 import read_fer2013
from mmfer.data.synthetic.faces import read_synthetic
from mmfer.face.augment import write_augmented
from mmfer.face.clean import write_clean
from mmfer.face.extract import write_features

RESULTS = Path(__file__).parent / "results"
RAW, CLEAN, AUGMENTED, FEATURES = 2304, 568, 2328, 2344  # bytes of a row: images, landmarks, transforms, HOG
GPU_FLOPS = 989e12 * 0.15  # H100 SXM: NVIDIA's dense bfloat16 peak, and the share of it that is assumed


class Size(NamedTuple):
    """A data set, and how it is trained on."""

    name: str
    faces: int
    copies: int  # stored ones; 1: none, they are drawn online
    views: int  # training samples of each face


SIZES = [
    Size("FER2013, the paper's setting: 30 copies, 500 epochs", 28_709, 30, 15_000),
    Size("AffectNet's size, the paper's setting", 450_000, 30, 15_000),
    Size("AffectNet's size, online, 100 views of each face", 450_000, 1, 100),
    Size("a billion faces, online, 30 views of each", 1_000_000_000, 1, 30),
]


def rates() -> dict[str, float]:
    """Core-seconds of a face in clean, of a row in augment and extract; from results/."""
    clean, both = (_result(name)["times"] for name in ("clean", "augment_extract"))
    return {
        "clean": clean["clean"]["processor_s"],
        "augment": both["augment"]["processor_s"],
        "extract": both["extract"]["processor_s"],
    }


def predicted(faces: int, rows: int) -> dict[str, float]:
    """Core-seconds of the stages that make data."""
    each = rates()
    return {"clean": faces * each["clean"], "augment": rows * each["augment"], "extract": rows * each["extract"]}


def stored_bytes(faces: int, rows: int) -> int:
    """On the disk, without indices (about 100 bytes a row)."""
    return faces * (RAW + CLEAN) + rows * (AUGMENTED + FEATURES)


def table() -> str:
    """Each size: core-hours by stage, bytes, training of the paper's network and of compact, what binds."""
    training = _result("training")
    cores = training["sizes"]["threads"]
    columns = ["clean", "augment", "extract", "TB stored"]
    heads = [f"{system}, {what}-hours" for system in ("paper's network", "compact") for what in ("core", "GPU")]
    lines = [f"| size | samples | {' | '.join([*columns, *heads])} |", "|---|---:|" + "---:|" * (len(columns) + 4)]
    for size in SIZES:
        rows, samples = size.faces * size.copies, size.faces * size.views
        cells = [_short(seconds / 3600) for seconds in predicted(size.faces, rows).values()]
        cells.append(_short(stored_bytes(size.faces, rows) / 1e12))
        for system in ("ours", "compact"):
            fastest = max(
                training["samples_per_second"][f"{system}_{kind}"]["loop"] for kind in ("float32", "bfloat16")
            )
            cells.append(_short(samples * cores / fastest / 3600))
            cells.append(_short(samples * training["flops_of_a_sample"][system] / GPU_FLOPS / 3600))
        lines.append(f"| {size.name} | {samples:.3g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def check(fer2013: str | None) -> dict[str, Any]:
    """Predicted and measured core-seconds, by data set and stage."""
    sets = {"rendered": read_synthetic(SyntheticSource(faces=2800, identities=280), 2)}
    if fer2013:
        sets["FER2013"] = read_fer2013(Fer2013Source(path=fer2013), 2)
    found = {}
    for name, (index, images, classes) in sets.items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = measured_stages(Path(folder), index, images, classes)
    return {"machine": machine(), "sets": found}


def measured_stages(data: Path, index: Any, images: np.ndarray, classes: list[str]) -> dict[str, Any]:
    """Core-seconds of the three stages on these faces."""
    with new_faceset(data / "raw", "checked", classes, mark_duplicates(index), MADE_BY) as folder:
        write_array(folder, "images", images)
    stages = {
        "clean": lambda: write_clean(data / "raw", data / "clean", CleanParams(), 2),
        "augment": lambda: write_augmented(data / "raw", data / "clean", data / "augmented", AugmentParams(), 2),
        "extract": lambda: write_features(data / "augmented", data / "clean", data / "features", ExtractParams(), 2),
    }
    took, rows = {}, 0
    for name, stage in stages.items():
        start = time.process_time()
        rows = len(stage())
        took[name] = time.process_time() - start
    expected = predicted(len(images), rows)
    both = {name: {"predicted_s": round(expected[name], 1), "measured_s": round(took[name], 1)} for name in stages}
    size = sum(file.stat().st_size for file in data.rglob("*.npy"))
    return {
        "faces": len(images),
        "rows": rows,
        "bytes_predicted": stored_bytes(len(images), rows),
        "bytes": size,
    } | both


def _result(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def main() -> None:
    """Print the table, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["table", "check"], default="table")
    parser.add_argument("fer2013", nargs="?", help="fer2013.zip")
    given = parser.parse_args()
    print(table() if given.what == "table" else json.dumps(check(given.fer2013), indent=1))


if __name__ == "__main__":
    main()
