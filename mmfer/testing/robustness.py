"""Robustness: what the networks make of perturbed test faces (paper, figure 7), by condition and class.

`turned_wrong` is the share of faces that a system got right when clean and gets wrong under the condition: the paper's
NULL. The mean corruption error is the mean over corruptions of the error, itself a mean over severities (Hendrycks and
Dietterich, 2019); the report divides it by that of a named baseline.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmfer.data.faceset import FaceSet, open_faceset
from mmfer.testing.corruptions import CORRUPTIONS, is_corruption
from mmfer.training.device import choose_device
from mmfer.training.models import load_model, model_name


def predict_perturbed(data: Path, system: str) -> tuple[np.ndarray, FaceSet]:
    """Probabilities (rows, classes) float32 of data/perturbed by the models of one system, first seed.

    In cross-validation each face is predicted by the model that has not seen its fold.
    """
    faces = open_faceset(data / "perturbed", needs=("images", "landmarks", "hog"))
    models = data / "models" / system
    folds = faces.index["fold"].to_numpy()
    facts = load_model(sorted(models.glob("*seed*"))[0]).facts
    device, seed = choose_device(facts["train"]["device"]), facts["train"]["seeds"][0]
    probabilities = np.empty((len(faces), len(faces.classes)), np.float32)
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold)
        stored = {"images": faces.images, "landmarks": faces.landmarks, "hog": faces.hog}
        model = load_model(models / model_name(int(fold), seed), device)
        probabilities[rows] = model.predict({name: array[rows] for name, array in stored.items()}, device)
    return probabilities, faces


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


def by_face(probabilities: np.ndarray, index: pd.DataFrame) -> pd.DataFrame:
    """A row for each face and each of the paper's conditions, for paired tests and figure 7.

    Columns: face (its row in raw), condition, right (0 or 1), probability (of the true class).
    """
    label, rows = index["label"].to_numpy(dtype=np.int64), np.arange(len(index))
    table = pd.DataFrame(
        {
            "face": index["parent"].to_numpy(),
            "condition": index["condition"].to_numpy(),
            "right": (probabilities.argmax(axis=1) == label).astype(int),
            "probability": probabilities[rows, label].round(4),
        }
    )
    return table[[not is_corruption(name) for name in table["condition"]]]


def headline(table: pd.DataFrame) -> dict[str, Any]:
    """Accuracy under each of the paper's conditions, and the mean corruption error."""
    accuracy = table[table["class"] == "all"].set_index("condition")["accuracy"]
    corrupted = {name: accuracy[accuracy.index.str.startswith(f"{name} ")] for name in CORRUPTIONS}
    errors = [1 - values.mean() for values in corrupted.values() if len(values)]
    paper = accuracy.drop([key for values in corrupted.values() for key in values.index])
    short = {name.replace(" ", "_"): round(float(value), 4) for name, value in paper.items()}
    return short | {"mean_corruption_error": round(float(np.mean(errors)), 4)} if errors else short
