"""What a working installation has, looked at one by one: a line each, and what to do where something is wrong.

Nothing here writes: no database is made, no lock is waited for.
"""

import importlib
import importlib.util
import json
import logging
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

import mmfer
from mmfer.config import FACE_PX
from mmfer.errors import MmferError, install
from mmfer.tracking.store import ENVIRONMENT, EXPERIMENT, SQLITE, sqlite_file, store_uri

GIB = 2**30
FREE_GIB = 1  # a study of the synthetic faces fits into it; the thirty copies of FER2013 are 4 GiB
PATIENCE_S = 60  # for `dvc status`, which hashes what changed
PACKAGES = {  # module that predicting needs: what pip calls it
    "numpy": "numpy",
    "scipy": "scipy",
    "numba": "numba",
    "cv2": "opencv-python-headless",
    "dlib": "dlib-bin",
    "onnxruntime": "onnxruntime",
    "PIL": "pillow",
}
TO_TRAIN = ("torch", "pandas", "sklearn", "mlflow", "dvc")  # of the extra `pipeline`
WEIGHTS = Path(mmfer.__file__).parent / "weights"
IN_USE = Path(".dvc/tmp/rwlock")


@dataclass(frozen=True)
class Finding:
    """What a check found; FAIL says in its text what to do, and - is for what is not there and need not be."""

    mark: Literal["ok", "-", "FAIL"]
    text: str


def checks() -> dict[str, Callable[[], Finding]]:
    """The checks by the name that their line begins with."""
    return {
        "python": python,
        "mmfer": lambda: Finding("ok", f"{mmfer.__version__}, {WEIGHTS.parent}"),
        **{PACKAGES[module]: partial(package, module, PACKAGES[module]) for module in PACKAGES},
        **{module: partial(extra, module) for module in TO_TRAIN},
        "68-point model": point_model,
        "YuNet": face_detector,
        "weights": weights,
        "device": device,
        "MLflow store": store,
        **({"DVC": dvc_state} if importlib.util.find_spec("dvc") else {}),
        "disk": disk,
    }


def examine(name: str, check: Callable[[], Finding]) -> Finding:
    """Run one check; what it raises is its finding."""
    try:
        return check()
    except MmferError as error:
        return Finding("FAIL", str(error))
    except ImportError as error:
        return Finding("FAIL", f"{error}; install mmfer again: `pip install --force-reinstall mmfer`")


def lines() -> Iterator[tuple[str, bool]]:
    """A line for each check as it is done, and whether all is well with it."""
    for name, check in checks().items():
        finding = examine(name, check)
        yield f"{finding.mark:<5}{name:<24}{finding.text}", finding.mark != "FAIL"


def python() -> Finding:
    """The interpreter."""
    return Finding("ok", f"{platform.python_version()}, {sys.executable}")


def package(module: str, name: str) -> Finding:
    """The version of a package, `name` to pip, which is imported to see that it can be."""
    try:
        return Finding("ok", importlib.import_module(module).__version__)
    except (ImportError, OSError) as error:  # OSError: a shared library of it
        return Finding("FAIL", f"{error}; run `pip install --force-reinstall {name}`")


def extra(module: str) -> Finding:
    """The version of a package that training and measuring need, and predicting does not."""
    if importlib.util.find_spec(module) is None:
        return Finding("-", f"not installed; to train and measure: `{install(module)}`")
    return package(module, {"sklearn": "scikit-learn"}.get(module, module))


def point_model() -> Finding:
    """The file of the 68-point predictor."""
    from mmfer.face.shape_predictor import load_shape_model, model_file

    start = time.perf_counter()
    load_shape_model()
    seconds = time.perf_counter() - start
    file = model_file()
    return Finding("ok", f"{file}, {file.stat().st_size / 2**20:.1f} MiB, loads in {seconds:.1f} s")


def face_detector() -> Finding:
    """The file of YuNet, without which dlib's detector looks for faces."""
    from mmfer.face.yunet import load_model, model_file

    size = load_model().nbytes
    return Finding("ok", f"{model_file()}, {size / 2**10:.0f} KiB")


def weights() -> Finding:
    """Every model that the package brings, as it answers and, with torch, in torch: it predicts a face of noise."""
    from mmfer.use.predictor import Predictor, open_folder

    folders = sorted(file.parent for file in WEIGHTS.glob("*/model.json"))
    if not folders:
        return Finding("FAIL", f"{WEIGHTS}: no model; run `pip install --force-reinstall mmfer`")
    noise = np.random.default_rng(0).integers(0, 256, (3, FACE_PX, FACE_PX), dtype=np.uint8)
    for folder in folders:
        predictor = Predictor.load(folder)
        models = [predictor.model, *([open_folder(folder)] if importlib.util.find_spec("torch") else [])]
        for model in models:
            probabilities = model.predict(predictor.see(noise))
            if not abs(probabilities.sum(axis=1) - 1).max() < 1e-3:
                remedy = "run `pip install --force-reinstall torch onnxruntime`"
                return Finding("FAIL", f"{folder}: predicts no probabilities; {remedy}")
    return Finding("ok", ", ".join(folder.name for folder in folders))


