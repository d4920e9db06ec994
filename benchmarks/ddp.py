"""Training by two processes of one thread each against one of one thread, batches of 128 in both; prints JSON.

Each way is a start of torchrun, which measures the rate from the third step on (mmfer.training.loop.probe).
`second_adds` is what the second process adds, as a share of the first.
On a computer with as many busy programs as cores the second process gets no core, and the figures say nothing.

`python -m benchmarks.ddp [--quick]`
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import run
from mmfer.config import TrainParams
from mmfer.data.splits import Rows
from mmfer.systems import system_params
from mmfer.training import processes
from mmfer.training.feed import Feed
from mmfer.training.loop import probe

NARROW = {
    "channels": [16, 32, 64],
    "image_hidden": [256, 128],
    "landmarks_hidden": [256, 128],
    "hog_hidden": [256, 128],
}
SYSTEMS: dict[str, dict[str, Any]] = {"compact": {}, "ours narrow": {"kind": "ours", **NARROW}}
ROWS, BATCH = 2048, 128


def rate(name: str, seconds: float) -> float:
    """Samples a second of all processes together, on random faces."""
    rng = np.random.default_rng(0)
    arrays = {
        "images": rng.integers(0, 256, (ROWS, 48, 48), dtype=np.uint8),
        "landmarks": rng.uniform(5, 43, (ROWS, 68, 2)).astype(np.float32),
        "hog": rng.integers(0, 256, (ROWS, 900), dtype=np.uint8),
        "labels": rng.integers(0, 7, ROWS),
    }
    torch.manual_seed(0)
    system, params = system_params(name.split(maxsplit=1)[0], SYSTEMS[name])
    network = system.build(params, 7)
    rows = Rows(np.arange(ROWS), np.arange(0), np.arange(0))
    return probe(network, Feed(arrays), rows, TrainParams(batch_size=BATCH, device="cpu"), seconds)


def started(count: int, name: str, seconds: float) -> float:
    """The rate of `count` processes that torchrun starts."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "rate.json")
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count), "-m", "benchmarks.ddp"]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MMFER_DDP_JOB": json.dumps([name, seconds, str(file)])}
        subprocess.run([sys.executable, *launch], check=True, env=environment, stdout=subprocess.DEVNULL)
        return json.loads(file.read_text(encoding="utf-8"))


def work(name: str, seconds: float, file: str) -> None:
    """What each process of torchrun does."""
    with processes.joined("cpu"):
        found = rate(name, seconds)
        if processes.rank() == 0:
            Path(file).write_text(json.dumps(found), encoding="utf-8")


def measure(quick: bool) -> dict[str, Any]:
    """Rates of one and two processes in turns, and their ratios; the median of the turns."""
    result = {}
    for name in SYSTEMS:
        turns = [[started(count, name, 0.5 if quick else 10.0) for count in (1, 2)] for _ in range(1 if quick else 5)]
        one, two = np.array(turns).T
        adds = np.round(two / one - 1, 3)
        result[name] = {
            "samples_per_second": {"one": round(float(np.median(one)), 1), "two": round(float(np.median(two)), 1)},
            "second_adds": float(np.median(adds)),
            "of_turns": adds.tolist(),
            "load": round(os.getloadavg()[0], 2),
        }
    return {"batch": BATCH, "systems": result}


if __name__ == "__main__":
    if "MMFER_DDP_JOB" in os.environ:
        work(*json.loads(os.environ["MMFER_DDP_JOB"]))
    else:
        run(measure, __doc__)
