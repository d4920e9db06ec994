"""Ten runs, three test sets: figures against hand-made probabilities, views against the stored features."""

import json

import numpy as np
import pandas as pd
import pytest

from mmfer import evaluation
from mmfer.config import EvaluateParams, TrainParams
from mmfer.evaluation import calibration, evaluate, measure, predict_runs, write_results
from mmfer.faceset import open_faceset
from mmfer.training import split_rows, train_all
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
    rows = split_rows(features.index, -1, "last").test
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


def test_a_test_set_of_one_class_has_no_roc_curve_and_is_written_all_the_same(tmp_path):
    index = pd.DataFrame(
        {"label": [1] * 4, "kept": True, "duplicate": False, "subject": pd.array([None] * 4, "string")}
    )
    probabilities = np.eye(3, dtype=np.float32)[[1, 1, 0, 1]][None, None]
    metrics = measure(probabilities, index, CLASSES, PARAMS) | {"cost": {}}
    runs = pd.DataFrame({"accuracy": [0.75]})
    labels = index["label"].to_numpy()
    write_results(evaluation.Result("t", CLASSES, metrics, runs, labels, probabilities[0, 0]), tmp_path)
    assert pd.read_csv(tmp_path / "roc.csv").empty


def test_rejected_test_faces_are_predicted_all_the_same(data):
    train(data)
    metrics = evaluate(data, "net", PARAMS).metrics
    assert metrics["whole"]["images"] == 12
    assert metrics["kept"]["images"] == 10
