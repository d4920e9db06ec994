"""Train one system for every fold and seed; what was trained before by the same run (mmfer.training.runs) is reused."""

import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from mmfer.config import TrainParams
from mmfer.data.faceset import FaceSet, check_made_of, open_faceset
from mmfer.data.splits import Rows, first_copies, folds_of, split_rows
from mmfer.errors import MmferError
from mmfer.face.prepare import prepare
from mmfer.files import new_folder, write_json
from mmfer.systems import system_params
from mmfer.training import processes
from mmfer.training.calibration import COVERAGE, fit_temperature, least_probability
from mmfer.training.device import choose_device, conditions
from mmfer.training.facts import read_facts
from mmfer.training.feed import Feed, all_arrays, open_feed
from mmfer.training.loop import fit_network, samples, sizes, slashed, speed
from mmfer.training.models import HISTORY, Model, Weights, build, holds_run, model_facts, model_name, save_model
from mmfer.training.processes import Paused
from mmfer.training.runs import digest_inputs, run_hash
from mmfer.training.start import find_start, start_from
from mmfer.training.teachers import find_teachers, inputs_of, open_teachers

CHECKPOINTS = Path(".checkpoints")  # ignored by git; what is unfinished, and finished parts of what is


class Trained(NamedTuple):
    """What the trainings of one system, for every fold and seed, come to."""

    summary: dict[str, Any]  # the same wherever and however often it is trained
    spent: dict[str, float]  # minutes of all trainings, and how many models were reused
    execution: dict[str, Any]  # on what the first of them ran, and how fast
    curves: pd.DataFrame  # a row for each epoch of each fold and seed; without rows where estimators were fitted


@dataclass(frozen=True)
class Training:
    """One training: its facts for model.json, among them `run`, what it reads, and how."""

    facts: dict[str, Any]
    feed: Feed
    rows: Rows
    params: TrainParams
    network: bool  # or an estimator, which is fitted
    teachers: list[Path]  # model folders
    start: Path | None  # likewise

    @property
    def name(self) -> str:
        """Of its folder among those of the system."""
        return model_name(self.facts["fold"], self.facts["seed"])

    @property
    def samples(self) -> int:
        """How many it sees at most; of an estimator those that it is fitted to."""
        if not self.network:
            return len(self.rows.train)
        return samples(self.params.epochs, sizes(self.feed, self.rows, self.params)[1], self.params)


def train_all(
    data: Path, system: tuple[str, dict], params: TrainParams, log: Callable[[dict, int, dict[str, int]], None]
) -> Trained:
    """Train one system for every fold and seed, and write data/models/<system>.

    `log` gets each epoch: metrics, number, and which of several models it is of, {"fold": 0, "seed": 1} or {"seed": 1};
    {} where there is but one. So it does for models that were trained elsewhere and wait in .checkpoints.

    The folder is replaced as a whole when all are trained; until then finished ones wait in .checkpoints. Models of the
    former folder that are wanted again are copied instead. MmferError where the options of `params` cannot be, and
    after `params.max_minutes`: what was trained till then is kept, and the next call goes on from there.
    """
    models = data / "models" / system[0]
    with processes.joined(choose_device(params.device)):
        trainings = plan(data, system, params)
        missing = [t for t in trainings if processes.agreed(not holds_run(models / t.name, t.facts["run"]))]
        waiting = [t for t in missing if (CHECKPOINTS / t.facts["run"]).exists()]
        pause_at = time.monotonic() + 60 * params.max_minutes if params.max_minutes else math.inf
        for training in missing:
            named = partial(_log_of, log, _which(training) if len(trainings) > 1 else {})
            try:
                train_model(CHECKPOINTS / training.facts["run"], training, named, pause_at)
            except Paused as paused:
                raise Paused(
                    f"{paused}: the {params.max_minutes:g} minutes of train.max_minutes are over; run it again and it "
                    "goes on from there"
                ) from None
        if processes.rank() == 0:
            _gather(models, trainings, missing)
        processes.agreed(None)
        ready = len(trainings) - len(missing) + len(waiting)
        same = "same data, parameters and code"
        print(f"{len(trainings) - ready} trained, {ready} taken as they were ({same})", flush=True)
    return _together([models / t.name for t in trainings], ready)


def plan(data: Path, system: tuple[str, dict], params: TrainParams) -> list[Training]:
    """All trainings of one system on the data set in a folder: each fold with each seed."""
    system_params(*system)  # what is wrong with it is said before any work
    faces = open_faceset(data / "augmented", needs=("images",))
    values = open_faceset(data / "features", needs=("landmarks", "hog", "visible"))
    check_made_of(values, faces)
    model = build(model_facts(*system, values))
    network = isinstance(model, nn.Module)
    folds = folds_of(values.columns("fold"))
    taught = params.teachers if network else []
    teachers = {fold: find_teachers(taught, values, fold) for fold in folds}
    inputs = tuple(dict.fromkeys([*model.inputs, *(name for some in teachers.values() for name in inputs_of(some))]))
    feed = open_feed(faces, values, inputs, params.labels)
    read = digest_inputs(model, all_arrays(feed))
    if params.copies and feed.faces:
        raise MmferError(
            f"params.yaml: train.copies: {params.copies} would be ignored: augment.mode is online, where each pass "
            "draws others; set augment.copies, or augment.mode to stored"
        )
    # Of all folds before any is trained, so that what is wrong in the last stops before the first.
    rows = {fold: seen_rows(faces, fold, params, model) for fold in folds}
    if network:
        _refuse(system[0], model, params, rows)
    trainings = []
    for fold, part in rows.items():
        for seed in params.seeds if network else params.seeds[:1]:  # an estimator has no random start: one fit for all
            facts = model_facts(*system, values, train=params.model_dump(), fold=fold, seed=seed)
            if teachers[fold]:
                facts["taught_by"] = [read_facts(teacher)["files"] for teacher in teachers[fold]]
            start = find_start(params.start, values, fold, seed) if params.start and network else None
            if start:
                begun = read_facts(start)
                facts["started_from"] = begun["files"]
                if begun["dataset"] == values.dataset:  # else it has seen none of these faces
                    facts["samples_before"] = begun["result"]["samples_seen"] + begun.get("samples_before", 0)
            run = run_hash(facts, read, part)
            trainings.append(Training(facts | {"run": run}, feed, part, params, network, teachers[fold], start))
    return trainings


