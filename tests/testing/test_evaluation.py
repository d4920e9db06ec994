"""Ten runs, three test sets: figures against hand-made probabilities, views against the stored features."""

import json

import numpy as np
import pandas as pd
import pytest

from mmfer.config import EvaluateParams, TrainParams
from mmfer.data.faceset import open_faceset
from mmfer.data.splits import split_rows
from mmfer.testing import evaluation
from mmfer.testing.evaluation import calibration, evaluate, measure, predict_runs, write_results
from mmfer.training.train import train_all
from tests.tiny import CLASSES, write_tiny

BLOCK = {"kind": "compact", "channels": [8, 16], "blocks": 1, "landmarks_hidden": [16], "hog_hidden": [16]}
PARAMS = EvaluateParams(runs=3, bootstrap=100, mirror=0.0)


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_tiny(tmp_path / "data")


def train(data, **more):
    train_all(
        data, ("net", BLOCK), TrainParams(**{"epochs": 2, "batch_size": 16, "device": "cpu"} | more), lambda *_: None
    )


def test_run_0_sees_what_is_stored(data):
    raw, clean, augmented, features = (open_faceset(data / n) for n in ("raw", "clean", "augmented", "features"))
    rows = split_rows(features, -1, "last").test
    first, second, _ = evaluation.test_views(raw, clean, features, rows, PARAMS)
    assert (first["images"] == augmented.images[rows]).all()
    assert (first["hog"] == features.hog[rows]).all()
    assert (first["landmarks"] == features.landmarks[rows]).all()
    assert all((first[name] != second[name]).any() for name in first)


def test_each_fold_is_predicted_by_its_own_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = write_tiny(tmp_path / "data", folds=4)
    train(data)

    class Fake:
        def __init__(self, folder, device="cpu"):
            self.machine = None
            self.facts = {"train": {"seeds": [0], "select": "last", "device": "cpu"}}
            self.fold = int(folder.name[4])

        def predict(self, stored, device="cpu"):
            return np.eye(4, 3, dtype=np.float32)[[self.fold] * len(stored["images"])] + self.fold

    monkeypatch.setattr(evaluation, "load_model", Fake)
    probabilities, index, _ = predict_runs(data, data / "models/net", PARAMS)
    assert len(index) == 60
    np.testing.assert_array_equal(np.floor(probabilities[0, 0].min(axis=1)), index["fold"])


def test_figures_of_hand_made_probabilities():
    index = pd.DataFrame(
        {
            "label": [0, 0, 1, 1, 2],
            "kept": [True, True, True, True, False],
            "duplicate": [False, True, False, False, False],
            "subject": pd.array([None] * 5, dtype="string"),
        }
    )
    predicted = np.array([[0, 1, 1, 1, 0], [0, 0, 1, 0, 0]])  # runs: 3 and 3 of 5 right
    probabilities = np.eye(3, dtype=np.float32)[predicted][None]
    figures = measure(probabilities, index, CLASSES, EvaluateParams(runs=2, bootstrap=100))
    assert [figures[name]["coverage"] for name in ("whole", "kept", "kept_unique")] == [1.0, 0.8, 0.6]
    assert [figures[name]["plain"]["accuracy"] for name in ("whole", "kept")] == [0.6, 0.75]
    assert figures["kept_unique"]["plain"]["accuracy"] == 1.0
    assert figures["whole"]["runs"] == {"count": 2, "accuracy_mean": 0.6, "accuracy_sd": 0.0}
    assert "seeds" not in figures["whole"]


def test_calibration_is_told_where_there_is_one_temperature():
    sure = np.array([[0.99, 0.01]] * 4, np.float32)  # right three times in four: 0.24 too sure
    labels, facts = np.array([0, 0, 0, 1]), {"fold": -1, "result": {"temperature": 4.183}}  # 0.99 becomes 0.75
    told = calibration(sure, labels, facts)["calibration"]
    assert told == {"temperature": 4.183, "ece": 0.24, "ece_calibrated": 0.0}
    assert calibration(sure, labels, facts | {"fold": 0}) == calibration(sure, labels, {"fold": -1, "result": {}}) == {}


def test_both_readings_of_ten_runs_and_every_file_of_the_stage(data, tmp_path):
    train(data, seeds=[0, 1], epochs=8)
    result = evaluate(data, "net", PARAMS)
    whole = result.metrics["whole"]
    assert whole["runs"]["count"] == 3
    assert whole["seeds"]["count"] == 2
    assert whole["averaged"]["accuracy"] == pytest.approx((result.averaged.argmax(1) == result.labels).mean())
    write_results(result, tmp_path / "metrics")
    names = {"evaluate.json", "details.json", "runs.csv", "confusion.csv", "confusion.png", "roc.csv", "roc.png"}
    assert {file.name for file in (tmp_path / "metrics").iterdir()} == names
    short = json.loads((tmp_path / "metrics/evaluate.json").read_text())
    assert list(short) == ["whole", "kept", "kept_unique", "cost"]
    assert short["whole"]["accuracy"] == pytest.approx(whole["averaged"]["accuracy"], abs=1e-4)
    with np.load(data / "predictions/net.npz") as stored:
        assert stored["probabilities"].shape == (2, 3, 12, 3)
    assert list(result.seeds) == [0, 1]
    assert result.seeds[0]["test"]["one_run"] == pytest.approx(whole["plain"]["accuracy"])
    assert [model["seed"] for model in result.models] == [0, 1]
    assert result.first == data / "models/net/seed0"


