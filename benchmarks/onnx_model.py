"""The network of the package as an ONNX file beside torch, on one core. `python -m benchmarks.onnx_model`

Seconds of a call with one face, of one face in a batch, and of a process from its start to the probabilities of a face.
"""

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import interleaved, medians, ratio, run
from mmfer.training.models import load_model
from mmfer.use.export import example_faces, export_onnx
from mmfer.use.onnx_model import load_onnx
from mmfer.use.predictor import WEIGHTS

FOLDER, FACES = WEIGHTS, 256
COLD = (
    "import numpy as np; from pathlib import Path; from mmfer.{module} import {load}; model = {load}(Path({path!r}));"
    "print(model.predict(dict(np.load({faces!r}))).sum())"
)


def measure(quick: bool) -> dict[str, Any]:
    """Export, compare."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        file, saved = Path(name, "compact.onnx"), Path(name, "faces.npz")
        export_onnx(FOLDER, file)
        network, graph = load_model(FOLDER), load_onnx(file, threads=1)
        faces = example_faces(network, FACES)
        one = {key: rows[1:2] for key, rows in faces.items()}
        np.savez(saved, **one)
        both = {"torch": network, "onnx": graph}
        difference = np.abs(network.predict(faces) - graph.predict(faces)).max()
        times = interleaved({f"{key}_alone": partial(m.predict, one) for key, m in both.items()}, 5 if quick else 50)
        batch = {f"{key}_in_batch": partial(m.predict, faces) for key, m in both.items()}
        times |= interleaved(batch, 1 if quick else 5, dict.fromkeys(batch, FACES))
        starts = {
            "torch_start": COLD.format(module="training.models", load="load_model", path=str(FOLDER), faces=str(saved)),
            "onnx_start": COLD.format(module="use.onnx_model", load="load_onnx", path=str(file), faces=str(saved)),
        }
        times |= interleaved({key: partial(process, code) for key, code in starts.items()}, 1 if quick else 3)
        sizes = {"onnx_bytes": file.stat().st_size, "torch_bytes": (FOLDER / "model.safetensors").stat().st_size}
    ratios = {
        f"torch_to_onnx_{how}": ratio(times, f"torch_{how}", f"onnx_{how}") for how in ("alone", "in_batch", "start")
    }
    return {"sizes": sizes, "times": medians(times), "ratios": ratios, "largest_difference": float(difference)}


def process(code: str) -> None:
    """A Python process on one thread."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment)


if __name__ == "__main__":
    run(measure, __doc__)
