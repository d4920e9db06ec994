"""What using the network costs: one photo, faces in batch beside the bare network, a cold start; prints JSON.

`python benchmarks/predict.py [weights]`. All in seconds; `*_cpu` is processor time, which other load changes less.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from mmfer.config import SyntheticSource
from mmfer.datasets.synthetic import read_synthetic
from mmfer.models import load_model
from mmfer.predictor import WEIGHTS, Predictor


def least(function, repeats: int) -> tuple[float, float]:
    """The least wall and processor time of some calls, in seconds."""
    times = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        function()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(wall for wall, _ in times), min(cpu for _, cpu in times)


def main() -> None:
    """Measure on rendered faces."""
    weights = sys.argv[1:2]
    _, faces, _ = read_synthetic(SyntheticSource(faces=280, identities=28), 1)
    predictor = Predictor.load(*weights)
    photo = np.full((480, 640), 150, np.uint8)
    photo[100:340, 200:440] = cv2.resize(faces[5], (240, 240), interpolation=cv2.INTER_CUBIC)
    result = {}

    def note(name: str, function, repeats: int) -> None:
        result[name], result[f"{name}_cpu"] = (round(value, 4) for value in least(function, repeats))

    note("photo_640x480", lambda: predictor.predict([photo]), 20)
    seen = predictor.see(faces)
    note("faces", lambda: predictor.predict_faces(faces), 3)
    note("bare_network", lambda: predictor.model.predict(seen), 3)
    if not weights:
        network = load_model(WEIGHTS)
        note("bare_network_in_torch", lambda: network.predict(seen), 3)
    with tempfile.TemporaryDirectory() as folder:
        cv2.imwrite(str(Path(folder, "p.png")), photo)
        command = [sys.executable, "-c", "from mmfer.cli import main; main()", "predict", "p.png"]
        command += [arg for path in weights for arg in ("--weights", str(Path(path).absolute()))]
        note("cold_start", lambda: subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL), 2)
    del result["cold_start_cpu"]  # that of a child is not counted
    print(json.dumps({"faces_in_batch": len(faces)} | result))


if __name__ == "__main__":
    main()