def test_a_test_set_of_one_class_has_no_roc_curve_and_is_written_all_the_same(tmp_path):
    index = pd.DataFrame(
        {"label": [1] * 4, "kept": True, "duplicate": False, "subject": pd.array([None] * 4, "string")}
    )
    probabilities = np.eye(3, dtype=np.float32)[[1, 1, 0, 1]][None, None]
    metrics = measure(probabilities, index, CLASSES, PARAMS) | {"cost": {}}
    runs = pd.DataFrame({"accuracy": [0.75]})
    labels = index["label"].to_numpy()
    result = evaluation.Result("t", CLASSES, metrics, runs, labels, probabilities[0, 0], {}, [], tmp_path)
    write_results(result, tmp_path)
    assert pd.read_csv(tmp_path / "roc.csv").empty


def test_rejected_test_faces_are_predicted_all_the_same(data):
    train(data)
    metrics = evaluate(data, "net", PARAMS).metrics
    assert metrics["whole"]["images"] == 12
    assert metrics["kept"]["images"] == 10


def test_the_accuracy_of_each_seed_by_itself():
    predicted = np.array([[[0, 1, 1], [2, 2, 2]], [[0, 1, 2], [2, 2, 2]]])  # two seeds; only run 0 counts
    labels, kept = np.array([0, 1, 2]), np.array([True, False, True])
    figures = evaluation.seed_figures(np.eye(3)[predicted], labels, kept, [5, 7, 9])
    assert figures == {
        5: {"test": {"one_run": pytest.approx(2 / 3)}, "test_kept": {"one_run": 0.5}},
        7: {"test": {"one_run": 1.0}, "test_kept": {"one_run": 1.0}},
    }


def _metrics(**cost):
    averaged = {"accuracy": 0.71236, "accuracy_low": 0.7, "accuracy_high": 0.8, "macro": 0.6}
    averaged |= {"macro_auc": 0.9, "ece": 0.1, "per_class": {"left": 0.5}}
    part = {"images": 40, "coverage": 1.0, "averaged": averaged, "plain": {"accuracy": 0.65}, "runs": {"count": 10}}
    head = {"dataset": "faces", "system": "net", "protocol": "tested on PublicTest; no epoch chosen"}
    return head | dict.fromkeys(("whole", "kept", "kept_unique"), part) | {"cost": cost}


def _model(fold, seed=4):
    result = {"minutes": 1.5, "samples_seen": 100}
    return {"fold": fold, "seed": seed, "run": "abc", "files": "def", "result": result}


def test_what_is_tracked_has_the_same_names_for_networks_and_estimators():
    network = evaluation.tracked_figures(_metrics(latency_ms=2.0, parameters=7, flops=9), [_model(0), _model(1)])
    estimator = evaluation.tracked_figures(_metrics(latency_ms=2.0), [_model(-1)])
    assert {name: list(part) for name, part in network.items()} == {name: list(p) for name, p in estimator.items()} | {
        "cost": ["parameters", "flops", "latency_ms", "minutes", "samples_seen", "models"]
    }
    assert network["cost"] == {
        **{"parameters": 7, "flops": 9, "latency_ms": 2.0},
        **{"minutes": 3.0, "samples_seen": 200, "models": 2},
    }
    assert np.isnan(estimator["cost"]["parameters"])
    assert network["test"]["per_class"] == {"left": 0.5}
    assert "per_class" not in network["test_kept"]


def test_a_version_is_told_apart_by_its_weights_and_figures_alone():
    quick, slow = (evaluation.version_tags(_metrics(latency_ms=ms), _model(-1)) for ms in (2.0, 3.0))
    assert quick == slow
    assert quick == {
        **{"model": "abc", "weights": "def", "protocol": "tested on PublicTest; no epoch chosen"},
        **{"test/accuracy": 0.7124, "test/macro": 0.6, "test/one_run": 0.65},
    }
    assert evaluation.version_tags(_metrics(), _model(2))["fold"] == 2


def test_a_version_is_described_with_its_test_set():
    text = (
        "net on faces, seed 4: accuracy 71.24 % on the whole test set (40 images, 10 runs averaged); "
        "tested on PublicTest; no epoch chosen."
    )
    assert evaluation.version_description(_metrics(), [_model(-1)]) == text
    of_folds = evaluation.version_description(_metrics(), [_model(0), _model(0, 5), _model(1), _model(1, 5)])
    assert of_folds == f"{text} This is the model of fold 0; the accuracy is that of the models of all 2 folds."
