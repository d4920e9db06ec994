"""What using the network of the package costs: a photo, a face, faces in batch beside the bare network, a cold start.

`python -m benchmarks.predict`. Rendered faces. Seconds of a call; `*_in_batch`: of one face.
"""

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.common import interleaved, medians, ratio, run
from mmfer.config import SyntheticSource
from mmfer.data.synthetic.faces import read_synthetic
from mmfer.training.models import load_model
from mmfer.use.predictor import WEIGHTS, Predictor


def measure(quick: bool) -> dict[str, Any]:
    """What is short and what is long apart, each by turns."""
    _, faces, _ = read_synthetic(SyntheticSource(faces=70 if quick else 280, identities=28), 1)
    predictor, network = Predictor.load(), load_model(WEIGHTS)
    photo = np.full((480, 640), 150, np.uint8)
    photo[100:340, 200:440] = cv2.resize(faces[5], (240, 240), interpolation=cv2.INTER_CUBIC)
    seen = predictor.see(faces)
    alone = {"photo_640x480": lambda: predictor.predict([photo]), "face": lambda: predictor.predict_faces(faces[:1])}
    batch = {
        "faces_in_batch": lambda: predictor.predict_faces(faces),
        "onnx_in_batch": lambda: predictor.model.predict(seen),
        "torch_in_batch": lambda: network.predict(seen),
    }
    times = interleaved(alone, 2 if quick else 20)
    times |= interleaved(batch, 1 if quick else 9, dict.fromkeys(batch, len(faces)))
    with tempfile.TemporaryDirectory() as folder:
        cv2.imwrite(str(Path(folder, "p.png")), photo)
        command = [sys.executable, "-c", "from mmfer.cli import main; main()", "predict", "p.png"]
        start = partial(subprocess.run, command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        times |= interleaved({"cold_start": start}, 1 if quick else 3)
    ratios = {"onnx_to_faces_in_batch": ratio(times, "onnx_in_batch", "faces_in_batch")}
    return {"sizes": {"faces": len(faces)}, "times": medians(times), "ratios": ratios}


if __name__ == "__main__":
    run(measure, __doc__)