def _gather(models: Path, trainings: list[Training], finished: list[Training]) -> None:
    """Write the folder of a system's models from its former one and from those that wait in .checkpoints."""
    with new_folder(models) as folder:
        for training in trainings:
            trained = CHECKPOINTS / training.facts["run"] if training in finished else models / training.name
            _copy(trained, folder / training.name, training.facts)
    for training in finished:
        shutil.rmtree(CHECKPOINTS / training.facts["run"])


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


def _which(training: Training) -> dict[str, int]:
    fold, seed = training.facts["fold"], training.facts["seed"]
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
    return Trained(summary, spent, facts[0]["execution"], table)


def seen_rows(faces: FaceSet, fold: int, params: TrainParams, model: Any) -> Rows:
    """Rows of one fold; of the copies of its training faces those that params and an estimator's own block ask for."""
    rows, index = split_rows(faces, fold, params.select), faces.columns("copy")
    train = first_copies(index, rows.train, params.copies)
    if not isinstance(model, nn.Module):
        train = first_copies(index, train, model.copies)
    return replace(rows, train=train)


def train_model(
    folder: Path,
    training: Training,
    log: Callable[[dict, int], None],
    pause_at: float = math.inf,
    weights: Weights = "float32",
) -> None:
    """Train one model and write its folder; of one that is there already the epochs are logged."""
    facts, feed, rows, params = training.facts, training.feed, training.rows, training.params
    if processes.agreed(folder.exists()):
        return log_history(folder, log)
    torch.manual_seed(facts["seed"])
    model, history, checkpoint = build(facts), None, folder.with_suffix(".pt")
    if isinstance(model, nn.Module):
        teachers = open_teachers(training.teachers, choose_device(params.device))
        if training.start:
            start_from(model, facts, training.start)
        model, found, history = fit_network(
            model, feed, rows, params, facts["seed"], checkpoint, log, pause_at, teachers
        )
    else:
        found = fit_estimator(model, feed, rows.train)
    found["result"] |= calibrated(Model(facts, model), feed, rows.val, found["execution"]["device"])
    if processes.rank() == 0:
        save_model(folder, facts | found, model, history, weights)
        checkpoint.unlink(missing_ok=True)
    processes.agreed(None)


def log_history(folder: Path, log: Callable[[dict, int], None]) -> None:
    """Log the epochs of a model that was trained elsewhere, as its training would have."""
    if (folder / HISTORY).exists():
        for record in pd.read_csv(folder / HISTORY).to_dict("records"):
            log(slashed(record), int(record["epoch"]))


def calibrated(model: Model, feed: Feed, val: np.ndarray, device: str) -> dict[str, Any]:
    """The temperature of a model's probabilities and the bound of its sets of classes, of its plain ones.

    Both come from validation rows; nothing where there are none.
    """
    if not len(val):
        return {}
    stored = _rows(feed, val)
    probabilities, labels = model.predict(stored, device), stored["labels"]
    sets = {"coverage": COVERAGE, "faces": len(labels), "least": least_probability(probabilities, labels)}
    return fit_temperature(probabilities, labels) | {"sets": sets}


def _rows(feed: Feed, rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: array[rows] for name, array in feed.arrays.items()}


def _copy(trained: Path, folder: Path, facts: dict[str, Any]) -> None:
    """Copy a model's folder; the present facts stand where its model.json has others (of train.seeds, max_minutes)."""
    folder.mkdir()
    for file in trained.iterdir():  # one by one: copytree gathers its errors in a list that no line can report
        shutil.copy(file, folder)
    former = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    write_json(folder / "model.json", former | facts)


def fit_estimator(model: Any, feed: Feed, rows: np.ndarray) -> dict[str, Any]:
    """Fit a scikit-learn system on some rows -> facts for model.json. MmferError where they do not suit it."""
    start = time.perf_counter()
    stored = {name: torch.from_numpy(array) for name, array in _rows(feed, rows).items()}
    inputs = {name: x.numpy() for name, x in prepare(stored, model.inputs).items()}
    try:
        model.fit(inputs, stored["labels"].numpy())
    except ValueError as error:  # scikit-learn's, such as more components than faces
        reason = str(error).split("\n")[0]
        name = type(model).__name__
        raise MmferError(f"{name}: {len(rows)} faces do not suit it: {reason}; change its params") from None
    spent = speed(len(rows), time.perf_counter() - start) | conditions("cpu", bfloat16=False) | {"dtype": "float64"}
    return {"result": {"samples_seen": len(rows), "rows": len(rows)}, "execution": spent}
