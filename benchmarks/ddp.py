"""Training by two processes of one thread each against one of one thread, batches of 128 in both; prints JSON.

Each rate is that of new processes, from the third step on (mmfer.training.loop.probe). `second_adds` is what the second
process adds, as a share of the first. `apart_adds` is what a second training adds that has nothing to do with the first
(batches of 64 each): what the computer itself gives, less where two cores share their units or other programs use one.

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

from benchmarks.common import run
from benchmarks.training import network_of
from mmfer.config import TrainParams
from mmfer.data.splits import Rows
from mmfer.training import processes
from mmfer.training.feed import Feed
from mmfer.training.loop import probe

SYSTEMS = ("compact", "ours_narrow")
ROWS, BATCH = 2048, 128
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def rate(name: str, seconds: float, batch: int) -> float:
    """Samples a second of all processes together, on random faces."""
    rng = np.random.default_rng(0)
    arrays = {
        "images": rng.integers(0, 256, (ROWS, 48, 48), dtype=np.uint8),
        "landmarks": rng.uniform(5, 43, (ROWS, 68, 2)).astype(np.float32),
        "hog": rng.integers(0, 256, (ROWS, 900), dtype=np.uint8),
        "labels": rng.integers(0, 7, ROWS),
    }
    rows = Rows(np.arange(ROWS), np.arange(0), np.arange(0))
    return probe(network_of(name), Feed(arrays), rows, TrainParams(batch_size=batch, device="cpu"), seconds)


def started(ways: list[list[str]], name: str, seconds: float, batch: int) -> float:
    """The rate of trainings that are started at once, each by `python` and some arguments, all together."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{number}.json") for number in range(len(ways))]
        trainings = []
        for way, file in zip(ways, files, strict=True):
            job = json.dumps([name, seconds, batch, str(file)])
            command = [sys.executable, *way, "-m", "benchmarks.ddp"]
            environment = os.environ | {"OMP_NUM_THREADS": "1", "MMFER_DDP_JOB": job}
            trainings.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL))
        if any(training.wait() for training in trainings):
            sys.exit(f"{name}: a training failed")
        return sum(json.loads(file.read_text(encoding="utf-8")) for file in files)


def work(name: str, seconds: float, batch: int, file: str) -> None:
    """What each process does."""
    with processes.joined("cpu"):
        found = rate(name, seconds, batch)
        if processes.rank() == 0:
            Path(file).write_text(json.dumps(found), encoding="utf-8")


def measure(quick: bool) -> dict[str, Any]:
    """Rates of one process, of two that train together and of two apart, in turns; medians over the turns.

    What is added is relative to the first of the same turn, so that it is not the ratio of the medians.
    """
    result = {}
    ways = {"one": ([[]], BATCH), "two": ([TORCHRUN], BATCH), "apart": ([[], []], BATCH // 2)}
    for name in SYSTEMS:
        seconds, turns = (0.5, 1) if quick else (5.0, 5)
        rates = np.array([[started(way, name, seconds, batch) for way, batch in ways.values()] for _ in range(turns)])
        adds = rates[:, 1:] / rates[:, :1] - 1
        result[name] = {
            "samples_per_second": dict(zip(ways, np.median(rates, axis=0).round(1).tolist(), strict=True)),
            "second_adds": round(float(np.median(adds[:, 0])), 3),
            "apart_adds": round(float(np.median(adds[:, 1])), 3),
            "of_turns_second_and_apart": adds.round(3).tolist(),
        }
    return {"batch": BATCH, "systems": result}


if __name__ == "__main__":
    if "MMFER_DDP_JOB" in os.environ:
        work(*json.loads(os.environ["MMFER_DDP_JOB"]))
    else:
        run(measure, __doc__)
