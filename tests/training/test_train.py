"""Runs: what is trained, reused, resumed, paused and refused; what model.json and the totals say of it."""

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import mmfer
from mmfer.config import AugmentParams, TrainParams
from mmfer.data.faceset import open_faceset
from mmfer.data.splits import split_rows
from mmfer.errors import MmferError
from mmfer.face.augment import write_augmented
from mmfer.face.prepare import stored_rows
from mmfer.training.calibration import TERMS, fit_temperature, least_probability
from mmfer.training.loop import epoch_samples, loss
from mmfer.training.models import load_model
from mmfer.training.runs import SHARED_CODE
from mmfer.training.train import train_all
from tests.tiny import write_tiny

BLOCK = {"kind": "compact", "channels": [8, 16], "blocks": 1, "landmarks_hidden": [16], "hog_hidden": [16]}
SHORT = {
    "epochs": 4,
    "batch_size": 16,
    "device": "cpu",
    "precision": "float32",
    "ema": 0.9,
    "mixup": 0.2,
    "schedule": "cosine",
}


def ignore(metrics, step, model):
    pass


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data folder, and what `train_all` returned as it trained `net` on it. Only to read."""
    folder = tmp_path_factory.mktemp("made")
    write_tiny(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        trained = train_all(folder / "data", ("net", BLOCK), TrainParams(**SHORT), ignore)
    return folder / "data", trained


@pytest.fixture
def trained_data(made, tmp_path, monkeypatch):
    """A copy of that folder, with models/net."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(made[0], tmp_path / "data")


@pytest.fixture
def data(trained_data):
    """A copy without models."""
    shutil.rmtree(trained_data / "models")
    return trained_data


def weights(data, name="seed0"):
    return load_file(data / "models/net" / name / "model.safetensors")


def test_an_interrupted_training_ends_with_the_same_weights(made, data):
    params, whole = TrainParams(**SHORT), weights(made[0])

    def stop(metrics, step, model):
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_all(data, ("net", BLOCK), params, stop)
    seen = []
    train_all(data, ("net", BLOCK), params, lambda metrics, step, model: seen.append(step))
    assert seen == [3, 4]
    assert all(torch.equal(whole[key], value) for key, value in weights(data).items())


def contents(folder):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("block", [BLOCK, {"kind": "svm", "components": 5}])
def test_a_model_that_is_wanted_again_is_not_trained_again(data, block, capsys):
    first = train_all(data, ("net", block), TrainParams(**SHORT), ignore)
    before, epochs = contents(data / "models"), []
    again = train_all(data, ("net", block), TrainParams(**SHORT), lambda metrics, step, model: epochs.append(step))
    assert (contents(data / "models"), epochs) == (before, [])
    assert again.curves.equals(first.curves)
    assert again.summary == first.summary
    assert (first.spent["reused"], again.spent["reused"]) == (0, 1)
    assert "0 trained, 1 taken as they were" in capsys.readouterr().out


def test_another_seed_is_trained_alone_and_every_model_names_both(trained_data):
    data = trained_data
    before, epochs = weights(data), []
    both = TrainParams(**SHORT | {"seeds": [0, 1]})
    trained = train_all(data, ("net", BLOCK), both, lambda metrics, step, model: epochs.append(step))
    assert (trained.summary["models"], trained.spent["reused"], epochs) == (2, 1, [1, 2, 3, 4])
    assert list(trained.curves["seed"]) == [0] * 4 + [1] * 4
    assert all(torch.equal(before[key], value) for key, value in weights(data).items())
    assert not torch.equal(before["head.weight"], weights(data, "seed1")["head.weight"])
    for seed in (0, 1):
        facts = json.loads((data / f"models/net/seed{seed}/model.json").read_text())
        assert (facts["seed"], facts["train"]["seeds"]) == (seed, [0, 1])


def _parameters(data, monkeypatch):
    return BLOCK | {"dropout": 0.1}, SHORT


def _training(data, monkeypatch):
    return BLOCK, SHORT | {"learning_rate": 0.002}


def _values(data, monkeypatch):
    path = data / "features/landmarks.npy"
    np.save(path, np.load(path) + np.float32(1))
    return BLOCK, SHORT


def _code(data, monkeypatch):
    changed = data / "compact.py"
    changed.write_text("# another network")
    monkeypatch.setattr("inspect.getfile", lambda kind: str(changed))
    return BLOCK, SHORT


def _weights(data, monkeypatch):
    path = data / "models/net/seed0/model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    return BLOCK, SHORT


def _facts(data, monkeypatch):
    (data / "models/net/seed0/model.json").write_text("{")
    return BLOCK, SHORT


def _former_format(data, monkeypatch):
    path = data / "models/net/seed0/model.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in facts.items() if key not in ("run", "files")}))
    with pytest.raises(MmferError, match=r"model\.json: files: missing"):
        load_model(path.parent)
    return BLOCK, SHORT


