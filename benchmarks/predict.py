"""What using the network costs: one photo, faces in batch beside the bare network, a cold start; prints JSON.

`python benchmarks/predict.py [weights]`. All in seconds; `*_cpu` is processor time, which other load changes less.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from mmfer.config import SyntheticSource
from mmfer.datasets.synthetic import read_synthetic
from mmfer.models import load_model
from mmfer.predictor import WEIGHTS, Predictor


def least(functions: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The least wall and processor time of some calls of each, in seconds; they take turns, so load falls on all."""
    times = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            wall, cpu = time.perf_counter(), time.process_time()
            function()
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    walls = {name: round(min(wall for wall, _ in taken), 4) for name, taken in times.items()}
    return walls | {f"{name}_cpu": round(min(cpu for _, cpu in taken), 4) for name, taken in times.items()}


def main() -> None:
    """Measure on rendered faces."""
    weights = sys.argv[1:2]
    _, faces, _ = read_synthetic(SyntheticSource(faces=280, identities=28), 1)
    predictor = Predictor.load(*weights)
    photo = np.full((480, 640), 150, np.uint8)
    photo[100:340, 200:440] = cv2.resize(faces[5], (240, 240), interpolation=cv2.INTER_CUBIC)
    seen = predictor.see(faces)
    in_batch = {"faces": lambda: predictor.predict_faces(faces), "bare_network": lambda: predictor.model.predict(seen)}
    if not weights:
        network = load_model(WEIGHTS)
        in_batch["bare_network_in_torch"] = lambda: network.predict(seen)
    result = least({"photo_640x480": lambda: predictor.predict([photo])}, 20) | least(in_batch, 5)
    result["ratio_to_bare_network"] = round(result["bare_network"] / result["faces"], 3)
    with tempfile.TemporaryDirectory() as folder:
        cv2.imwrite(str(Path(folder, "p.png")), photo)
        command = [sys.executable, "-c", "from mmfer.cli import main; main()", "predict", "p.png"]
        command += [arg for path in weights for arg in ("--weights", str(Path(path).absolute()))]
        start = partial(subprocess.run, command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        result["cold_start"] = least({"cold_start": start}, 2)["cold_start"]  # the time of a child is wall time only
    print(json.dumps({"faces_in_batch": len(faces)} | result))


if __name__ == "__main__":
    main()
