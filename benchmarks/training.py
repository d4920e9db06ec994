"""The training loop beside the same network on one batch that is ready, with stored copies and with online ones.

`python -m benchmarks.training`. Samples per second, medians over turns. The bare network takes the same steps (forward,
loss, backward, the same optimiser) on a batch whose inputs are prepared: no fetching, no preparing, no schedule. `loop`
is an epoch of the stage without its validation and checkpoint, on random faces.
"""

import copy
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.common import run
from benchmarks.faces import write_clean_faces
from mmfer.config import AugmentParams, ExtractParams, TrainParams, read_params
from mmfer.data.faceset import open_faceset
from mmfer.face.augment import write_augmented
from mmfer.face.extract import write_features
from mmfer.face.prepare import prepare
from mmfer.systems import system_params
from mmfer.training.device import choose_device
from mmfer.training.feed import Feed, open_feed
from mmfer.training.loop import epoch_samples, flops_of_sample, ready, train_epoch
from mmfer.training.state import start_state

TURN_SECONDS = 1.5
SYSTEMS = {  # and their batches on CPUs, where a step of the larger ones takes seconds
    "ours_narrow": 128,  # the widths of params.yaml
    "ours": 32,
    "compact": 128,
    "vgg": 32,
    "resnet": 32,
}


def write_faces(data: Path, mode: str, faces: int) -> None:
    """FaceSets of random faces whose copies are stored, or drawn online."""
    write_clean_faces(data, faces)
    write_augmented(data / "raw", data / "clean", data / "augmented", AugmentParams(mode=mode, copies=10), 2)
    write_features(data / "augmented", data / "clean", data / "features", ExtractParams(), 2)


def network_of(name: str) -> nn.Module:
    """A fresh network of a system."""
    block = read_params("params.yaml").systems["ours"] if name == "ours_narrow" else {"kind": name}
    system, params = system_params(name, block)
    torch.manual_seed(0)
    return system.build(params, 7, 900)


class Loop:
    """A training that goes on, epoch after epoch of so many steps; `bare` takes as many with one batch."""

    def __init__(self, network: Any, data: Path, params: TrainParams) -> None:
        seen, values = open_faceset(data / "augmented"), open_faceset(data / "features")
        self.rows = np.arange(len(seen))
        self.feed = ready(network, open_feed(seen, values, network.inputs), params, params.batch_size)
        self.flops = flops_of_sample(network, self.feed, self.rows)
        self.params, self.state = params, start_state(network, params)
        self.batch = _ready_batch(self.feed, network, params.batch_size)

    def train(self, steps: int) -> None:
        """An epoch of the stage."""
        size = steps * self.params.batch_size
        samples = epoch_samples(self.rows, self.feed.copies, self.state.epoch, size, 0)
        train_epoch(self.state, self.feed, samples, self.params, 0)

    def bare(self, steps: int) -> None:
        """The same network and optimiser, and nothing else."""
        inputs, labels = self.batch
        network, optimizer, bfloat16 = self.state.network, self.state.optimizer, self.params.precision == "bfloat16"
        network.train()
        for _ in range(steps):
            with torch.autocast(self.feed.device, torch.bfloat16, enabled=bfloat16):
                logits = network(**inputs)
            optimizer.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(logits.float(), labels).backward()
            optimizer.step()
        if self.feed.device == "cuda":
            torch.cuda.synchronize()


def _ready_batch(feed: Feed, network: Any, size: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    batch = feed.fetch(torch.arange(size).to(feed.rows_on))
    return prepare(batch, network.inputs), batch["labels"]


def rates(ways: dict[str, Callable[[int], None]], batch: int, turns: int) -> dict[str, Any]:
    """Samples per second of some ways to take steps, medians of turns, and for each turn's ratios their medians."""
    for way in ways.values():
        way(1)
    steps = max(2, round(TURN_SECONDS / _seconds(next(iter(ways.values())), 1))) if turns > 1 else 2
    seconds = np.array([[_seconds(way, steps) for way in ways.values()] for _ in range(turns)])
    by_way = dict(zip(ways, seconds.T, strict=True))
    found = {name: round(float(np.median(batch * steps / taken)), 1) for name, taken in by_way.items()}
    shares = {name: round(float(np.median(seconds[:, 0] / taken)), 3) for name, taken in by_way.items()}
    return {"steps": steps, "rates": found, "to_first": shares}


def _seconds(way: Callable[[int], None], steps: int) -> float:
    start = time.perf_counter()
    way(steps)
    return time.perf_counter() - start


def measure(quick: bool) -> dict[str, Any]:
    """Every system, in float32 and in bfloat16, and for compact copies drawn online too."""
    device, turns = choose_device("auto"), 1 if quick else 9
    found: dict[str, Any] = {}
    online: dict[str, float] = {}
    flops: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as name:
        stored, drawn = Path(name, "stored"), Path(name, "drawn")
        write_faces(stored, "stored", 40 if quick else 2000)
        write_faces(drawn, "online", 40 if quick else 2000)
        for system in ("compact",) if quick else SYSTEMS:
            batch = 8 if quick else (1024 if device == "cuda" else SYSTEMS[system])
            for precision in ("float32", "bfloat16"):
                params = TrainParams(batch_size=batch, precision=precision)
                network = network_of(system)
                loop = Loop(copy.deepcopy(network), stored, params)
                ways = {"bare": loop.bare, "loop": loop.train}
                if system == "compact":
                    ways["online"] = Loop(network, drawn, params).train
                measured = rates(ways, batch, turns)
                key = f"{system}_{precision}"
                flops[system] = loop.flops
                found[key] = {"batch": batch} | measured["rates"] | {"loop_to_bare": measured["to_first"]["loop"]}
                if system == "compact":
                    found[key]["online_to_bare"] = measured["to_first"]["online"]
                    online[key] = round(measured["to_first"]["loop"] / measured["to_first"]["online"] - 1, 3)
    ratios = {key: rate["loop_to_bare"] for key, rate in found.items()}
    return {
        "sizes": {"turns": turns, "threads": torch.get_num_threads()},
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "flops_of_a_sample": flops,
        "samples_per_second": found,
        "ratios": ratios | {"least_loop_to_bare": min(ratios.values())},
        "online_cost": online,
    }


if __name__ == "__main__":
    run(measure, __doc__)