@pytest.mark.parametrize("change", [_parameters, _training, _values, _code, _weights, _facts, _former_format])
def test_a_model_is_trained_again_where_anything_that_defines_it_changed(trained_data, monkeypatch, change):
    block, params = change(trained_data, monkeypatch)
    assert train_all(trained_data, ("net", block), TrainParams(**params), ignore).spent["reused"] == 0
    load_model(trained_data / "models/net/seed0")


def test_a_seed_that_waits_in_checkpoints_is_kept_when_seeds_are_added(data):
    def stop(metrics, step, model):
        if step == 2 and model == {"seed": 1}:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_all(data, ("net", BLOCK), TrainParams(**SHORT | {"seeds": [0, 1]}), stop)
    epochs = []
    three = TrainParams(**SHORT | {"seeds": [0, 1, 2]})
    train_all(data, ("net", BLOCK), three, lambda metrics, step, model: epochs.append(step))
    assert epochs == [1, 2, 3, 4, 3, 4, 1, 2, 3, 4]  # those of the one that waits are logged again
    assert not list((data.parent / ".checkpoints").iterdir())


def test_features_of_other_copies_are_refused(data):
    write_augmented(data / "raw", data / "clean", data / "augmented", AugmentParams(copies=2), 1)
    with pytest.raises(MmferError, match=r"features: not made of .*augmented as it is now"):
        train_all(data, ("net", BLOCK), TrainParams(**SHORT), ignore)


def test_a_leak_is_found_though_the_model_is_there(trained_data):
    data = trained_data
    path = data / "augmented/index.parquet"
    index = pd.read_parquet(path)
    index.loc[index["split"] == "train", "parent"] = index.loc[index["split"] == "test", "parent"].iloc[0]
    index.to_parquet(path, index=False)
    with pytest.raises(MmferError, match="leak: 1 parents"):
        train_all(data, ("net", BLOCK), TrainParams(**SHORT), ignore)


def test_it_learns_what_can_be_learned(data):
    trained = train_all(data, ("net", BLOCK), TrainParams(epochs=15, batch_size=16, device="cpu"), ignore)
    assert trained.curves["train_accuracy"].iloc[-1] > 0.9


def test_seeds_differ_and_repeat(made, data):
    train_all(data, ("net", BLOCK), TrainParams(**SHORT | {"seeds": [0, 1]}), ignore)
    first, second = weights(data, "seed0"), weights(data, "seed1")
    assert not torch.equal(first["head.weight"], second["head.weight"])
    assert torch.equal(first["head.weight"], weights(made[0])["head.weight"])


def test_the_temperature_and_the_sets_come_from_the_validation_faces_alone(made):
    data, _ = made
    model, faces, values = (
        load_model(data / "models/net/seed0"),
        *map(open_faceset, (data / "augmented", data / "features")),
    )
    rows = split_rows(faces, -1, "last").val
    stored = stored_rows(faces, values, rows)
    probabilities, labels = model.predict(stored), faces.index["label"].to_numpy()[rows]
    terms = fit_temperature(probabilities, labels)
    assert {name: model.facts["result"][name] for name in terms} == pytest.approx(terms, abs=1e-3)
    least = pytest.approx(least_probability(probabilities, labels), abs=1e-6)
    assert model.facts["result"]["sets"] == {"coverage": 0.9, "faces": len(rows), "least": least}


def test_every_row_is_seen_once_in_a_pass():
    train = np.arange(100, 150)
    rows = np.concatenate([epoch_samples(train, 1, epoch, 20, 0)[0] for epoch in range(5)])
    assert sorted(rows[:50]) == sorted(rows[50:]) == train.tolist()


def test_eq_10_is_the_binary_form_summed_over_classes():
    logits = torch.tensor([[1.0, 2.0, 0.5], [0.0, 0.0, 3.0]])
    targets = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    p = logits.softmax(1)
    expected = torch.nn.functional.binary_cross_entropy(p, targets, reduction="none").sum(1).mean()
    torch.testing.assert_close(loss(logits, targets, "binary"), expected)
    torch.testing.assert_close(loss(logits, targets, "softmax"), torch.nn.functional.cross_entropy(logits, targets))


def test_a_loss_that_is_not_finite_stops_with_advice(data):
    with pytest.raises(MmferError, match=r"lower train\.learning_rate"):
        _poison(data)


def _poison(data):
    features = open_faceset(data / "features")
    path = features.folder / "hog.npy"
    values = np.array(features.hog)
    values[:] = np.inf
    np.save(path, values)
    train_all(data, ("net", BLOCK), TrainParams(**SHORT), ignore)


def test_a_batch_larger_than_the_data_is_refused(data):
    with pytest.raises(MmferError, match="batch_size: 4096"):
        train_all(data, ("net", BLOCK), TrainParams(**SHORT | {"batch_size": 4096}), ignore)


