"""The same tiny training in other surroundings: which of its files are equal bytes, and how far apart the others are.

`python -m tools.determinism` renders faces, makes features of them and trains a network and an estimator, in a process
of its own for each of SURROUNDINGS, and prints a table beside the first.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer

from mmfer.errors import run_app

ROOT = Path(__file__).resolve().parents[1]
NETWORK = {"kind": "ours", "channels": [8, 16, 32], "image_hidden": [64], "landmarks_hidden": [64], "hog_hidden": [64]}
SYSTEMS = {"network": NETWORK, "svm": {"kind": "svm", "components": 16}}
PLAIN = {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C.UTF-8", "PRECISION": "float32"}
# What libraries know of the CPU, with which they choose their kernels: torch, oneDNN, MKL, OpenBLAS, numba.
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
AVX2 |= {"OPENBLAS_CORETYPE": "Haswell", "NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"}
SURROUNDINGS = {
    "plain: 1 thread": {},
    "again": {},
    "PYTHONHASHSEED=1": {"PYTHONHASHSEED": "1"},
    "TZ=Asia/Kathmandu": {"TZ": "Asia/Kathmandu"},
    "LC_ALL=C": {"LC_ALL": "C"},
    "2 threads": {"OMP_NUM_THREADS": "2"},
    "2 threads, again": {"OMP_NUM_THREADS": "2"},
    **{f"ATEN_CPU_CAPABILITY={name}": {"ATEN_CPU_CAPABILITY": name} for name in ("default", "avx2", "avx512")},
    "all libraries as on a CPU with AVX2": AVX2,
    "precision: bfloat16": {"PRECISION": "bfloat16"},
}
app = typer.Typer(add_completion=False)


class Made(NamedTuple):
    """What a training left: digests of its data and models, the weights of the network, probabilities by system."""

    digests: dict[str, str]
    weights: np.ndarray
    probabilities: dict[str, np.ndarray]


def train(folder: Path, precision: str) -> None:
    """Make the data, train both systems, and write what they answer on the test faces."""
    from mmfer.config import AugmentParams, CleanParams, ExtractParams, HideParams, SyntheticSource, TrainParams
    from mmfer.data.download import write_raw
    from mmfer.data.faceset import open_faceset
    from mmfer.face.clean import write_clean
    from mmfer.face.prepare import stored_rows
    from mmfer.training.models import load_model
    from mmfer.training.sources import make_features
    from mmfer.training.train import train_all

    os.chdir(folder)  # where checkpoints are written
    data = Path("data")
    write_raw(data / "raw", "faces", SyntheticSource(faces=280, identities=40), 2)
    write_clean(data / "raw", data / "clean", CleanParams(), 2)
    make_features(data, HideParams(), AugmentParams(copies=3), ExtractParams())
    params = TrainParams(epochs=4, samples_per_epoch=320, batch_size=32, device="cpu", precision=precision)
    faces, features = open_faceset(data / "augmented"), open_faceset(data / "features")
    test = np.flatnonzero(features.index["split"] == "test")
    for name, block in SYSTEMS.items():
        train_all(data, (name, block), params, lambda *_: None)
        answers = load_model(data / "models" / name / "seed0").predict(stored_rows(faces, features, test))
        np.save(f"{name}.npy", answers)


def made(folder: Path, changes: dict[str, str]) -> Made:
    """What a training in changed surroundings leaves."""
    from safetensors.numpy import load_file

    surroundings = (
        os.environ | PLAIN | changes | {"PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(folder.parent / "numba")}
    )
    code = "import sys, pathlib; from tools.determinism import train; train(pathlib.Path(sys.argv[1]), sys.argv[2])"
    command = [sys.executable, "-c", code, str(folder), surroundings["PRECISION"]]
    subprocess.run(command, env=surroundings, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    models = folder / "data/models"
    weights = load_file(models / "network/seed0/model.safetensors")
    return Made(
        {"data": _digest([path for path in sorted((folder / "data").rglob("*")) if models not in path.parents])}
        | {name: _digest(sorted((models / name).rglob("model.s*"))) for name in SYSTEMS},
        np.concatenate([weights[name].ravel().astype(float) for name in sorted(weights)]),
        {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in SYSTEMS},
    )


def _digest(paths: list[Path]) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths if path.is_file())).hexdigest()


def row(name: str, plain: Made, other: Made) -> list[str]:
    """A row of the table: what is equal to the plain training, and where it is not, how far from it."""
    cells = [name, "equal" if plain.digests["data"] == other.digests["data"] else "other"]
    for system in SYSTEMS:
        if plain.digests[system] == other.digests[system]:
            cells.append("equal")
            continue
        one, two = plain.probabilities[system], other.probabilities[system]
        turned = (one.argmax(axis=1) != two.argmax(axis=1)).sum()
        said = f"probabilities to {np.abs(one - two).max():.1e}, {turned} of {len(one)} faces another class"
        if system == "network":
            distance = np.linalg.norm(plain.weights - other.weights) / np.linalg.norm(plain.weights)
            said = f"weights {distance:.1e} apart, {said}"
        cells.append(said)
    return cells


@app.command()
def determinism(
    only: Annotated[
        str, typer.Option(help="Those surroundings whose name holds this text, beside the plain ones.")
    ] = "",
) -> None:
    """Train in each of the surroundings, and print what is equal to the plain training."""
    typer.echo("| surroundings | data and features | network | HOG + SVM |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        plain: Any = None
        for number, (name, changes) in enumerate(SURROUNDINGS.items()):
            if plain is not None and only not in name:
                continue
            place = Path(folder, str(number))
            place.mkdir()
            other = made(place, changes)
            plain = plain or other
            typer.echo(f"| {' | '.join(row(name, plain, other))} |")


if __name__ == "__main__":
    run_app(app)
