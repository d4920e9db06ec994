"""Evaluation: the test images predicted ten times and averaged (paper, 4.2), in both readings, on three test sets.

Runs: ten predictions of one model. Run 0 sees the plain faces; the others see them slightly moved, mirrored, turned and
scaled, with landmarks and HOG taken from what they see. Seeds: independently trained models, each on the plain faces.
Test sets: whole (the official one, nothing dropped), kept (a face was found), kept_unique (no exact copies either).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmfer.config import EvaluateParams, ExtractParams
from mmfer.data.faceset import FaceSet, open_faceset
from mmfer.data.splits import folds_of, split_rows
from mmfer.errors import MmferError
from mmfer.face.augment import random_copies
from mmfer.face.prepare import describe
from mmfer.files import new_file, write_csv, write_json
from mmfer.testing.statistics import (
    class_roc_curves,
    confusion_matrix,
    macro_accuracy,
    summarise,
)
from mmfer.training.calibration import expected_calibration_error, tempered
from mmfer.training.device import choose_device
from mmfer.training.models import cost, load_model, model_name

TEST_SETS = ("whole", "kept", "kept_unique")


def predict_runs(data: Path, models: Path, params: EvaluateParams) -> tuple[np.ndarray, pd.DataFrame, dict[str, Any]]:
    """Probabilities (seeds, runs, images, classes) of all test images, their index rows, and the first model's facts.

    Beside those of its model.json the facts have its `cost` and, as `models`, the model.json of every model.

    `data` holds the FaceSets of one data set, `models` the model folders of one system. In cross-validation each image
    is predicted by the model that has not seen its fold. All runs use the first seed; the others predict run 0 alone,
    and are NaN elsewhere.
    """
    raw = open_faceset(data / "raw", needs=("images",))
    clean = open_faceset(data / "clean", needs=("landmarks", "transforms"))
    features = open_faceset(data / "features")
    facts = load_model(sorted(models.glob("*seed*"))[0]).facts
    select, device = facts["train"]["select"], choose_device(facts["train"]["device"])
    parts = {fold: split_rows(features, fold, select).test for fold in folds_of(features.index)}
    test = np.sort(np.concatenate(list(parts.values())))
    seeds = [seed for seed in facts["train"]["seeds"] if (models / model_name(min(parts), seed)).exists()]
    views = list(test_views(raw, clean, features, test, params))
    shape = (len(seeds), params.runs, len(test), len(features.classes))
    probabilities, used = np.full(shape, np.nan, np.float32), []
    for fold, rows in parts.items():
        here = np.searchsorted(test, rows)
        for s, seed in enumerate(seeds):
            model = load_model(models / model_name(fold, seed), device)
            used.append(model.facts)
            for run, view in enumerate(views if s == 0 else views[:1]):
                part = {name: values[here] for name, values in view.items()}
                probabilities[s, run, here] = model.predict(part, device)
    if not np.isfinite(probabilities[0]).all():
        raise MmferError(f"{models}: predictions are not finite; train again with a lower train.learning_rate")
    first = load_model(models / model_name(min(parts), seeds[0]))  # on the processor: what a user without a GPU has
    facts = facts | {"cost": cost(first, views[0]), "models": used}
    return probabilities, features.index.loc[test].reset_index(drop=True), facts


def test_views(
    raw: FaceSet, clean: FaceSet, features: FaceSet, rows: np.ndarray, params: EvaluateParams
) -> Iterator[dict[str, np.ndarray]]:
    """What each run sees of the faces in `rows`: images, landmarks and HOG as a FaceSet stores them."""
    parents = features.index["parent"].to_numpy()[rows]
    extract = ExtractParams(**features.made_by["params"])
    for run in range(params.runs):
        images, transforms = random_copies(raw, clean, parents, np.full(len(rows), run), params)
        yield describe(images, clean.landmarks[parents], transforms, extract)


def measure(probabilities: np.ndarray, index: pd.DataFrame, classes: list[str], params: EvaluateParams) -> dict:
    """Probabilities (seeds, runs, images, classes) -> figures of all three test sets, JSON-ready."""
    kept = index["kept"].to_numpy(dtype=bool)
    members = {
        "whole": np.ones(len(index), dtype=bool),
        "kept": kept,
        "kept_unique": kept & ~index["duplicate"].to_numpy(dtype=bool),
    }
    return {
        name: {"coverage": round(float(chosen.mean()), 4)}
        | _figures(probabilities[:, :, chosen], index[chosen], classes, params)
        for name, chosen in members.items()
    }


def _figures(probabilities: np.ndarray, index: pd.DataFrame, classes: list[str], params: EvaluateParams) -> dict:
    labels = index["label"].to_numpy(dtype=np.int64)
    # Frames of one person are not independent: where there are people, they are what is resampled.
    groups = pd.factorize(index["subject"])[0] if index["subject"].notna().all() else None
    options = {"groups": groups, "resamples": params.bootstrap, "seed": params.seed, "classes": classes}
    figures = {
        "images": len(index),
        "averaged": summarise(probabilities[0].mean(axis=0), labels, **options),
        "plain": summarise(probabilities[0, 0], labels, **options),
        "runs": _spread(probabilities[0], labels),
    }
    if len(probabilities) > 1:
        plain = probabilities[:, 0]
        figures["seeds"] = _spread(plain, labels) | {"averaged": summarise(plain.mean(axis=0), labels, **options)}
    return figures


def _spread(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy of several predictions (K, images, classes): mean, standard deviation (K - 1), count."""
    accuracies = (probabilities.argmax(axis=2) == labels).mean(axis=1)
    spread = float(accuracies.std(ddof=1)) if len(accuracies) > 1 else 0.0
    return {
        "count": len(accuracies),
        "accuracy_mean": round(float(accuracies.mean()), 4),
        "accuracy_sd": round(spread, 4),
    }