def test_a_training_that_paused_goes_on_to_the_same_weights(made, data, capsys):
    whole, expected = made[1].curves, weights(made[0])
    with pytest.raises(MmferError, match=r"paused after epoch 1 of 4: the 0\.0001 minutes of train\.max_minutes"):
        train_all(data, ("net", BLOCK), TrainParams(**SHORT | {"max_minutes": 0.0001}), ignore)
    assert not (data / "models/net").exists()
    capsys.readouterr()
    curves = train_all(data, ("net", BLOCK), TrainParams(**SHORT | {"max_minutes": 60.0}), ignore).curves
    assert "resuming after epoch 1" in capsys.readouterr().out
    assert curves.equals(whole)
    assert all(torch.equal(expected[key], value) for key, value in weights(data).items())
    facts = json.loads((data / "models/net/seed0/model.json").read_text())
    assert facts["train"]["max_minutes"] == 60


def test_the_last_epoch_is_never_paused(data):
    train_all(data, ("net", BLOCK), TrainParams(**SHORT | {"epochs": 1, "max_minutes": 0.0001}), ignore)


def test_patience_ends_a_training(data):
    params = TrainParams(**SHORT | {"epochs": 60, "patience": 2, "learning_rate": 1e-9, "ema": 0.0})
    assert len(train_all(data, ("net", BLOCK), params, ignore).curves) < 60


def test_training_on_the_first_copies_is_training_where_no_others_were_made(made, data):
    train_all(data, ("net", BLOCK), TrainParams(**SHORT | {"copies": 2}), ignore)
    some = weights(data)
    assert not torch.equal(some["head.weight"], weights(made[0])["head.weight"])
    train_all(write_tiny(data.parent / "less", copies=2), ("net", BLOCK), TrainParams(**SHORT), ignore)
    assert all(torch.equal(some[key], value) for key, value in weights(data.parent / "less").items())


def test_copies_that_were_not_made_are_refused(data):
    with pytest.raises(MmferError, match=r"copies: 4 is more than the 3 of each face .+ augment\.copies$"):
        train_all(data, ("net", BLOCK), TrainParams(**SHORT | {"copies": 4}), ignore)


def test_what_is_the_same_on_every_run_is_apart_from_what_is_not(data):
    params = TrainParams(**SHORT | {"copies": 2, "seeds": [10, 2], "samples_per_epoch": 40})
    trained = train_all(data, ("net", BLOCK), params, ignore)
    index = pd.read_parquet(data / "augmented/index.parquet")
    rows = int(((index["split"] == "train") & index["trainable"] & (index["copy"] < 2)).sum())
    facts = json.loads((data / "models/net/seed10/model.json").read_text())
    # Two batches of 16 fit into the 40 rows of an epoch; four epochs; two seeds.
    result = {"epochs": 4, "chosen_epoch": 4, "samples_seen": 128, "rows": rows}
    assert facts["result"].items() >= result.items()
    counted = {"parameters": facts["result"]["parameters"], "models": 2, "samples_seen": 256, "rows": 2 * rows}
    assert trained.summary == {"epochs": 4, "chosen_epoch": 4} | counted
    assert set(facts["result"]) == {*result, "parameters", *TERMS, "sets"}
    execution = {"device": "cpu", "threads": torch.get_num_threads(), "dtype": "float32"}
    assert facts["execution"].items() >= execution.items()
    assert set(facts["execution"]) == {
        *(*execution, "minutes", "samples_per_second", "processor", "tflops", "matmul_share")
    }
    assert 0 < facts["execution"]["matmul_share"] < 1
    assert set(trained.spent) == {"minutes", "reused"}
    assert "minutes" not in trained.curves
    assert list(trained.curves["seed"]) == [10] * 4 + [2] * 4  # as params.yaml lists them, not as folders sort


def test_an_estimator_is_fitted_again_with_another_scikit_learn(data, monkeypatch):
    svm = ("svm", {"components": 5})
    lenet = ("lenet", {})
    for system in (svm, lenet):
        train_all(data, system, TrainParams(**SHORT), ignore)
    monkeypatch.setattr("mmfer.training.models.version", lambda name: "9" if name == "scikit-learn" else version(name))
    assert train_all(data, svm, TrainParams(**SHORT), ignore).spent["reused"] == 0
    assert train_all(data, lenet, TrainParams(**SHORT), ignore).spent["reused"] == 1


# Which are trained, on what, or opened; not how.
OTHERS = {"training/campaign.py", "training/sources.py", "training/bundles.py", "training/facts.py"}


def test_all_code_that_training_shares_is_part_of_a_run():
    package = Path(mmfer.__file__).parent
    modules = {f"training/{file.name}" for file in (package / "training").glob("[a-z]*.py")}
    assert modules - OTHERS <= set(SHARED_CODE)
    assert all((package / name).exists() for name in SHARED_CODE)


def test_an_estimator_is_fitted_once_for_all_seeds(data):
    params = TrainParams(**SHORT | {"seeds": [0, 1, 2]})
    assert train_all(data, ("svm", {"components": 5}), params, ignore).summary["models"] == 1


def test_what_an_estimator_cannot_be_fitted_to_is_one_line(data):
    with pytest.raises(MmferError, match=r"^Svm: 33 faces do not suit it: n_components=500 must be .*; change its par"):
        train_all(data, ("net", {"kind": "svm", "components": 500}), TrainParams(**SHORT), ignore)
