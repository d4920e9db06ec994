"""What using the network of the package costs: a photo, a face, faces in batch beside the bare network, a folder of
photos beside the bare libraries, a cold start.

`python -m benchmarks.predict`. Rendered faces. Seconds of a call; `*_in_batch`: of one face; `folder` and `bare`: of a
photo of a folder of 200, each with a face. `folder` is `mmfer predict FOLDER --jsonl` without its start, `bare` are
OpenCV's decoder, YuNet at the two sizes at which a photo is searched, and onnxruntime, given the same faces prepared.
"""

import io
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.common import Ways, interleaved, medians, ratio, run
from mmfer.config import SyntheticSource
from mmfer.data.synthetic.faces import read_synthetic
from mmfer.face.photos import MEDIUM
from mmfer.face.yunet import find_boxes
from mmfer.training.models import load_model
from mmfer.use.answers import BATCH
from mmfer.use.predictor import WEIGHTS, Predictor
from mmfer.use.run import Wanted
from mmfer.use.run import run as predict

PHOTOS = 200  # in the folder


def draw_photo(face: np.ndarray) -> np.ndarray:
    """A photo (480, 640) uint8 with a face (48, 48) in it."""
    photo = np.full((480, 640), 150, np.uint8)
    photo[100:340, 200:440] = cv2.resize(face, (240, 240), interpolation=cv2.INTER_CUBIC)
    return photo


def folder_ways(folder: Path, predictor: Predictor) -> Ways:
    """The command on a folder of photos, and the bare libraries on as many threads."""
    files = sorted(map(str, folder.iterdir()))
    cut = np.stack([face.image for faces in predictor.stream(files) for face in faces])
    seen = predictor.see(cut)

    def command() -> None:
        with redirect_stdout(io.StringIO()):
            predict(predictor, Wanted([str(folder)], form="jsonl"))

    def searched(file: str) -> None:
        photo = cv2.imread(file)
        height, width = photo.shape[:2]
        small = cv2.resize(photo, (MEDIUM, round(MEDIUM / width * height)), interpolation=cv2.INTER_AREA)
        for picture in (photo, small):
            find_boxes(picture, 0.3)

    def bare() -> None:
        with ThreadPoolExecutor(predictor.workers) as pool:
            list(pool.map(searched, files))
        for start in range(0, len(cut), BATCH):
            predictor.model.predict({name: rows[start : start + BATCH] for name, rows in seen.items()})

    return {"folder": command, "bare": bare}


def measure(quick: bool) -> dict[str, Any]:
    """What is short and what is long apart, each by turns."""
    _, faces, _ = read_synthetic(SyntheticSource(faces=70 if quick else 280, identities=28), 1)
    predictor, network = Predictor.load(), load_model(WEIGHTS)
    photo = draw_photo(faces[5])
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
    with tempfile.TemporaryDirectory() as folder:
        photos = faces[: 8 if quick else PHOTOS]
        for number, face in enumerate(photos):
            cv2.imwrite(str(Path(folder, f"{number:03}.jpg")), draw_photo(face))
        ways = folder_ways(Path(folder), predictor)
        times |= interleaved(ways, 1 if quick else 5, dict.fromkeys(ways, len(photos)))
    ratios = {
        "onnx_to_faces_in_batch": ratio(times, "onnx_in_batch", "faces_in_batch"),
        "folder_to_bare": ratio(times, "folder", "bare"),
        "folder_to_bare_processor": ratio(times, "folder", "bare", of="processor"),
    }
    return {"sizes": {"faces": len(faces), "photos": len(photos)}, "times": medians(times), "ratios": ratios}


if __name__ == "__main__":
    run(measure, __doc__)
