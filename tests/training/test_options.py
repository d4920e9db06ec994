"""Every option of the train block with every kind of network, at toy size; options that cannot be are refused."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from mmfer import systems
from mmfer.config import TrainParams
from mmfer.data.splits import Rows
from mmfer.errors import MmferError
from mmfer.systems import system_params
from mmfer.training.feed import Feed
from mmfer.training.loop import fit_network
from mmfer.training.train import train_all
from tests.tiny import write_tiny

SMALL = {  # kinds whose defaults are large
    "ours": {"channels": [4, 8], "image_hidden": [8], "landmarks_hidden": [8], "hog_hidden": [8]},
    "compact": {"channels": [8, 8], "blocks": 1, "landmarks_hidden": [8], "hog_hidden": [8]},
    "se_fusion": {
        "channels": [8, 8],
        "blocks": [1, 1],
        "squeezed": 1,
        "landmarks_hidden": [8],
        "hog_hidden": [8],
        "heads": 0.2,
        "gated": True,
    },
    "pramerdorfer_ensemble": {"members": {"vgg": 2}},
    "vgg": {"depth": "vgg13"},
    "agrawal": {"filters": [4, 4]},
}
NETWORKS = sorted(kind for kind, system in systems.systems().items() if issubclass(system.build, nn.Module))
PLAIN = {"epochs": 1, "batch_size": 2, "samples_per_epoch": 4, "device": "cpu", "precision": "float32"}
OPTIONS = {  # a value other than the default of every option that changes a training
    **{"learning_rate": 0.01, "beta1": 0.5, "beta2": 0.9, "epsilon": 1e-3, "weight_decay": 0.1, "schedule": "cosine"},
    **{"label_smoothing": 0.1, "mixup": 0.4, "ema": 0.9, "select": "best", "patience": 1, "precision": "bfloat16"},
    **{"labels": "votes", "optimizer": "sgd", "warmup": 0.5, "mixup_by": "sample", "mixup_until": 0.5},
}
NEEDED = {"mixup_by": {"mixup": 0.4}, "mixup_until": {"mixup": 0.4}}  # without which an option changes nothing
HOW_MUCH = {"epochs", "batch_size", "samples_per_epoch", "copies", "max_minutes", "seeds", "device", "compile"}
TAUGHT = {"teachers", "teaching", "start"}  # tests/training/test_teachers.py, test_start.py


@pytest.fixture(scope="module")
def faces():
    """Stored arrays of ten faces of three classes and their votes, six to train on and four to validate."""
    rng = np.random.default_rng(0)
    images, landmarks = rng.integers(0, 256, (10, 48, 48), dtype=np.uint8), rng.uniform(5, 43, (10, 68, 2))
    hog = rng.random((10, 900), dtype=np.float32)
    source = {"images": images, "landmarks": landmarks.astype(np.float32), "hog": hog, "labels": np.arange(10) % 3}
    source["visible"] = rng.random((10, 5), dtype=np.float32)
    source["votes"] = np.eye(3, dtype=np.float32)[source["labels"]] * 0.7 + np.float32(0.1)
    return source, Rows(np.arange(6), np.arange(6, 10), np.arange(0))


def fit(kind, faces, folder, **options):
    """A network of some kind after two steps; its facts and history."""
    torch.manual_seed(0)
    system, params = system_params(kind, SMALL.get(kind, {}))
    network = system.build(params, 3)
    source = {name: array for name, array in faces[0].items() if name != "votes" or options.get("labels") == "votes"}
    return fit_network(
        network, Feed(source), faces[1], TrainParams(**PLAIN | options), 0, folder / "it.pt", lambda *_: None
    )


def numbers(network):
    """All weights and statistics of a network in one vector."""
    return torch.cat([value.flatten().float() for value in network.state_dict().values()])


def test_every_option_is_in_this_file():
    assert set(OPTIONS) | HOW_MUCH | TAUGHT | {"loss"} == set(TrainParams.model_fields)


@pytest.mark.parametrize("options", [{}, OPTIONS], ids=["none", "all"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_every_network_trains_with_every_option(kind, options, faces, tmp_path):
    network, found, history = fit(kind, faces, tmp_path, **options)
    assert numbers(network).isfinite().all()
    assert (found["result"]["samples_seen"], len(history)) == (4, 1)
    assert found["execution"]["dtype"] == options.get("precision", "float32")


@pytest.mark.parametrize("option", sorted(set(OPTIONS) - {"select", "patience"}))
def test_every_option_changes_the_weights(option, faces, tmp_path):
    short = {"epochs": 2, "epsilon": 1e-7} | NEEDED.get(option, {})
    plain, _, _ = fit("compact", faces, tmp_path / "plain", **short)
    changed, _, _ = fit("compact", faces, tmp_path / "changed", **short | {option: OPTIONS[option]})
    assert not torch.equal(numbers(plain), numbers(changed))


@pytest.fixture
def folds(tmp_path, monkeypatch):
    """A tiny data set in cross-validation, where no face validates unless an epoch is chosen."""
    monkeypatch.chdir(tmp_path)
    return write_tiny(tmp_path / "data", folds=3, copies=1)


LENET = ("lenet", {})
SHORT = {"epochs": 3, "batch_size": 8, "device": "cpu"}


def test_patience_without_validation_faces_is_refused(folds):
    with pytest.raises(MmferError, match=r"train\.patience: 1 needs validation faces, .+ null"):
        train_all(folds, LENET, TrainParams(**SHORT, patience=1), lambda *_: None)
    assert not (folds / "models").exists()


def test_the_best_epoch_is_refused_without_validation_faces(folds, tmp_path):
    data = write_tiny(tmp_path / "plain", copies=1)
    for name in ("augmented", "features"):
        index = pd.read_parquet(data / name / "index.parquet")
        index["split"] = index["split"].replace("val", "test")
        index.to_parquet(data / name / "index.parquet", index=False)
    with pytest.raises(MmferError, match=r"train\.select: best needs validation faces, .+ last"):
        train_all(data, LENET, TrainParams(**SHORT, select="best"), lambda *_: None)


@pytest.mark.parametrize("kind", ["tang", "pramerdorfer_ensemble", "se_fusion"])
def test_a_loss_that_a_system_would_not_use_is_refused(kind, folds):
    with pytest.raises(MmferError, match=rf"train\.loss: binary .+ {kind} brings its own"):
        train_all(folds, (kind, SMALL.get(kind, {})), TrainParams(**SHORT, loss="binary"), lambda *_: None)
