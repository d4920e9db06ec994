"""Ten runs, three test sets: figures against hand-made probabilities, views against the stored features."""

import json

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk

from mmfer.config import EvaluateParams, TrainParams
from mmfer.data.faceset import open_faceset, rows_digest
from mmfer.data.splits import split_rows
from mmfer.errors import MmferError
from mmfer.face.prepare import stored_rows
from mmfer.testing import evaluate as evaluation
from mmfer.testing import predictions, tracked
from mmfer.testing.evaluate import calibration, evaluate, measure, write_metrics, write_results
from mmfer.testing.predictions import Predictions, predict_runs
from mmfer.training import models
from mmfer.training.calibration import TERMS, expected_calibration_error
from mmfer.training.models import load_model
from mmfer.training.train import train_all
from tests.tiny import CLASSES, write_tiny

BLOCK = {"kind": "compact", "channels": [8, 16], "blocks": 1, "landmarks_hidden": [16], "hog_hidden": [16]}
PARAMS = EvaluateParams(runs=3, bootstrap=100, mirror=0.0)


def train(data, name="net", block=BLOCK, **more):
    params = TrainParams(**{"epochs": 2, "batch_size": 16, "device": "cpu"} | more)
    train_all(data, (name, block), params, lambda *_: None)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A tiny data set with networks of three seeds, the greater number first; and one of the first copies alone."""
    root = tmp_path_factory.mktemp("evaluated")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        folder = write_tiny(root / "data/tiny")
        train(folder, seeds=[2, 10, 1], epochs=4)
        train(folder, "one_copy", copies=1, batch_size=4)
    return folder


@pytest.fixture(scope="module")
def result(data):
    return evaluate(data, "net", PARAMS)


@pytest.fixture(scope="module")
def folded(tmp_path_factory):
    """A tiny data set in four folds with two seeds of a network."""
    root = tmp_path_factory.mktemp("folded")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        folder = write_tiny(root / "data/folded", folds=4)
        train(folder, seeds=[5, 3], epochs=1, select="best")
    return folder


def made(predicted, labels, kept=None, duplicate=None, subject=None, seeds=None, n_classes=3):
    """Predictions that give each image (in each run) all probability to one class."""
    n, eye = len(labels), np.eye(n_classes, dtype=np.float32)
    index = pd.DataFrame(
        {
            "parent": np.arange(n),
            "digest": [f"d{i}" for i in range(n)],
            "label": np.array(labels, np.int8),
            "fold": -1,
            "kept": True if kept is None else kept,
            "duplicate": False if duplicate is None else duplicate,
            "subject": pd.array([None] * n if subject is None else subject, dtype="string"),
        }
    )
    runs = eye[np.atleast_2d(predicted)]
    plain = runs[:1] if seeds is None else eye[np.atleast_2d(seeds)]
    return Predictions(runs, plain, index, list(range(len(plain))), [], {}, "rows")


def test_run_0_sees_what_is_stored(data):
    raw, clean, augmented, features = (open_faceset(data / n) for n in ("raw", "clean", "augmented", "features"))
    rows = split_rows(features, -1, "last").test
    first, second, _ = predictions.test_views(raw, clean, features, rows, PARAMS)
    assert (first["images"] == augmented.images[rows]).all()
    assert (first["hog"] == features.hog[rows]).all()
    assert (first["landmarks"] == features.landmarks[rows]).all()
    assert (first["visible"] == features.visible[rows]).all()
    moved = {name for name in first if (first[name] != second[name]).any()}
    assert moved == {"images", "landmarks", "hog"}  # a face that is moved hides no more of itself


def test_run_0_is_the_model_on_the_stored_faces_and_the_other_runs_are_not(data, result):
    faces, features = open_faceset(data / "augmented"), open_faceset(data / "features")
    rows = split_rows(features, -1, "last").test
    stored = stored_rows(faces, features, rows)
    for seed, found in zip([2, 10, 1], result.predictions.seeds, strict=True):
        model = load_model(data / f"models/net/seed{seed}")
        np.testing.assert_allclose(found, model.predict(stored), atol=1e-6)
    np.testing.assert_array_equal(result.predictions.runs[0], result.predictions.seeds[0])
    assert not np.allclose(result.predictions.runs[1], result.predictions.runs[0], atol=1e-4)


def test_each_fold_is_predicted_by_its_own_model(folded, monkeypatch):
    class Fake:
        def __init__(self, folder, device="cpu"):
            self.system = None
            self.facts = {"train": {"seeds": [5, 3], "select": "best", "device": "cpu"}}
            self.fold, self.seed = int(folder.name[4]), int(folder.name[-1])

        def predict(self, stored, device="cpu"):
            return np.full((len(stored["images"]), 3), 10 * self.seed + self.fold, np.float32)

    for module in (predictions, models):
        monkeypatch.setattr(module, "load_model", Fake)
    found = predict_runs(folded, "net", PARAMS)
    assert len(found.index) == 60
    for seed, values in zip([5, 3], found.seeds, strict=True):
        np.testing.assert_array_equal(values[:, 0], 10 * seed + found.index["fold"])
    np.testing.assert_array_equal(found.runs[:, :, 0], np.tile(50 + found.index["fold"], (3, 1)))


def test_facts_are_those_of_the_seed_that_is_listed_first(data, result):
    # Not of that whose folder sorts first: seed1, seed10, seed2.
    first = json.loads((data / "models/net/seed2/model.json").read_text())
    assert result.details["trained"] == first["result"]
    for term in TERMS:
        assert result.details["calibration"][term] == first["result"][term]
    assert result.first == data / "models/net/seed2"
    assert [model["seed"] for model in result.predictions.models] == [2, 10, 1]
    assert list(result.details["each_seed"]) == ["2", "10", "1"]


def test_passes_count_the_rows_that_a_training_draws_from(data, folded, result):
    index = open_faceset(data / "features").index
    kept = int((index["trainable"] & (index["split"] == "train") & (index["copy"] == 0)).sum())
    training = evaluate(data, "one_copy", PARAMS).details["training"]
    assert training["samples_seen"] == 2 * (kept // 4) * 4  # two epochs, whole batches of four
    assert training["passes"] == pytest.approx(training["samples_seen"] / kept, abs=1e-4)
    assert result.details["training"]["passes"] == pytest.approx(4 * (3 * kept // 16) * 16 / (3 * kept), abs=1e-4)
    # With select = best one fold of four tests and one validates: two train. Rows that one pass of them has:
    index = open_faceset(folded / "features").index
    models = [json.loads(path.read_text()) for path in sorted((folded / "models/net").glob("fold*/model.json"))]
    rows = [(index["trainable"] & ~index["fold"].isin([m["fold"], (m["fold"] + 1) % 4])).sum() for m in models]
    seen = [model["result"]["samples_seen"] for model in models]
    assert evaluation.training(models)["passes"] == pytest.approx(np.mean(np.array(seen) / rows), abs=1e-4)
    models[0]["samples_before"] = 3 * models[0]["result"]["samples_seen"]  # of the network that it started from
    further = evaluation.training(models)
    all_seen = np.array([4 * seen[0], *seen[1:]])
    assert further["passes"] == pytest.approx(np.mean(all_seen / rows), abs=1e-4)
    assert (further["samples_before"], further["samples_seen"]) == (3 * seen[0], sum(seen))


def test_a_folder_without_models_is_named(data):
    with pytest.raises(MmferError, match=r"models/none: no model there; train it"):
        predict_runs(data, "none", PARAMS)


def test_figures_of_hand_made_probabilities():
    predicted = [[0, 1, 1, 1, 0], [0, 0, 1, 0, 0]]  # runs: 3 and 3 of 5 right
    found = made(predicted, [0, 0, 1, 1, 2], kept=[True] * 4 + [False], duplicate=[False, True] + [False] * 3)
    figures = measure(found, CLASSES, EvaluateParams(runs=2, bootstrap=100))
    assert [figures[name]["coverage"] for name in ("whole", "kept", "kept_unique")] == [1.0, 0.8, 0.6]
    assert [figures[name]["images"] for name in ("whole", "kept", "kept_unique")] == [5, 4, 3]
    assert [figures[name]["plain"]["accuracy"] for name in ("whole", "kept")] == [0.6, 0.75]
    assert figures["kept_unique"]["plain"]["accuracy"] == 1.0
    assert figures["whole"]["runs"] == {"count": 2, "accuracy_mean": 0.6, "accuracy_sd": 0.0}
    assert "seeds" not in figures["whole"]


def test_the_spread_of_runs_is_over_runs_and_that_of_seeds_over_plain_faces():
    labels = [0, 0, 1, 1]
    found = made([[0, 0, 1, 1], [0, 0, 1, 0], [1, 1, 1, 0]], labels, seeds=[[0, 0, 1, 1], [0, 0, 0, 0]])
    figures = measure(found, CLASSES, EvaluateParams(runs=3, bootstrap=100))["whole"]
    accuracies = [1.0, 0.75, 0.25]
    assert figures["runs"]["accuracy_mean"] == pytest.approx(np.mean(accuracies), abs=1e-4)
    assert figures["runs"]["accuracy_sd"] == pytest.approx(np.std(accuracies, ddof=1), abs=1e-4)
    assert figures["seeds"]["count"] == 2
    assert figures["seeds"]["accuracy_sd"] == pytest.approx(np.std([1, 0.5], ddof=1), abs=1e-4)
    assert [run["accuracy"] for run in evaluation.each_run(found.runs, np.array(labels))] == accuracies


def test_averaged_probabilities_are_the_mean_of_the_runs_of_each_image():
    runs = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.0, 1.0], [0.4, 0.6]], [[0.3, 0.7], [0.9, 0.1]]], np.float32)
    found = made([[0, 0]] * 3, [1, 1], n_classes=2)
    found = Predictions(runs, runs[:1], found.index, [0], [], {}, "rows")
    figures = measure(found, ["a", "b"], EvaluateParams(runs=3, bootstrap=100))["whole"]
    assert figures["averaged"]["accuracy"] == 1.0  # 0.6 and 0.5
    assert figures["plain"]["accuracy"] == 0.5
    assert evaluation.faces_table(found)["averaged"].tolist() == [1, 1]


@pytest.mark.parametrize("part", ["whole", "kept", "kept_unique"])
def test_an_image_without_a_name_is_a_group_of_its_own(part):
    # 20 people, each right or wrong on all ten images: 20 coins, not 200, whoever else is not known.
    people, hit = np.repeat([f"p{i}" for i in range(20)], 10), np.repeat(np.arange(20) % 2, 10)
    named = made(hit, [0] * 200, subject=people)
    unnamed = made([*hit, 0], [0] * 201, subject=[*people, None])
    widths = []
    for found in (named, unnamed):
        figures = measure(found, CLASSES, EvaluateParams(runs=1, bootstrap=1000))[part]["averaged"]
        widths.append(figures["accuracy_high"] - figures["accuracy_low"])
    assert widths[0] == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 20), rel=0.15)
    assert widths[1] == pytest.approx(widths[0], rel=0.1)


def test_calibration_is_given_where_there_is_one_temperature():
    sure = np.array([[0.99, 0.01]] * 4, np.float32)  # right three times in four: 0.24 too sure
    sets = {"coverage": 0.9, "faces": 20, "least": 0.01}
    labels, facts = np.array([0, 0, 0, 1]), {"fold": -1, "result": {"temperature": 4.183, "sets": sets}}
    found = calibration(sure, labels, facts)["calibration"]  # 0.99 becomes 0.75
    both = {"promised": 0.9, "covered": 1.0, "mean_size": 2.0, "of_one": 0.0}
    assert found == {"temperature": 4.183, "ece": 0.24, "ece_calibrated": 0.0, "sets": both}
    stricter = facts | {"result": {"temperature": 4.183, "sets": sets | {"least": 0.02}}}
    one = {"promised": 0.9, "covered": 0.75, "mean_size": 1.0, "of_one": 1.0}
    assert calibration(sure, labels, stricter)["calibration"]["sets"] == one
    assert calibration(sure, labels, facts | {"fold": 0}) == calibration(sure, labels, {"fold": -1, "result": {}}) == {}


def test_details_hold_what_sklearn_finds_in_the_stored_probabilities(data, result, tmp_path):
    write_results(result, tmp_path / "net")
    assert {file.name for file in (tmp_path / "net").iterdir()} == {
        "details.json",
        "faces.parquet",
        "probabilities.npz",
    }
    details = json.loads((tmp_path / "net/details.json").read_text())
    with np.load(tmp_path / "net/probabilities.npz") as stored:
        runs, seeds = stored["runs"], stored["seeds"]
    faces = pd.read_parquet(tmp_path / "net/faces.parquet")
    assert (runs.shape, seeds.shape) == ((3, 12, 3), (3, 12, 3))
    labels, averaged = faces["label"].to_numpy(), runs.mean(axis=0)
    assert details["whole"]["averaged"]["accuracy"] == pytest.approx(sk.accuracy_score(labels, averaged.argmax(1)))
    assert details["whole"]["plain"]["macro"] == pytest.approx(sk.balanced_accuracy_score(labels, runs[0].argmax(1)))
    assert details["whole"]["plain"]["ece"] == pytest.approx(expected_calibration_error(runs[0], labels))
    assert details["confusion"] == sk.confusion_matrix(labels, averaged.argmax(1), labels=range(3)).tolist()
    for label, name in enumerate(CLASSES):
        area = sk.roc_auc_score(labels == label, averaged[:, label])
        assert details["roc"][name]["auc"] == pytest.approx(area)
    for seed, values in zip([2, 10, 1], seeds, strict=True):
        assert (faces[f"seed_{seed}"] == values.argmax(axis=1)).all()
        one_run = details["each_seed"][str(seed)]["test"]["one_run"]
        assert one_run == pytest.approx((values.argmax(axis=1) == labels).mean())
    for run, values in enumerate(runs):
        assert (faces[f"run_{run}"] == values.argmax(axis=1)).all()


def test_faces_are_named_by_row_and_digest_and_the_result_by_all_of_them(data, result):
    raw, features = open_faceset(data / "raw"), open_faceset(data / "features")
    faces = evaluation.faces_table(result.predictions)
    tested = np.flatnonzero(raw.index["split"] == "test")
    assert faces["row"].tolist() == tested.tolist()
    assert faces["digest"].tolist() == raw.index["digest"][tested].tolist()
    assert faces["subject"].tolist() == raw.index["subject"][tested].tolist()
    assert faces["kept"].tolist() == [row % 10 != 9 for row in tested]
    rows = np.flatnonzero((features.index["split"] == "test") & (features.index["copy"] == 0))
    assert result.details["rows"] == rows_digest(features.index, rows)


def test_what_stays_in_git_is_narrow_and_holds_no_times(result, tmp_path):
    write_metrics(result, tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"evaluate.json", "confusion.csv", "roc.csv"}
    short, whole = json.loads((tmp_path / "evaluate.json").read_text()), result.details["whole"]
    assert list(short) == ["accuracy", "low", "high", "macro", "kept", "found"]
    for name, key in (("accuracy", "accuracy"), ("low", "accuracy_low"), ("high", "accuracy_high"), ("macro", "macro")):
        assert short[name] == round(whole["averaged"][key], 4)
    assert short["kept"] == round(result.details["kept"]["averaged"]["accuracy"], 4)
    assert short["found"] == round(10 / 12, 4)
    pairs = pd.read_csv(tmp_path / "confusion.csv")
    assert (pairs["actual"] == pairs["predicted"]).mean() == pytest.approx(whole["averaged"]["accuracy"])


def test_a_test_set_of_one_class_has_no_roc_curve_and_is_written_all_the_same():
    found = evaluation.curves(np.eye(3)[[1, 1, 0, 1]], np.ones(4, int), CLASSES)
    assert found == {"confusion": [[0, 0, 0], [1, 3, 0], [0, 0, 0]], "roc": {}}
    assert evaluation.sampled_roc({}).empty


def test_rejected_test_faces_are_predicted_all_the_same(result):
    assert result.details["whole"]["images"] == 12
    assert result.details["kept"]["images"] == 10


def test_the_accuracy_of_each_seed_by_itself():
    found = made([[2, 2, 2]], [0, 1, 2], kept=[True, False, True], seeds=[[0, 1, 1], [0, 1, 2]])
    assert evaluation.each_seed(found) == {
        "0": {"test": {"one_run": pytest.approx(2 / 3)}, "test_kept": {"one_run": 0.5}},
        "1": {"test": {"one_run": 1.0}, "test_kept": {"one_run": 1.0}},
    }


def test_chance_is_the_share_of_the_largest_class(result):
    found = made([0] * 50, [0] * 40 + [1] * 10)
    chance = measure(found, CLASSES, PARAMS)["whole"]["chance"]
    assert (chance["floor"], chance["above"]) == (0.8, False)
    assert result.details["whole"]["chance"]["floor"] == pytest.approx(1 / 3, abs=1e-4)


def test_a_system_is_above_chance_if_all_of_its_trainings_are():
    labels = [0, 1, 2] * 20
    good, dead = list(labels), [0] * 60
    for seeds, above in (([good, good], True), ([good, dead], False), ([dead, good], False)):
        found = made(np.array(seeds[:1]), labels, seeds=seeds)
        assert measure(found, CLASSES, PARAMS)["whole"]["chance"]["above"] == above


@pytest.mark.parametrize(
    ("select", "patience", "said"),
    [
        ("last", None, "no epoch chosen"),
        ("last", 5, "training ended by validation"),
        ("best", 5, "epoch chosen on validation"),
    ],
)
def test_the_protocol_says_what_validation_decided(select, patience, said):
    train = {"select": select, "patience": patience}
    facts = {"made_by": {"params": {}}, "train": train, "result": {"epochs": 3}, "fold": -1}
    index = pd.DataFrame({"usage": ["PrivateTest"]})
    assert evaluation.protocol(facts, index) == f"tested on PrivateTest; {said}"
    fitted = evaluation.protocol(facts | {"result": {}}, index)
    assert fitted == "tested on PrivateTest; fitted once, nothing chosen"


def test_the_protocol_says_that_labels_are_of_ferplus_and_votes_the_target_of_networks():
    train = {"select": "last", "labels": "votes"}
    facts = {"made_by": {"params": {"kind": "ferplus"}}, "train": train, "result": {"epochs": 3}, "fold": -1}
    index = pd.DataFrame({"usage": ["PrivateTest"]})
    tested = "tested on PrivateTest, labels of FER+ from outside FER2013"
    assert evaluation.protocol(facts, index) == f"{tested}; trained towards the raters' votes; no epoch chosen"
    assert evaluation.protocol(facts | {"result": {}}, index) == f"{tested}; fitted once, nothing chosen"


def _details(**cost):
    averaged = {"accuracy": 0.71236, "accuracy_low": 0.7, "accuracy_high": 0.8, "macro": 0.6}
    averaged |= {"macro_auc": 0.9, "ece": 0.1, "per_class": {"left": 0.5}}
    part = {"images": 40, "coverage": 1.0, "averaged": averaged, "plain": {"accuracy": 0.65}, "runs": {"count": 10}}
    part["chance"] = {"above": True}
    head = {"dataset": "faces", "system": "net", "protocol": "tested on PublicTest; no epoch chosen"}
    training = {"minutes": 3.0, "samples_seen": 200, "models": 2}
    return head | dict.fromkeys(("whole", "kept", "kept_unique"), part) | {"cost": cost, "training": training}


def _model(fold, seed=4):
    return {"fold": fold, "seed": seed, "run": "abc", "files": "def"}


def test_what_is_tracked_has_the_same_names_for_networks_and_estimators():
    network = tracked.tracked_figures(_details(latency_ms=2.0, parameters=7, flops=9))
    estimator = tracked.tracked_figures(_details(latency_ms=2.0))
    assert {name: sorted(part) for name, part in network.items()} == {n: sorted(p) for n, p in estimator.items()}
    assert network["cost"] == {
        **{"parameters": 7, "flops": 9, "latency_ms": 2.0},
        **{"minutes": 3.0, "samples_seen": 200, "models": 2},
    }
    assert np.isnan(estimator["cost"]["parameters"])
    assert network["test"]["per_class"] == {"left": 0.5}
    assert "per_class" not in network["test_kept"]


def test_a_version_is_set_apart_by_its_weights_and_figures_alone():
    quick, slow = (tracked.version_tags(_details(latency_ms=ms), _model(-1)) for ms in (2.0, 3.0))
    assert quick == slow
    assert quick == {
        **{"model": "abc", "weights": "def", "protocol": "tested on PublicTest; no epoch chosen"},
        **{"test/accuracy": 0.7124, "test/macro": 0.6, "test/one_run": 0.65},
    }
    assert tracked.version_tags(_details(), _model(2))["fold"] == 2


def test_a_version_is_described_with_its_test_set():
    text = (
        "net on faces, seed 4: accuracy 71.24 % on the whole test set (40 images, 10 runs averaged); "
        "tested on PublicTest; no epoch chosen."
    )
    assert tracked.version_description(_details(), [_model(-1)]) == text
    of_folds = tracked.version_description(_details(), [_model(0), _model(0, 5), _model(1), _model(1, 5)])
    assert of_folds == f"{text} This is the model of fold 0; the accuracy is that of the models of all 2 folds."
