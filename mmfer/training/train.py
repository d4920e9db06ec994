"""Train one system for every fold and seed; what was trained before with the same data, parameters and code is reused.

A run is defined by its data, parameters, fold, seed and code; the hash of these names its checkpoint, so an interrupted
training goes on where it was and ends with the same weights (on CPU bit for bit, unless `max_minutes` ends it). It also
stands in model.json, so that a model is not trained again where DVC runs the stage for another reason.
"""

import hashlib
import inspect
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from mmfer.config import TrainParams
from mmfer.data.faceset import FaceSet, open_faceset
from mmfer.data.splits import Rows, first_copies, folds_of, split_rows
from mmfer.face.prepare import prepare, stored_names
from mmfer.files import new_folder, write_json
from mmfer.training.calibration import fit_temperature
from mmfer.training.loop import fit_network
from mmfer.training.models import Model, build, holds_run, model_facts, model_name, save_model

CHECKPOINTS = Path(".checkpoints")  # ignored by git; what is unfinished, and finished parts of what is
SHARED_CODE = (  # with a system's own module it defines how that is trained
    *("systems/__init__.py", "systems/layers.py", "systems/estimators.py"),
    *("training/train.py", "training/loop.py", "training/state.py", "training/schedule.py", "training/ema.py"),
    *("training/mixup.py", "training/device.py", "training/calibration.py", "training/models.py"),
    *("face/prepare.py", "data/splits.py"),
)


def train_all(
    data: Path, system: tuple[str, dict], params: TrainParams, log: Callable[[dict, int, dict[str, int]], None]
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Train one system for every fold and seed -> totals and the curves of all trainings.

    `log` gets each epoch: metrics, number, and which of several models it is of, {"fold": 0, "seed": 1} or {"seed": 1};
    {} where there is but one.

    data/models/<system> is replaced as a whole when all are trained; until then finished ones wait in .checkpoints.
    Models of the former folder that are wanted again are copied instead; `reused` among the totals counts them.
    """
    faces = open_faceset(data / "augmented", needs=("images",))
    values = open_faceset(data / "features", needs=("landmarks", "hog"))
    machine = build(model_facts(*system, values))
    source = stored_arrays(faces, values, machine.inputs)
    read = _digest(machine, source)
    # An estimator has no random start: one fit stands for all seeds.
    seeds = params.seeds if isinstance(machine, nn.Module) else params.seeds[:1]
    # Of all folds before any is trained, so that a leak in the last stops before the first.
    rows_of = {fold: seen_rows(faces, fold, params, machine) for fold in folds_of(values.index)}
    runs = {model_name(fold, seed): (fold, seed) for fold in folds_of(values.index) for seed in seeds}
    models, finished = data / "models" / system[0], []
    with new_folder(models) as folder:
        for name, (fold, seed) in runs.items():
            which = {"seed": seed} if fold < 0 else {"fold": fold, "seed": seed}
            model = which if len(runs) > 1 else {}
            facts = model_facts(*system, values, train=params.model_dump(), fold=fold, seed=seed)
            rows = rows_of[fold]
            facts["run"] = _hash(facts, read, rows)
            trained = models / name
            if not holds_run(trained, facts["run"]):
                trained = CHECKPOINTS / facts["run"]
                train_model(trained, facts, source, rows, params, lambda m, step, of=model: log(m, step, of))
                finished.append(trained)
            _copy(trained, folder / name, facts)
    for trained in finished:
        shutil.rmtree(trained)
    reused = len(runs) - len(finished)
    print(f"{reused} of {len(runs)} models reused: trained before with the same data, parameters and code", flush=True)
    totals, curves = _results([models / name for name in runs])
    return totals | {"reused": reused}, curves


def _results(models: list[Path]) -> tuple[dict[str, Any], pd.DataFrame]:
    """Totals over model folders and the curves of all."""
    facts = [json.loads((model / "model.json").read_text(encoding="utf-8")) for model in models]
    histories = [(f, model / "history.csv") for f, model in zip(facts, models, strict=True)]
    curves = [pd.read_csv(p).assign(fold=f["fold"], seed=f["seed"]) for f, p in histories if p.exists()]
    totals = {key: round(sum(f["result"][key] for f in facts), 2) for key in ("samples_seen", "minutes")}
    shared = {key: facts[0]["result"][key] for key in ("device", "parameters") if key in facts[0]["result"]}
    return {"models": len(models), **totals, **shared}, pd.concat(curves) if curves else pd.DataFrame({"epoch": []})


def stored_arrays(faces: FaceSet, values: FaceSet, inputs: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The arrays of augmented and features FaceSets that hold these inputs, by name, and the labels (N,) int64."""
    stored = {"images": faces.images, "landmarks": values.landmarks, "hog": values.hog}
    labels = faces.index["label"].to_numpy(dtype=np.int64)
    return {name: stored[name] for name in stored_names(inputs)} | {"labels": labels}


def seen_rows(faces: FaceSet, fold: int, params: TrainParams, machine: Any) -> Rows:
    """Rows of one fold; of the copies of its training faces those that params and an estimator's own block ask for."""
    rows, index = split_rows(faces, fold, params.select), faces.index
    train = first_copies(index, rows.train, params.copies)
    if not isinstance(machine, nn.Module):
        train = train[index["copy"].to_numpy()[train] < machine.copies]
    return replace(rows, train=train)


def train_model(
    folder: Path,
    facts: dict[str, Any],
    source: dict[str, np.ndarray],
    rows: Rows,
    params: TrainParams,
    log: Callable[[dict, int], None],
) -> None:
    """Train the model that the facts describe and write its folder, if it is not there already."""
    if folder.exists():
        return
    torch.manual_seed(facts["seed"])
    machine = build(facts)
    if isinstance(machine, nn.Module):
        checkpoint = folder.with_suffix(".pt")
        machine, result, history = fit_network(machine, source, rows, params, facts["seed"], checkpoint, log)
        result |= calibrated(Model(facts, machine), source, rows.val, result["device"])
        save_model(folder, facts | {"result": result}, machine, history)
        checkpoint.unlink()
    else:
        result = fit_estimator(machine, source, rows.train)
        result |= calibrated(Model(facts, machine), source, rows.val, result["device"])
        save_model(folder, facts | {"result": result}, machine)


def calibrated(model: Model, source: dict[str, np.ndarray], val: np.ndarray, device: str) -> dict[str, float]:
    """The temperature of a model's probabilities, fitted on validation rows; nothing where there are none."""
    if not len(val):
        return {}
    stored = {name: array[val] for name, array in source.items()}
    return {"temperature": round(fit_temperature(model.predict(stored, device), stored["labels"]), 4)}


def _digest(machine: Any, source: dict[str, np.ndarray]) -> str:
    """What every training of a kind of system reads: its own module, the code that all share, and the arrays."""
    package = Path(__file__).parents[1]
    code = [Path(inspect.getfile(type(machine))), *(package / name for name in SHARED_CODE)]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in code))
    for array in source.values():
        digest.update(array)
    return digest.hexdigest()


