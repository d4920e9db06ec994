"""Train one system for every fold and seed; what was trained before by the same run (mmfer.training.runs) is reused."""

import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from mmfer.config import TrainParams
from mmfer.data.faceset import FaceSet, open_faceset
from mmfer.data.splits import Rows, first_copies, folds_of, split_rows
from mmfer.errors import MmferError
from mmfer.face.prepare import prepare, stored_names
from mmfer.files import new_folder, write_json
from mmfer.training.calibration import fit_temperature
from mmfer.training.device import conditions
from mmfer.training.loop import fit_network, speed
from mmfer.training.models import Model, build, holds_run, model_facts, model_name, save_model
from mmfer.training.runs import digest_inputs, run_hash

CHECKPOINTS = Path(".checkpoints")  # ignored by git; what is unfinished, and finished parts of what is


class Trained(NamedTuple):
    """What the trainings of one system, for every fold and seed, come to."""

    summary: dict[str, Any]  # the same wherever and however often it is trained
    spent: dict[str, float]  # minutes of all trainings, and how many models were reused
    curves: pd.DataFrame  # a row for each epoch of each fold and seed; without rows where estimators were fitted


def train_all(
    data: Path, system: tuple[str, dict], params: TrainParams, log: Callable[[dict, int, dict[str, int]], None]
) -> Trained:
    """Train one system for every fold and seed, and write data/models/<system>.

    `log` gets each epoch: metrics, number, and which of several models it is of, {"fold": 0, "seed": 1} or {"seed": 1};
    {} where there is but one.

    The folder is replaced as a whole when all are trained; until then finished ones wait in .checkpoints. Models of the
    former folder that are wanted again are copied instead. MmferError where the options of `params` cannot be, and
    after `params.max_minutes`: what was trained till then is kept, and the next call goes on from there.
    """
    faces = open_faceset(data / "augmented", needs=("images",))
    values = open_faceset(data / "features", needs=("landmarks", "hog"))
    model = build(model_facts(*system, values))
    source = stored_arrays(faces, values, model.inputs)
    read = digest_inputs(model, source)
    # Of all folds before any is trained, so that what is wrong in the last stops before the first.
    rows = {fold: seen_rows(faces, fold, params, model) for fold in folds_of(values.index)}
    network = isinstance(model, nn.Module)
    if network:
        _refuse(system[0], model, params, rows)
    seeds = params.seeds if network else params.seeds[:1]  # an estimator has no random start: one fit stands for all
    runs = [(fold, seed) for fold in rows for seed in seeds]
    pause_at = time.monotonic() + 60 * params.max_minutes if params.max_minutes else math.inf
    models, finished = data / "models" / system[0], []
    with new_folder(models) as folder:
        for fold, seed in runs:
            facts = model_facts(*system, values, train=params.model_dump(), fold=fold, seed=seed)
            facts["run"] = run_hash(facts, read, rows[fold])
            trained = models / model_name(fold, seed)
            if not holds_run(trained, facts["run"]):
                trained = CHECKPOINTS / facts["run"]
                named = partial(_log_of, log, _which(fold, seed) if len(runs) > 1 else {})
                train_model(trained, facts, source, rows[fold], params, named, pause_at)
                finished.append(trained)
            _copy(trained, folder / model_name(fold, seed), facts)
    for trained in finished:
        shutil.rmtree(trained)
    reused = len(runs) - len(finished)
    print(f"{len(finished)} trained, {reused} taken as they were (same data, parameters and code)", flush=True)
    return _together([models / model_name(fold, seed) for fold, seed in runs], reused)


def _refuse(name: str, network: nn.Module, params: TrainParams, rows: dict[int, Rows]) -> None:
    """MmferError for options that could only be ignored."""
    if params.loss != "softmax" and hasattr(network, "loss"):
        raise MmferError(
            f"params.yaml: train.loss: {params.loss} would be ignored: {name} brings its own; give it "
            f"systems.{name}.train.loss: softmax"
        )
    if all(len(part.val) for part in rows.values()):
        return
    without = "needs validation faces, and there are none"
    if params.select == "best":
        raise MmferError(f"params.yaml: train.select: best {without}; take last")
    if params.patience is not None:
        raise MmferError(
            f"params.yaml: train.patience: {params.patience} {without}; set it to null, or in cross-validation set "
            "train.select to best, which holds a fold out"
        )


