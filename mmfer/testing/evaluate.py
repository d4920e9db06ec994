"""Evaluation: the test images predicted ten times and averaged (paper, 4.2), in both readings, on three test sets.

Runs: ten predictions of one model. Run 0 sees the plain faces; the others see them slightly moved, mirrored, turned and
scaled, with landmarks and HOG taken from what they see. Seeds: independently trained models, each on the plain faces.
Test sets: whole (the official one, nothing dropped), kept (a face was found), kept_unique (no exact copies either).
What is written where: mmfer.report.results has the contract.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmfer.config import EvaluateParams
from mmfer.data.faceset import open_faceset, source_of
from mmfer.data.votes import votes_of
from mmfer.files import new_folder, write_csv, write_json
from mmfer.testing.predictions import Predictions, predict_runs
from mmfer.testing.statistics import (
    above_chance,
    class_roc_curves,
    confusion_matrix,
    macro_accuracy,
    person_groups,
    summarise,
)
from mmfer.testing.votes import vote_figures
from mmfer.training.calibration import class_sets, expected_calibration_error, tempered, terms_of
from mmfer.training.models import model_name

TEST_SETS = ("whole", "kept", "kept_unique")


def measure(predictions: Predictions, classes: list[str], params: EvaluateParams) -> dict[str, dict[str, Any]]:
    """Figures of all three test sets, JSON-ready: see `figures_of`, and the `coverage` of each."""
    kept = predictions.index["kept"].to_numpy(dtype=bool)
    members = {
        "whole": np.ones(len(kept), dtype=bool),
        "kept": kept,
        "kept_unique": kept & ~predictions.index["duplicate"].to_numpy(dtype=bool),
    }
    return {
        name: {"coverage": round(float(chosen.mean()), 4)} | figures_of(predictions, chosen, classes, params)
        for name, chosen in members.items()
    }


def figures_of(
    predictions: Predictions, chosen: np.ndarray, classes: list[str], params: EvaluateParams
) -> dict[str, Any]:
    """Figures of the images that `chosen` (images,) marks.

    averaged and plain (see statistics.summarise: the mean of the runs, and run 0), runs and seeds (count, mean and
    standard deviation of the accuracies, and of the seeds the mean of their probabilities), chance (see
    statistics.above_chance: the averaged runs against the best constant answer; of several trainings, the worst).
    """
    index, runs, seeds = predictions.index[chosen], predictions.runs[:, chosen], predictions.seeds[:, chosen]
    labels = index["label"].to_numpy(dtype=np.int64)
    # Frames of one person are not independent: where there are people, they are what is resampled.
    groups = person_groups(index["subject"])
    options: dict[str, Any] = {"groups": groups, "resamples": params.bootstrap, "seed": params.seed, "classes": classes}
    averaged = runs.mean(axis=0)
    trainings = [averaged, *seeds[1:]]
    chances = [
        above_chance(labels, of.argmax(axis=1), len(classes), groups, params.bootstrap, params.seed) for of in trainings
    ]
    figures = {
        "images": len(index),
        "averaged": summarise(averaged, labels, **options),
        "plain": summarise(runs[0], labels, **options),
        "runs": spread(runs, labels),
        "chance": min(chances, key=lambda found: found["low"]),
    }
    if len(seeds) > 1:
        figures["seeds"] = spread(seeds, labels) | {"averaged": summarise(seeds.mean(axis=0), labels, **options)}
    return figures


def spread(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy of several predictions (K, images, classes): mean, standard deviation (K - 1), count."""
    accuracies = (probabilities.argmax(axis=2) == labels).mean(axis=1)
    deviation = float(accuracies.std(ddof=1)) if len(accuracies) > 1 else 0.0
    return {
        "count": len(accuracies),
        "accuracy_mean": round(float(accuracies.mean()), 4),
        "accuracy_sd": round(deviation, 4),
    }


def protocol(facts: dict[str, Any], index: pd.DataFrame) -> str:
    """One line: which images tested, what chose the epoch or ended the training, what leaks."""
    source = source_of(facts["made_by"])
    last = "training ended by validation" if facts["train"].get("patience") else "no epoch chosen"
    chosen = {"last": last, "best": "epoch chosen on validation"}[facts["train"]["select"]]
    chosen = chosen if "epochs" in facts["result"] else "fitted once, nothing chosen"
    if facts["fold"] >= 0:
        kind = "subject-independent" if source["split"] == "subject" else "LEAKING random"
        return f"{index['fold'].nunique()}-fold {kind} cross-validation; {chosen}"
    usage = ", ".join(sorted(set(index["usage"]))) if "usage" in index else "held-out people"
    if source.get("kind") == "ferplus":
        usage += ", labels of FER+ from outside FER2013"
    if facts["train"].get("labels") == "votes" and "epochs" in facts["result"]:
        chosen = f"trained towards the raters' votes; {chosen}"
    return f"tested on {usage}; {chosen}"


