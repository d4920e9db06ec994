"""Robustness figures against a hand-made case."""

import numpy as np
import pandas as pd
import pytest

from mmfer.config import PerturbParams, TrainParams
from mmfer.testing.perturb import write_perturbed
from mmfer.testing.robustness import by_condition, by_face, headline, predict_perturbed
from mmfer.training.train import train_all
from tests.tiny import write_tiny

CLASSES = ["a", "b"]
BLOCK = {"kind": "compact", "channels": [8, 16], "blocks": 1, "landmarks_hidden": [16], "hog_hidden": [16]}


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
    table = by_face(probabilities, index.assign(parent=[7, 8, 9, 12] * 5))
    assert table["condition"].tolist() == ["clean"] * 4 + ["mouth hidden"] * 4
    assert table["face"].tolist() == [7, 8, 9, 12] * 2
    assert table["right"].tolist() == [1, 1, 1, 0, 1, 0, 1, 0]
    np.testing.assert_allclose(table["probability"][:4], [0.9, 0.8, 0.7, 0.4])


@pytest.mark.parametrize("folds", [0, 4])
def test_each_face_is_predicted_by_a_model_that_has_not_seen_it(tmp_path, monkeypatch, folds):
    monkeypatch.chdir(tmp_path)
    data = write_tiny(tmp_path / "data", folds=folds)
    params = TrainParams(epochs=4, batch_size=16, device="cpu", seeds=[0])
    train_all(data, ("net", BLOCK), params, lambda *_: None)
    write_perturbed(data, data / "perturbed", PerturbParams(images=None, severities=[]), 1)
    probabilities, faces = predict_perturbed(data, "net")
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert len(probabilities) == len(faces) == 9 * (60 if folds else 12)
