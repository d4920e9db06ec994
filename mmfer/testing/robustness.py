"""Robustness: what the networks make of perturbed test faces (paper, figure 7), by condition and class.

`turned_wrong` is the share of faces that a system got right when clean and gets wrong under the condition: the paper's
NULL. The mean corruption error is the mean over corruptions of the error, itself a mean over severities (Hendrycks and
Dietterich, 2019); the study divides it by that of a named baseline. What is written where: mmfer.report.results.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmfer.data.faceset import FaceSet, open_faceset, rows_digest
from mmfer.face.prepare import STORED
from mmfer.files import new_folder, write_csv, write_json
from mmfer.testing.corruptions import CORRUPTIONS, is_corruption
from mmfer.training.device import choose_device
from mmfer.training.models import load_model, model_name, train_params


@dataclass(frozen=True)
class Perturbed:
    """Probabilities (rows, classes) float32 of data/perturbed by the models of one system."""

    first: np.ndarray  # of the first seed, every condition
    seeds: dict[int, np.ndarray]  # of every seed; rows of corruptions are NaN for all but the first
    faces: FaceSet


def predict_perturbed(data: Path, system: str) -> Perturbed:
    """Predict every condition with the first seed, the paper's conditions with the others too.

    In cross-validation each face is predicted by the model that has not seen its fold.
    """
    faces, models = open_faceset(data / "perturbed", needs=STORED), data / "models" / system
    train, folds = train_params(models), faces.index["fold"].to_numpy()
    device = choose_device(train["device"])
    of_paper = ~faces.index["condition"].map(is_corruption).to_numpy(dtype=bool)
    stored = {name: faces.array(name) for name in STORED}
    seeds: dict[int, np.ndarray] = {}
    for seed in train["seeds"]:
        if not (models / model_name(int(folds.min()), seed)).exists():
            continue  # an estimator has no random start: the first seed stands for all
        seeds[seed] = np.full((len(faces), len(faces.classes)), np.nan, np.float32)
        for fold in np.unique(folds):
            rows = np.flatnonzero((folds == fold) & (of_paper | (len(seeds) == 1)))
            model = load_model(models / model_name(int(fold), seed), device)
            seeds[seed][rows] = model.predict({name: array[rows] for name, array in stored.items()}, device)
    return Perturbed(next(iter(seeds.values())), seeds, faces)


def by_condition(probabilities: np.ndarray, index: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """A row for each condition and class, and one for all classes: images, found, accuracy, probability, turned_wrong.

    `probability` is the mean one given to the true class. Rows of every condition stand in the same order of faces.
    """
    label = index["label"].to_numpy(dtype=np.int64)
    right = probabilities.argmax(axis=1) == label
    was_right = np.tile(right[(index["condition"] == "clean").to_numpy()], index["condition"].nunique())
    table = pd.DataFrame(
        {
            "condition": index["condition"],
            "class": np.array(classes)[label],
            "found": index["found"],
            "accuracy": right,
            "probability": probabilities[np.arange(len(label)), label],
            "turned_wrong": np.where(was_right, ~right, np.nan),  # of those that were right alone
        }
    )
    tables = [table.assign(**{"class": "all"}), table]
    grouped = pd.concat(tables).groupby(["condition", "class"], sort=False)
    return grouped.mean().round(4).assign(images=grouped.size()).reset_index()


def by_face(predicted: Perturbed) -> pd.DataFrame:
    """A row for each face and each of the paper's conditions, for paired tests and figure 7.

    Columns: row (in raw), subject, condition, label, probability (of the true class, first seed), and the class that
    each seed predicts, seed_<s>.
    """
    index = predicted.faces.index
    label, rows = index["label"].to_numpy(dtype=np.int64), np.arange(len(index))
    table = pd.DataFrame(
        {
            "row": index["parent"].to_numpy(dtype=np.int64),
            "subject": index["subject"].to_numpy(),
            "condition": index["condition"].to_numpy(),
            "label": label,
            "probability": predicted.first[rows, label],
        }
        | {f"seed_{seed}": values.argmax(axis=1).astype(np.int8) for seed, values in predicted.seeds.items()}
    )
    return table[~table["condition"].map(is_corruption).to_numpy(dtype=bool)].reset_index(drop=True)


def headline(table: pd.DataFrame) -> dict[str, float]:
    """Accuracy under each of the paper's conditions, and the mean corruption error where corruptions were run."""
    accuracy = table[table["class"] == "all"].set_index("condition")["accuracy"]
    errors = [1 - values.mean() for values in _by_corruption(accuracy).values()]
    paper = accuracy[[not is_corruption(name) for name in accuracy.index]]
    short = {str(name).replace(" ", "_"): round(float(value), 4) for name, value in paper.items()}
    return short | ({"mean_corruption_error": round(float(np.mean(errors)), 4)} if errors else {})


def main_figures(table: pd.DataFrame) -> dict[str, float]:
    """What a table of all systems has room for: the mean accuracy where mouth or eyes are hidden, and `mce`, the mean
    corruption error, where corruptions were run.
    """
    short = headline(table)
    hidden = float(np.mean([value for name, value in short.items() if name.endswith("hidden")]))
    error = {"mce": short["mean_corruption_error"]} if "mean_corruption_error" in short else {}
    return {"hidden": round(hidden, 4)} | error


def _by_corruption(accuracy: pd.Series) -> dict[str, pd.Series]:
    """Accuracies of the severities of each corruption that was run."""
    kinds = accuracy.index.str.rsplit(" ", n=1).str[0]
    return {name: accuracy[kinds == name] for name in CORRUPTIONS if (kinds == name).any()}


def perturbed_digest(faces: FaceSet) -> str:
    """SHA-256 over the faces and how they were cleaned, perturbed and described -> 64 hexadecimal digits.

    Results are about the same pictures where these agree. Those of another strength are not.
    """
    parts: list[Any] = [rows_digest(faces.index, np.flatnonzero(faces.index["condition"] == "clean"))]
    made_by = faces.made_by
    while "from" in made_by:
        if made_by["stage"] not in ("hide", "augment"):  # of training faces
            parts.append([made_by["stage"], made_by["params"]])
        made_by = made_by["from"]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def write_results(predicted: Perturbed, folder: Path) -> pd.DataFrame:
    """Write a folder of row-level results: details.json, faces.parquet, conditions.csv; return the last as a table."""
    index, classes = predicted.faces.index, predicted.faces.classes
    table = by_condition(predicted.first, index, classes)
    details: dict[str, Any] = {
        "dataset": predicted.faces.dataset,
        "classes": classes,
        "rows": perturbed_digest(predicted.faces),
        "seeds": list(predicted.seeds),
        "figures": headline(table),
    }
    with new_folder(folder) as temporary:
        write_json(temporary / "details.json", details)
        by_face(predicted).to_parquet(temporary / "faces.parquet", index=False)
        write_csv(temporary / "conditions.csv", table)
    return table