def device() -> Finding:
    """What networks are trained on."""
    if importlib.util.find_spec("torch") is None:
        return Finding("-", "torch is not installed: photos are predicted on the CPU")
    import torch

    if torch.cuda.is_available():
        return Finding("ok", f"CUDA: {torch.cuda.get_device_name()}")
    if torch.backends.mps.is_available():
        return Finding("ok", "MPS: the GPU of this Mac")
    return Finding("ok", f"CPU, {torch.get_num_threads()} threads of {os.cpu_count()} cores; no CUDA, no MPS")


def store() -> Finding:
    """The MLflow store can be read."""
    uri = store_uri()
    try:
        return _database(uri) if uri.startswith(SQLITE) else _server(uri)
    except Exception as error:  # of sqlite3, requests or MLflow
        reason = (str(error).strip() or repr(error)).splitlines()[0][:200]
        remedy = "correct or unset MLFLOW_TRACKING_URI, start its server, or move a damaged database away"
        return Finding("FAIL", f"{uri}: {reason}; {remedy}")


def _database(uri: str) -> Finding:
    """A store in SQLite, opened to read: MLflow would make it, and try a damaged one again for minutes."""
    file = sqlite_file(uri).resolve()
    if not file.exists():
        return Finding("-", f"{uri}: not there yet; the first stage makes it")
    from mlflow.store.db.utils import _get_latest_schema_revision  # of the tables that it works with

    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
        (runs,) = database.execute("select count(*) from runs").fetchone()
        tables = database.execute("select version_num from alembic_version").fetchall()
    if tables != [(_get_latest_schema_revision(),)]:
        remedy = f"run `mlflow db upgrade {uri}`; where that fails, move the file away: the next stage makes another"
        return Finding("FAIL", f"{uri}: of another version of MLflow, or not made to its end; {remedy}")
    return Finding("ok", f"{uri}: {runs} runs")


def _server(uri: str) -> Finding:
    """A store of any other kind, asked as the stages do."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for name in ("mlflow", "urllib3.connectionpool"):  # the finding reports a failure in one line
        logging.getLogger(name).setLevel(logging.CRITICAL)
    experiment = MlflowClient(uri).get_experiment_by_name(EXPERIMENT)
    return Finding("ok", f"{uri}: {'has runs of mmfer' if experiment else 'no runs of mmfer yet'}")


def dvc_state() -> Finding:
    """Which stages `dvc repro` would run again, if this is a DVC project and no other DVC process is at work."""
    if lock_is_torn():
        raise MmferError(f"{IN_USE}: half written by a DVC that was killed, and every run fails at it; delete it")
    command = [sys.executable, "-m", "dvc", "status", "--json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        return Finding("-", f"`dvc status` takes more than {PATIENCE_S} s; run it yourself to see")
    if "not inside of a DVC repository" in done.stderr:
        return Finding("-", f"{Path.cwd()}: not in a DVC project")
    if "acquire lock" in done.stderr or "is busy" in done.stderr:  # a damaged dvc.lock is something else
        return Finding("-", "another DVC process is at work here (it holds the lock); its run is not disturbed")
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"`dvc status` ends with code {done.returncode}"])[0]
        remedy = (
            "take back the last whole one: `git checkout dvc.lock`" if "dvc.lock" in reason else "see `dvc status -v`"
        )
        return Finding("FAIL", f"{reason}; {remedy}")
    changed = list(json.loads(done.stdout))
    if not changed:
        return Finding("ok", "everything is up to date")
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return Finding("-", f"out of date: {', '.join(changed[:3])}{more}; `dvc repro` runs them")


def lock_is_torn() -> bool:
    """Whether DVC was killed while it wrote, in place, which files are in use: it does not repair that by itself."""
    try:
        json.loads(IN_USE.read_bytes())
    except FileNotFoundError:
        return False
    except ValueError:
        return True
    return False


def disk() -> Finding:
    """Room in the current folder."""
    free = shutil.disk_usage(".").free / GIB
    if free < FREE_GIB:
        return Finding("FAIL", f"{free:.1f} GiB free in {Path.cwd()}; make room: a study needs {FREE_GIB} GiB or more")
    return Finding("ok", f"{free:.1f} GiB free in {Path.cwd()}")