def headline(metrics: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The few figures that a table of all systems has room for, by test set; `accuracy` and `macro` are averaged."""
    keys = ("accuracy", "accuracy_low", "accuracy_high", "macro")
    short = {}
    for name in TEST_SETS:
        part = metrics[name]
        averaged = {key: round(part["averaged"][key], 4) for key in keys}
        short[name] = averaged | {"one_run": round(part["plain"]["accuracy"], 4), "coverage": part["coverage"]}
    return short | {"cost": metrics["cost"]}


def seed_figures(
    probabilities: np.ndarray, labels: np.ndarray, kept: np.ndarray, seeds: list[int]
) -> dict[int, dict[str, dict[str, float]]]:
    """Accuracy of each seed's models by themselves, on the plain test faces: all of them, and those kept.

    Probabilities are (seeds, runs, images, classes); an estimator has those of the first of `seeds` alone.
    """
    right = probabilities[:, 0].argmax(axis=2) == labels
    parts = [{"test": {"one_run": row.mean()}, "test_kept": {"one_run": row[kept].mean()}} for row in right]
    return dict(zip(seeds, parts, strict=False))


def tracked_figures(metrics: dict[str, Any], models: list[dict[str, Any]]) -> dict[str, Any]:
    """What MLflow gets of one system: the same names for all. `models` are their model.json."""
    short = headline(metrics)
    counted = {"parameters": math.nan, "flops": math.nan} | short["cost"]  # nan: not counted, of an estimator
    training = {key: sum(model["result"][key] for model in models) for key in ("minutes", "samples_seen")}
    whole = short["whole"] | {key: metrics["whole"]["averaged"][key] for key in ("macro_auc", "ece", "per_class")}
    kept = {f"test_{name}": short[name] for name in ("kept", "kept_unique")}
    return {"test": whole, **kept, "cost": counted | training | {"models": len(models)}}


def version_tags(metrics: dict[str, Any], model: dict[str, Any]) -> dict[str, Any]:
    """What tells a version of a registered model from others: which weights (its model.json), and how good.

    Two versions with the same tags are one: nothing here may change as the same model is evaluated again.
    """
    figures = {f"test/{name}": metrics["whole"]["averaged"][name] for name in ("accuracy", "macro")}
    figures["test/one_run"] = metrics["whole"]["plain"]["accuracy"]
    rounded = {name: round(value, 4) for name, value in figures.items()}
    fold = {"fold": model["fold"]} if model["fold"] >= 0 else {}
    return {"model": model["run"], "weights": model["files"], "protocol": metrics["protocol"], **fold, **rounded}


def version_description(metrics: dict[str, Any], models: list[dict[str, Any]]) -> str:
    """The same for a reader. In cross-validation the first of `models` is registered, and the figure is of all."""
    first, folds = models[0], len({model["fold"] for model in models})
    accuracy, images = metrics["whole"]["averaged"]["accuracy"], metrics["whole"]["images"]
    text = (
        f"{metrics['system']} on {metrics['dataset']}, seed {first['seed']}: accuracy {100 * accuracy:.2f} % on the "
        f"whole test set ({images} images, {metrics['whole']['runs']['count']} runs averaged); {metrics['protocol']}."
    )
    if first["fold"] < 0:
        return text
    return f"{text} This is the model of fold {first['fold']}; the accuracy is that of the models of all {folds} folds."


def protocol(facts: dict[str, Any], index: pd.DataFrame) -> str:
    """One line: which images tested, which chose the epoch, what leaks."""
    source = facts["made_by"]["from"]["from"]["from"]["params"]
    chosen = {"last": "no epoch chosen", "best": "epoch chosen on validation"}[facts["train"]["select"]]
    chosen = chosen if "epochs" in facts["result"] else "fitted once, nothing chosen"
    if facts["fold"] >= 0:
        kind = "subject-independent" if source["split"] == "subject" else "LEAKING random"
        return f"{index['fold'].nunique()}-fold {kind} cross-validation; {chosen}"
    usage = ", ".join(sorted(set(index["usage"]))) if "usage" in index else "held-out people"
    return f"tested on {usage}; {chosen}"


def calibration(probabilities: np.ndarray, labels: np.ndarray, facts: dict[str, Any]) -> dict[str, Any]:
    """One run (images, classes) -> calibration errors without and with the temperature of the model.

    Nothing where none was fitted, and in cross-validation, where each fold has its own.

    Accuracies and the error above are of the plain probabilities; those that a Predictor tells have the temperature.
    """
    temperature = facts["result"].get("temperature")
    if temperature is None or facts["fold"] >= 0:
        return {}
    errors = {"ece": probabilities, "ece_calibrated": tempered(probabilities, temperature)}
    figures = {name: round(expected_calibration_error(values, labels), 4) for name, values in errors.items()}
    return {"calibration": {"temperature": temperature, **figures}}


@dataclass(frozen=True)
class Result:
    """An evaluation: figures, a table with a row a run, and the data of the plots."""

    title: str
    classes: list[str]
    metrics: dict[str, Any]
    runs: pd.DataFrame
    labels: np.ndarray
    averaged: np.ndarray  # probabilities (images, classes), mean over the runs
    seeds: dict[int, dict[str, Any]]  # see `seed_figures`
    models: list[dict[str, Any]]  # the model.json of each, from the first fold and seed on
    first: Path  # the folder of the first


def evaluate(data: Path, system: str, params: EvaluateParams) -> Result:
    """Evaluate the models of one system; also writes data/<dataset>/predictions/<system>.npz for paired tests."""
    probabilities, index, facts = predict_runs(data, data / "models" / system, params)
    classes, labels = facts["classes"], index["label"].to_numpy(dtype=np.int64)
    with new_file(data / "predictions" / f"{system}.npz") as path:
        np.savez(path, probabilities=probabilities, labels=labels, kept=index["kept"], parent=index["parent"])
    head = {"dataset": facts["dataset"], "system": system, "protocol": protocol(facts, index)}
    metrics = (
        head
        | measure(probabilities, index, classes, params)
        | {
            "trained": facts["result"],
            "trained_params": facts["params"],
            "train": facts["train"],
            "cost": facts["cost"],
        }
        | calibration(probabilities[0, 0], labels, facts)
    )
    chosen = probabilities[0].argmax(axis=2)
    runs = pd.DataFrame({"accuracy": (chosen == labels).mean(axis=1)})
    runs["macro"] = [macro_accuracy(labels, run, len(classes)) for run in chosen]
    title = f"{system} on {facts['dataset']}: {head['protocol']}"
    seeds = seed_figures(probabilities, labels, index["kept"].to_numpy(dtype=bool), facts["train"]["seeds"])
    models, averaged = facts["models"], probabilities[0].mean(axis=0)
    first = data / "models" / system / model_name(models[0]["fold"], models[0]["seed"])
    return Result(title, classes, metrics, runs, labels, averaged, seeds, models, first)


def write_results(result: Result, folder: Path) -> list[Path]:
    """Write figures and plot data of the whole test set into `folder`; return the pictures."""
    from mmfer.report import figures

    predicted, grid = result.averaged.argmax(axis=1), np.linspace(0, 1, 101)
    names = np.array(result.classes)
    write_json(folder / "evaluate.json", headline(result.metrics))
    write_json(folder / "details.json", result.metrics)
    write_csv(folder / "runs.csv", result.runs.rename_axis("run").reset_index())
    write_csv(folder / "confusion.csv", pd.DataFrame({"actual": names[result.labels], "predicted": names[predicted]}))
    curves = class_roc_curves(result.averaged, result.labels, result.classes)
    sampled = {name: np.interp(grid, fpr, tpr) for name, (fpr, tpr, _) in curves.items()}
    long = pd.DataFrame({"false_positive_rate": grid} | sampled).melt(
        "false_positive_rate", var_name="class", value_name="true_positive_rate"
    )
    write_csv(folder / "roc.csv", long.round(5))
    figures.roc_curves(curves, result.title, folder / "roc.png")
    counts = confusion_matrix(result.labels, predicted, len(result.classes))
    figures.confusion(counts, result.classes, result.title, folder / "confusion.png")
    return [folder / "roc.png", folder / "confusion.png"]
