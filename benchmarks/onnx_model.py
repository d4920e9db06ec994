"""The network of the package as an ONNX file beside torch, on one core; prints JSON.

`python benchmarks/onnx_model.py [FILE.onnx]` exports it first if no file is given. Times are CPU times, each the least
of some runs, so that other load hardly counts; `cold_start` is a process from its start to the probabilities of a face.
A ratio is torch's time over onnxruntime's.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from mmfer.training.models import load_model
from mmfer.use.doctor import WEIGHTS
from mmfer.use.export import example_faces, export_onnx
from mmfer.use.onnx_model import load_onnx

FOLDER, FACES = WEIGHTS / "compact", 256
COLD = (
    "import numpy as np; from pathlib import Path; from mmfer.{module} import {load}; model = {load}(Path({path!r}));"
    "print(model.predict(dict(np.load({faces!r}))).sum())"
)


def least_ms(act: Callable[[], object], repeats: int) -> float:
    """CPU milliseconds of the quickest of some calls."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        act()
        times.append(time.process_time() - start)
    return round(1e3 * min(times), 3)


def cold_start(faces: Path, module: str, load: str, path: Path, repeats: int = 3) -> dict[str, float]:
    """Least wall and CPU seconds of a process that loads a model and predicts one face."""
    command = [sys.executable, "-c", COLD.format(module=module, load=load, path=str(path), faces=str(faces))]
    walls, cpus = [], []
    for _ in range(repeats):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        walls.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {"wall_s": round(min(walls), 2), "cpu_s": round(min(cpus), 2)}


def compare(file: Path, scratch: Path) -> dict[str, object]:
    """All figures of one exported file."""
    torch.set_num_threads(1)
    network, graph = load_model(FOLDER), load_onnx(file, threads=1)
    faces = example_faces(network, FACES)
    one = {name: rows[1:2] for name, rows in faces.items()}
    np.savez(scratch / "faces.npz", **one)
    both = {"torch": network, "onnx": graph}
    figures: dict[str, dict[str, float]] = {
        "latency_ms": {name: least_ms(lambda model=model: model.predict(one), 50) for name, model in both.items()},
        "batch_ms_a_face": {
            name: round(least_ms(lambda model=model: model.predict(faces), 5) / FACES, 3)
            for name, model in both.items()
        },
    }
    starts = {
        "torch": cold_start(scratch / "faces.npz", "models", "load_model", FOLDER),
        "onnx": cold_start(scratch / "faces.npz", "onnx_model", "load_onnx", file),
    }
    for unit in ("wall_s", "cpu_s"):
        figures[f"cold_start_{unit}"] = {name: start[unit] for name, start in starts.items()}
    return {
        "bytes": file.stat().st_size,
        "weights_bytes": (FOLDER / "model.safetensors").stat().st_size,
        "largest_difference": float(np.abs(network.predict(faces) - graph.predict(faces)).max()),
        **{name: pair | {"ratio": round(pair["torch"] / pair["onnx"], 2)} for name, pair in figures.items()},
    }


def main(file: Path | None) -> None:
    """Export if need be, compare, print."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        if file is None:
            file = scratch / "compact.onnx"
            export_onnx(FOLDER, file)
        print(json.dumps(compare(file, scratch)))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