def calibration(probabilities: np.ndarray, labels: np.ndarray, facts: dict[str, Any]) -> dict[str, Any]:
    """One run (images, classes) -> calibration errors without and with the temperature of the model, and its sets.

    Of these: the share of images whose true class was promised to be in the set and of those where it is, the mean
    number of classes, and the share of sets of one.

    Nothing where none was fitted, and in cross-validation, where each fold has its own. Accuracies and all other
    figures are of the plain probabilities; those that a Predictor gives have the temperature.
    """
    terms = terms_of(facts["result"])
    if not terms or facts["fold"] >= 0:
        return {}
    errors = {"ece": probabilities, "ece_calibrated": tempered(probabilities, **terms)}
    figures = {name: round(expected_calibration_error(values, labels), 4) for name, values in errors.items()}
    promised, chosen = facts["result"]["sets"], class_sets(probabilities, facts["result"]["sets"]["least"])
    sizes = chosen.sum(axis=1)
    sets = {
        "promised": promised["coverage"],
        "covered": round(float(chosen[np.arange(len(labels)), labels].mean()), 4),
        "mean_size": round(float(sizes.mean()), 4),
        "of_one": round(float((sizes == 1).mean()), 4),
    }
    return {"calibration": {**terms, **figures, "sets": sets}}


def beside_votes(predictions: Predictions, classes: list[str]) -> dict[str, Any]:
    """`votes`: figures of votes.vote_figures, of the averaged runs and of run 0; nothing where there are no votes."""
    votes = votes_of(predictions.index, classes)
    if votes is None:
        return {}
    readings = {"averaged": predictions.runs.mean(axis=0), "plain": predictions.runs[0]}
    return {"votes": {name: vote_figures(values, votes) for name, values in readings.items()}}


def training(models: list[dict[str, Any]]) -> dict[str, Any]:
    """What training cost, from the model.json of every fold and seed: totals, and `passes`.

    A pass is once over the rows that a training draws from: without those that validate, and without the copies that
    `train.copies` or an estimator's own block leaves out. The figure is the mean over the trainings; what the networks
    that they started from had seen of the data set counts in it, and is `samples_before`.
    """
    results, before = [model["result"] for model in models], [model.get("samples_before", 0) for model in models]
    passes = [(early + result["samples_seen"]) / result["rows"] for early, result in zip(before, results, strict=True)]
    return {
        "models": len(models),
        "seeds": list(dict.fromkeys(model["seed"] for model in models)),
        "samples_seen": sum(result["samples_seen"] for result in results),
        **({"samples_before": sum(before)} if any(before) else {}),
        "passes": round(float(np.mean(passes)), 4),
        "minutes": round(sum(model["execution"]["minutes"] for model in models), 2),
        "device": models[0]["execution"]["device"],
    }


@dataclass(frozen=True)
class Result:
    """An evaluation: its predictions, its figures (details.json), and the folder of the first model."""

    predictions: Predictions
    classes: list[str]
    details: dict[str, Any]
    first: Path


def evaluate(data: Path, system: str, params: EvaluateParams) -> Result:
    """Evaluate the models of one system on the data set below `data`."""
    predictions = predict_runs(data, system, params)
    features = open_faceset(data / "features")
    facts, classes = predictions.models[0], features.classes
    labels = predictions.index["label"].to_numpy(dtype=np.int64)
    details = {
        "dataset": facts["dataset"],
        "kind": source_of(facts["made_by"])["kind"],
        "classes": classes,
        "system": system,
        "protocol": protocol(facts, predictions.index),
        "rows": predictions.rows,
        **measure(predictions, classes, params),
        **calibration(predictions.runs[0], labels, facts),
        **beside_votes(predictions, classes),
        **curves(predictions.runs.mean(axis=0), labels, classes),
        "each_run": each_run(predictions.runs, labels),
        "each_seed": each_seed(predictions),
        "trained": facts["result"],
        "trained_params": facts["params"],
        "train": facts["train"],
        "training": training(predictions.models),
        "cost": predictions.cost,
    }
    return Result(predictions, classes, details, data / "models" / system / model_name(facts["fold"], facts["seed"]))