def _which(fold: int, seed: int) -> dict[str, int]:
    return {"seed": seed} if fold < 0 else {"fold": fold, "seed": seed}


def _log_of(log: Callable[[dict, int, dict[str, int]], None], of: dict[str, int], metrics: dict, step: int) -> None:
    log(metrics, step, of)


def _together(models: list[Path], reused: int) -> Trained:
    """Totals over model folders, and means of what each has once; the curves of all, in the order of the folders."""
    facts = [json.loads((model / "model.json").read_text(encoding="utf-8")) for model in models]
    histories = [(f, model / "history.csv") for f, model in zip(facts, models, strict=True)]
    curves = [pd.read_csv(path).assign(fold=f["fold"], seed=f["seed"]) for f, path in histories if path.exists()]
    results = [f["result"] for f in facts]
    summary = {"models": len(models)} | {key: sum(r[key] for r in results) for key in ("samples_seen", "rows")}
    each = [key for key in ("epochs", "chosen_epoch", "parameters") if key in results[0]]
    summary |= {key: mean(r[key] for r in results) for key in each}
    spent = {"minutes": round(sum(f["execution"]["minutes"] for f in facts), 2), "reused": reused}
    table = pd.concat(curves).drop(columns="minutes") if curves else pd.DataFrame({"epoch": []})
    return Trained(summary, spent, table)


def stored_arrays(faces: FaceSet, values: FaceSet, inputs: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The arrays of augmented and features FaceSets that hold these inputs, by name, and the labels (N,) int64."""
    stored = {"images": faces.images, "landmarks": values.landmarks, "hog": values.hog}
    labels = faces.index["label"].to_numpy(dtype=np.int64)
    return {name: stored[name] for name in stored_names(inputs)} | {"labels": labels}


def seen_rows(faces: FaceSet, fold: int, params: TrainParams, model: Any) -> Rows:
    """Rows of one fold; of the copies of its training faces those that params and an estimator's own block ask for."""
    rows, index = split_rows(faces, fold, params.select), faces.index
    train = first_copies(index, rows.train, params.copies)
    if not isinstance(model, nn.Module):
        train = first_copies(index, train, model.copies)
    return replace(rows, train=train)


def train_model(
    folder: Path,
    facts: dict[str, Any],
    source: dict[str, np.ndarray],
    rows: Rows,
    params: TrainParams,
    log: Callable[[dict, int], None],
    pause_at: float = math.inf,
) -> None:
    """Train the model that the facts describe and write its folder, if it is not there already."""
    if folder.exists():
        return
    torch.manual_seed(facts["seed"])
    model, history, checkpoint = build(facts), None, folder.with_suffix(".pt")
    network, seed = isinstance(model, nn.Module), facts["seed"]
    if network:
        model, found, history = fit_network(model, source, rows, params, seed, checkpoint, log, pause_at)
    else:
        found = fit_estimator(model, source, rows.train)
    found["result"] |= calibrated(Model(facts, model), source, rows.val, found["execution"]["device"])
    save_model(folder, facts | found, model, history)
    checkpoint.unlink(missing_ok=True)


def calibrated(model: Model, source: dict[str, np.ndarray], val: np.ndarray, device: str) -> dict[str, float]:
    """The temperature of a model's probabilities, fitted on validation rows; nothing where there are none."""
    if not len(val):
        return {}
    stored = {name: array[val] for name, array in source.items()}
    return {"temperature": round(fit_temperature(model.predict(stored, device), stored["labels"]), 4)}


def _copy(trained: Path, folder: Path, facts: dict[str, Any]) -> None:
    """Copy a model's folder; the present facts stand where its model.json has others (of train.seeds, max_minutes)."""
    folder.mkdir()
    for file in trained.iterdir():  # one by one: copytree gathers its errors in a list that no line can report
        shutil.copy(file, folder)
    former = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    write_json(folder / "model.json", former | facts)


def fit_estimator(model: Any, source: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, Any]:
    """Fit a scikit-learn system on some rows -> facts for model.json."""
    start = time.perf_counter()
    stored = {name: torch.from_numpy(array[rows]) for name, array in source.items()}
    model.fit({name: x.numpy() for name, x in prepare(stored, model.inputs).items()}, stored["labels"].numpy())
    spent = speed(len(rows), time.perf_counter() - start) | conditions("cpu", "float64")
    return {"result": {"samples_seen": len(rows), "rows": len(rows)}, "execution": spent}
