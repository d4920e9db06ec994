"""Robustness figures against a hand-made case."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mmfer.config import PerturbParams, TrainParams
from mmfer.data.faceset import open_faceset
from mmfer.testing import robustness
from mmfer.testing.corruptions import is_corruption
from mmfer.testing.perturb import write_perturbed
from mmfer.testing.robustness import (
    Perturbed,
    by_condition,
    by_face,
    headline,
    main_figures,
    perturbed_digest,
    predict_perturbed,
    write_results,
)
from mmfer.training import models
from mmfer.training.models import model_name
from mmfer.training.train import train_all
from tests.tiny import write_tiny

CLASSES = ["a", "b"]


@pytest.fixture
def index():
    names = ["clean", "mouth hidden", "fog 1", "fog 2", "snow 1"]
    return pd.DataFrame(
        {"condition": np.repeat(names, 4), "label": [0, 0, 1, 1] * 5, "found": [True] * 4 + [True, False] * 8}
    )


@pytest.fixture
def probabilities():
    """Of the true class: clean 3 of 4 right; then 2, 2, 1 and 4."""
    true = [0.9, 0.8, 0.7, 0.4] + [0.9, 0.3, 0.7, 0.3] + [0.6, 0.6, 0.2, 0.2] + [0.6, 0.1, 0.1, 0.1] + [0.9] * 4
    true = np.array(true, np.float32)
    label = np.array([0, 0, 1, 1] * 5)
    return np.where(np.arange(2) == label[:, None], true[:, None], 1 - true[:, None])


def test_accuracy_probability_and_the_share_that_turned_wrong(index, probabilities):
    table = by_condition(probabilities, index, CLASSES).set_index(["condition", "class"])
    hidden = table.loc[("mouth hidden", "all")]
    assert hidden["accuracy"] == 0.5
    assert hidden["probability"] == pytest.approx((0.9 + 0.3 + 0.7 + 0.3) / 4, abs=1e-4)
    assert hidden["turned_wrong"] == pytest.approx(1 / 3, abs=1e-4)  # of the three that were right
    assert hidden["found"] == 0.5
    assert table.loc[("clean", "b"), "accuracy"] == 0.5
    assert table.loc[("fog 1", "b"), "turned_wrong"] == 1.0
    assert (table.xs("all", level="class")["images"] == 4).all()


def test_the_mean_corruption_error_is_a_mean_over_corruptions_of_means_over_severities(index, probabilities):
    short = headline(by_condition(probabilities, index, CLASSES))
    assert short["clean"] == 0.75
    assert short["mouth_hidden"] == 0.5
    assert short["mean_corruption_error"] == pytest.approx(((0.5 + 0.75) / 2 + 0) / 2, abs=1e-4)  # fog, snow
    assert set(short) == {"clean", "mouth_hidden", "mean_corruption_error"}


def test_each_face_is_listed_under_the_papers_conditions_alone(index, probabilities):
    faces = SimpleNamespace(index=index.assign(parent=[7, 8, 9, 12] * 5, subject=["p", None, "q", "q"] * 5))
    other = np.where(index["condition"].eq("clean").to_numpy()[:, None], probabilities[:, ::-1], np.nan)
    table = by_face(Perturbed(probabilities, {3: probabilities, 4: other}, faces))
    assert table["condition"].tolist() == ["clean"] * 4 + ["mouth hidden"] * 4
    assert table["row"].tolist() == [7, 8, 9, 12] * 2
    assert (table["seed_3"] == table["label"]).astype(int).tolist() == [1, 1, 1, 0, 1, 0, 1, 0]
    assert (table["seed_4"] == table["label"])[:4].astype(int).tolist() == [0, 0, 0, 1]
    np.testing.assert_allclose(table["probability"][:4], [0.9, 0.8, 0.7, 0.4])


def test_a_table_of_systems_has_the_mean_of_hidden_faces_and_of_corruptions():
    names = ["clean", "mouth hidden", "eyes hidden", "mouth and eyes hidden", "rotation"]
    names += ["fog 1", "snow 1", "contrast 1"]
    table = pd.DataFrame({"condition": names, "class": "all", "accuracy": [0.9, 0.6, 0.5, 0.1, 0.8, 0.7, 0.9, 0.2]})
    assert main_figures(table) == {"hidden": 0.4, "mce": 0.4}  # errors 0.3, 0.1 and 0.8
    assert main_figures(table[:5]) == {"hidden": 0.4}


class Marked:
    """In place of a model: gives its fold and seed away as probabilities."""

    def __init__(self, folder, device="cpu"):
        fold, _, seed = folder.name.rpartition("seed")
        self.mark = 10 * int(seed) + int(fold.strip("fold-") or 0)
        self.facts = {"train": {"seeds": [2, 10], "device": "cpu"}}

    def predict(self, stored, device="cpu"):
        return np.full((len(stored["images"]), 3), self.mark, np.float32)


@pytest.fixture(params=[0, 4], ids=["split", "folds"])
def perturbed(tmp_path, request):
    """A tiny data set, perturbed, with empty folders for the models of two seeds; how many folds it has."""
    data = write_tiny(tmp_path / "data", folds=request.param)
    write_perturbed(data, data / "perturbed", PerturbParams(images=20, severities=[3]), 1)
    for fold in range(request.param) or [-1]:
        for seed in (2, 10):
            folder = data / "models/net" / model_name(fold, seed)
            folder.mkdir(parents=True)
            (folder / "model.json").touch()
    return data


def test_each_face_is_predicted_by_the_models_that_have_not_seen_its_fold(perturbed, monkeypatch):
    monkeypatch.setattr(robustness, "load_model", Marked)
    monkeypatch.setattr(models, "load_model", Marked)
    found = predict_perturbed(perturbed, "net")
    folds = found.faces.index["fold"].clip(lower=0).to_numpy()
    assert list(found.seeds) == [2, 10]
    np.testing.assert_array_equal(found.first[:, 0], 20 + folds)
    of_paper = ~found.faces.index["condition"].map(is_corruption).to_numpy(dtype=bool)
    assert 0 < of_paper.sum() < len(of_paper)
    np.testing.assert_array_equal(found.seeds[10][of_paper, 0], (100 + folds)[of_paper])
    assert np.isnan(found.seeds[10][~of_paper]).all()


def test_results_name_the_faces_by_their_digest(perturbed, tmp_path, monkeypatch):
    monkeypatch.setattr(robustness, "load_model", Marked)
    monkeypatch.setattr(models, "load_model", Marked)
    found = predict_perturbed(perturbed, "net")
    table = write_results(found, tmp_path / "net")
    assert {file.name for file in (tmp_path / "net").iterdir()} == {"details.json", "faces.parquet", "conditions.csv"}
    details = json.loads((tmp_path / "net/details.json").read_text())
    faces, raw = pd.read_parquet(tmp_path / "net/faces.parquet"), open_faceset(perturbed / "raw").index
    assert details["rows"] == perturbed_digest(found.faces)
    assert faces["label"].tolist() == raw["label"][faces["row"]].tolist()
    assert faces["subject"].tolist() == raw["subject"][faces["row"]].tolist()
    assert len(table) == len(pd.read_csv(tmp_path / "net/conditions.csv"))
    assert details["figures"] == headline(table)


def test_the_digest_changes_with_the_faces_and_with_how_they_were_perturbed_but_not_with_training_copies(perturbed):
    faces = open_faceset(perturbed / "perturbed")
    digest, copies = perturbed_digest(faces), {"stage": "augment", "params": {"copies": 3}, "from": faces.made_by}
    assert perturbed_digest(replace(faces, made_by=copies)) == digest
    others = [replace(faces)]
    vars(others[0])["index"] = faces.index.iloc[1:]
    for stage in ("perturb", "extract", "clean"):
        made_by = json.loads(json.dumps(faces.made_by))
        part = made_by
        while part["stage"] != stage:
            part = part["from"]
        part["params"] |= {"brightness": 0.9}
        others.append(replace(faces, made_by=made_by))
    assert len({digest, *map(perturbed_digest, others)}) == 5


def test_a_trained_system_predicts_every_condition(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = write_tiny(tmp_path / "data")
    train_all(data, ("svm", {"components": 5}), TrainParams(seeds=[1, 0], device="cpu"), lambda *_: None)
    write_perturbed(data, data / "perturbed", PerturbParams(images=None, severities=[]), 1)
    found = predict_perturbed(data, "svm")
    assert list(found.seeds) == [1]  # an estimator has no random start
    np.testing.assert_allclose(found.first.sum(axis=1), 1, atol=1e-5)
    assert len(found.first) == len(found.faces) == 11 * 12