def curves(averaged: np.ndarray, labels: np.ndarray, classes: list[str]) -> dict[str, Any]:
    """`confusion` (counts, true class by row) and `roc` (points and area of each class) of (images, classes)."""
    roc = {
        name: {"false_positive_rate": fpr.round(5).tolist(), "true_positive_rate": tpr.round(5).tolist(), "auc": area}
        for name, (fpr, tpr, area) in class_roc_curves(averaged, labels, classes).items()
    }
    return {"confusion": confusion_matrix(labels, averaged.argmax(axis=1), len(classes)).tolist(), "roc": roc}


def each_run(runs: np.ndarray, labels: np.ndarray) -> list[dict[str, float]]:
    """Accuracy and macro accuracy of each run."""
    chosen = runs.argmax(axis=2)
    return [
        {"accuracy": float((run == labels).mean()), "macro": macro_accuracy(labels, run, runs.shape[2])}
        for run in chosen
    ]


def each_seed(predictions: Predictions) -> dict[str, dict[str, dict[str, float]]]:
    """Accuracy of each seed's models by themselves, on the plain test faces: all of them, and those kept."""
    kept = predictions.index["kept"].to_numpy(dtype=bool)
    right = predictions.seeds.argmax(axis=2) == predictions.index["label"].to_numpy()
    parts = [
        {"test": {"one_run": float(row.mean())}, "test_kept": {"one_run": float(row[kept].mean())}} for row in right
    ]
    return {str(seed): part for seed, part in zip(predictions.numbers, parts, strict=True)}


def faces_table(predictions: Predictions) -> pd.DataFrame:
    """A row for each test image: which it is, and the class that each reading predicts."""
    index = predictions.index
    table = index[["digest", "label", "subject", "fold", "kept", "duplicate"]].copy()
    table.insert(0, "row", index["parent"].to_numpy(dtype=np.int64))
    table["averaged"] = predictions.runs.mean(axis=0).argmax(axis=1).astype(np.int8)
    for run, values in enumerate(predictions.runs):
        table[f"run_{run}"] = values.argmax(axis=1).astype(np.int8)
    for seed, values in zip(predictions.numbers, predictions.seeds, strict=True):
        table[f"seed_{seed}"] = values.argmax(axis=1).astype(np.int8)
    return table


def write_results(result: Result, folder: Path) -> None:
    """Write a folder of row-level results: details.json, faces.parquet and probabilities.npz."""
    with new_folder(folder) as temporary:
        write_json(temporary / "details.json", result.details)
        faces_table(result.predictions).to_parquet(temporary / "faces.parquet", index=False)
        runs, seeds = result.predictions.runs, result.predictions.seeds
        np.savez_compressed(temporary / "probabilities.npz", runs=runs, seeds=seeds)


def write_metrics(result: Result, folder: Path) -> list[Path]:
    """Write what is small and stays in git: the main figures, and the data of two plots; return the files."""
    details, names = result.details, np.array(result.classes)
    write_json(folder / "evaluate.json", main_figures(details))
    labels = result.predictions.index["label"].to_numpy()
    predicted = result.predictions.runs.mean(axis=0).argmax(axis=1)
    write_csv(folder / "confusion.csv", pd.DataFrame({"actual": names[labels], "predicted": names[predicted]}))
    write_csv(folder / "roc.csv", sampled_roc(details["roc"]))
    return [folder / name for name in ("evaluate.json", "confusion.csv", "roc.csv")]


def main_figures(details: dict[str, Any]) -> dict[str, float]:
    """The figures that a table of all systems has room for: the whole test set with its 95 % interval; the accuracy
    where a face was found (`kept`), and the share of images that this is (`found`). Where there are raters' votes, how
    the predictions stand to them (see votes.vote_figures).
    """
    whole, kept = details["whole"], details["kept"]
    averaged = whole["averaged"]
    figures = {
        "accuracy": averaged["accuracy"],
        "low": averaged["accuracy_low"],
        "high": averaged["accuracy_high"],
        "macro": averaged["macro"],
        "kept": kept["averaged"]["accuracy"],
        "found": kept["coverage"],
    }
    if "votes" in details:
        figures |= {name: details["votes"]["averaged"][name] for name in ("cross_entropy", "kl", "agreement")}
    return {name: round(value, 4) for name, value in figures.items()}


def sampled_roc(roc: dict[str, dict[str, Any]], points: int = 101) -> pd.DataFrame:
    """ROC curves of all classes at the same false positive rates, a row for each class and rate."""
    grid = np.linspace(0, 1, points)
    sampled = {
        name: np.interp(grid, curve["false_positive_rate"], curve["true_positive_rate"]) for name, curve in roc.items()
    }
    table = pd.DataFrame({"false_positive_rate": grid} | sampled)
    return table.melt("false_positive_rate", var_name="class", value_name="true_positive_rate").round(5)
