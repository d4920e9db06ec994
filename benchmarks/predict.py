"""What using the network costs: one photo, faces in batch beside the bare network, a cold start; prints JSON.

`python benchmarks/predict.py [weights]`. The least seconds of some calls; `*_cpu` is processor time, which other load
changes less; `ratio_to_bare_network` is the throughput of faces in batch to that of the network alone.
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
from mmfer.data.synthetic.faces import read_synthetic
from mmfer.training.models import load_model
from mmfer.use.predictor import WEIGHTS, Predictor


def timed(functions: dict[str, Callable[[], object]], turns: int) -> dict[str, np.ndarray]:
    """Wall and processor time (turns, 2) of some functions, in seconds; they take turns, so other load falls on all."""
    times = {name: [] for name in functions}
    for _ in range(turns):
        for name, function in functions.items():
            wall, cpu = time.perf_counter(), time.process_time()
            function()
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: np.array(taken) for name, taken in times.items()}


def least(times: dict[str, np.ndarray]) -> dict[str, float]:
    """The least of each, by name."""
    rounded = {name: taken.min(axis=0).round(4).tolist() for name, taken in times.items()}
    return {f"{name}{end}": pair[i] for name, pair in rounded.items() for i, end in enumerate(("", "_cpu"))}


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
    times = timed({"photo_640x480": lambda: predictor.predict([photo])}, 20) | timed(in_batch, 9)
    # Both of a turn ran under the same load: their ratio is steadier than that of their least times.
    ratio = np.median(times["bare_network"][:, 0] / times["faces"][:, 0])
    result = least(times) | {"ratio_to_bare_network": round(float(ratio), 3)}
    with tempfile.TemporaryDirectory() as folder:
        cv2.imwrite(str(Path(folder, "p.png")), photo)
        command = [sys.executable, "-c", "from mmfer.cli import main; main()", "predict", "p.png"]
        command += [arg for path in weights for arg in ("--weights", str(Path(path).absolute()))]
        start = partial(subprocess.run, command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        result["cold_start"] = least(timed({"cold_start": start}, 3))[
            "cold_start"
        ]  # a child's processor time is not seen
    print(json.dumps({"faces_in_batch": len(faces)} | result))


if __name__ == "__main__":
    main()
