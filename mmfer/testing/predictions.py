"""All test images predicted by the models of one system: ten times by those of the first seed, once by the others'."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmfer.config import EvaluateParams, ExtractParams
from mmfer.data.faceset import FaceSet, open_faceset, rows_digest
from mmfer.data.splits import folds_of, split_rows
from mmfer.errors import MmferError
from mmfer.face.augment import random_copies
from mmfer.face.prepare import describe
from mmfer.training.device import choose_device
from mmfer.training.models import cost, load_model, model_name, train_params


@dataclass(frozen=True)
class Predictions:
    """All test images predicted by the models of one system; probabilities are float32."""

    runs: np.ndarray  # (runs, images, classes), of the first seed
    seeds: np.ndarray  # (seeds, images, classes), of the plain faces
    index: pd.DataFrame  # of the images, as features has it
    numbers: list[int]  # the seeds
    models: list[dict[str, Any]]  # the model.json of every fold and seed, the first fold's and seed's first
    cost: dict[str, float | int]  # see mmfer.training.models.cost
    rows: str  # digest of the images, see mmfer.data.faceset.rows_digest


def predict_runs(data: Path, system: str, params: EvaluateParams) -> Predictions:
    """Predict the test images of the FaceSets below `data` by the models of one system.

    In cross-validation each image is predicted by the model that has not seen its fold. All runs use the first seed;
    the others predict run 0 alone. MmferError where a probability is not finite.
    """
    raw = open_faceset(data / "raw", needs=("images",))
    clean = open_faceset(data / "clean", needs=("landmarks", "transforms", "visible"))
    features = open_faceset(data / "features")
    models = data / "models" / system
    train = train_params(models)
    device = choose_device(train["device"])
    parts = {fold: split_rows(features, fold, train["select"]).test for fold in folds_of(features.index)}
    test = np.sort(np.concatenate(list(parts.values())))
    numbers = [seed for seed in train["seeds"] if (models / model_name(min(parts), seed)).exists()]
    views = list(test_views(raw, clean, features, test, params))
    shape, used = (len(test), len(features.classes)), []
    runs, seeds = (np.full((n, *shape), np.nan, np.float32) for n in (len(views), len(numbers)))
    for fold, rows in parts.items():
        here = np.searchsorted(test, rows)
        for s, seed in enumerate(numbers):
            model = load_model(models / model_name(fold, seed), device)
            used.append(model.facts)
            for run, view in enumerate(views if s == 0 else views[:1]):
                predicted = model.predict({name: values[here] for name, values in view.items()}, device)
                (runs[run] if s == 0 else seeds[s])[here] = predicted
    seeds[0] = runs[0]
    if not (np.isfinite(runs).all() and np.isfinite(seeds).all()):
        raise MmferError(f"{models}: predictions are not finite; train again with a lower train.learning_rate")
    first = load_model(models / model_name(min(parts), numbers[0]))  # on the processor: what a user without a GPU has
    index = features.index.loc[test].reset_index(drop=True)
    return Predictions(runs, seeds, index, numbers, used, cost(first, views[0]), rows_digest(features.index, test))


def test_views(
    raw: FaceSet, clean: FaceSet, features: FaceSet, rows: np.ndarray, params: EvaluateParams
) -> Iterator[dict[str, np.ndarray]]:
    """What each run sees of the faces in `rows`: images, landmarks, HOG and visibility as a FaceSet stores them."""
    parents = features.index["parent"].to_numpy()[rows]
    extract = ExtractParams(**features.made_by["params"])
    for run in range(params.runs):
        images, transforms = random_copies(raw, clean, parents, np.full(len(rows), run), params)
        described = describe(images, clean.landmarks[parents], transforms, extract)
        yield described | {"visible": clean.visible[parents]}