def _hash(facts: dict[str, Any], read: str, rows: Rows) -> str:
    """What defines a run: facts (parameters, how the data were made, fold, seed, versions), what is read, the rows.

    Which other seeds are trained makes no difference.
    """
    train = {key: value for key, value in facts["train"].items() if key != "seeds"}
    said = json.dumps([facts | {"train": train}, read], sort_keys=True).encode()
    return hashlib.sha256(said + rows.train.tobytes() + rows.val.tobytes()).hexdigest()[:24]


def _copy(trained: Path, folder: Path, facts: dict[str, Any]) -> None:
    """Copy a model's folder; where its model.json differs from the present facts (in train.seeds), these stand."""
    folder.mkdir()
    for file in trained.iterdir():  # one by one: copytree gathers its errors in a list that no line can tell
        shutil.copy(file, folder)
    former = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    write_json(folder / "model.json", former | facts)


def fit_estimator(machine: Any, source: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, Any]:
    """Fit a scikit-learn system on some rows; return a summary."""
    start = time.perf_counter()
    stored = {name: torch.from_numpy(array[rows]) for name, array in source.items()}
    machine.fit({name: x.numpy() for name, x in prepare(stored, machine.inputs).items()}, stored["labels"].numpy())
    seconds = time.perf_counter() - start
    rate = round(len(rows) / seconds, 1)
    return {"samples_seen": len(rows), "minutes": round(seconds / 60, 2), "samples_per_second": rate, "device": "cpu"}
