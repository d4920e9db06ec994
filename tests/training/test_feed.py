"""Stored and online copies feed the same training; one compiled step serves all seeds."""

import functools

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from mmfer.config import AugmentParams, ExtractParams, HideParams, TrainParams
from mmfer.data.faceset import open_faceset
from mmfer.errors import MmferError
from mmfer.face.augment import write_augmented
from mmfer.face.extract import write_features
from mmfer.face.hide import write_hidden
from mmfer.training import feed as feeds
from mmfer.training import loop
from mmfer.training.feed import open_feed
from mmfer.training.loop import epoch_samples
from mmfer.training.train import train_all
from tests.tiny import write_tiny

BLOCK = {"kind": "compact", "channels": [8, 16], "blocks": 1, "landmarks_hidden": [16], "hog_hidden": [16]}
# 33 faces with three copies each are 99 samples, of which six batches of 16 are an epoch.
PARAMS = {"batch_size": 16, "device": "cpu", "precision": "float32", "mixup": 0.2, "ema": 0.9}


def make(data, mode, copies=3, hidden=0.0, **extract):
    """Augmented and features of a tiny data set, copies stored or not."""
    augment = AugmentParams(mode=mode, copies=copies, hidden=hidden)
    write_augmented(data / "raw", data / "clean", data / "augmented", augment, 1)
    write_features(data / "augmented", data / "clean", data / "features", ExtractParams(**extract), 1)
    return data


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_tiny(tmp_path / "data")


def feed_of(data, inputs=("image", "landmarks", "hog", "visible")):
    return open_feed(open_faceset(data / "augmented"), open_faceset(data / "features"), inputs)


def train(data, mode, **params):
    make(data, mode)
    trained = train_all(data, ("net", BLOCK), TrainParams(**PARAMS | params), lambda *_: None)
    return trained, load_file(data / "models/net/seed0/model.safetensors")


def test_a_pass_of_online_copies_trains_the_same_weights_as_stored_ones(data):
    stored, expected = train(data, "stored", epochs=1)
    online, weights = train(data, "online", epochs=1)
    assert all(torch.equal(expected[name], value) for name, value in weights.items())
    assert online.curves.equals(stored.curves)
    assert online.summary == stored.summary  # rows too: a pass is as long


def test_online_copies_of_hidden_faces_are_the_stored_ones(data):
    write_hidden(data / "raw", data / "clean", data / "hidden", HideParams(variants=2), 1)
    stored = feed_of(make(data, "stored", copies=6, hidden=0.5))
    index = open_faceset(data / "augmented").index
    online = feed_of(make(data, "online", copies=6, hidden=0.5))
    rows = np.flatnonzero(index["trainable"])
    assert (index["variant"][rows] >= 0).sum() > 50
    parents = open_faceset(data / "augmented").index["parent"].to_numpy()
    faces = torch.from_numpy(np.searchsorted(parents, index["parent"].to_numpy()[rows]))
    made = online.samples(faces, torch.from_numpy(index["copy"].to_numpy(np.int64)[rows]))
    expected = stored.fetch(torch.from_numpy(rows))
    assert all(torch.equal(made[name], values) for name, values in expected.items())
    assert len(feeds.all_arrays(online)) == 5 + 4 + 4  # a run's hash reads the variants too


def test_the_second_pass_sees_other_copies(data):
    _, stored = train(data, "stored", epochs=3)
    _, online = train(data, "online", epochs=3)
    assert not torch.equal(stored["head.weight"], online["head.weight"])


def test_online_no_copy_is_stored_and_every_pass_has_each_face_as_often(data):
    faces = open_faceset(make(data, "online") / "augmented")
    assert (faces.index["copy"] == 0).all()
    assert not faces.index["parent"].duplicated().any()
    train = np.flatnonzero(faces.index["trainable"])
    rows, copies = epoch_samples(train, 3, 1, 3 * len(train), 0)
    assert (np.bincount(rows)[train] == 3).all()
    assert sorted(set(copies)) == [0, 4, 5]  # the plain face, and two that were not seen before


def test_samples_are_the_copies_asked_for_whatever_else_is_in_the_batch(data):
    feed = feed_of(make(data, "online"))
    rows, copies = torch.tensor([3, 0, 7, 3]), torch.tensor([1, 1, 40, 2])
    together = feed.samples(rows, copies)
    alone = feed.samples(rows[2:3], copies[2:3])
    for name, values in together.items():
        assert torch.equal(values[2:3], alone[name]), name
    assert not torch.equal(together["images"][0], together["images"][3])
    assert together["labels"].tolist() == feed.arrays["labels"][rows].tolist()


def test_a_feed_holds_what_the_system_reads_and_labels(data):
    feed = feed_of(make(data, "online"), ("landmarks",))
    assert set(feed.samples(torch.arange(3), torch.arange(3))) == {"landmarks", "labels"}


@pytest.mark.parametrize("mode", ["stored", "online"])
def test_votes_that_are_asked_for_are_those_of_the_row(data, mode, rng):
    faces = open_faceset(make(data, mode) / "augmented")
    votes = rng.dirichlet(np.ones(3), size=len(faces)).astype(np.float32)
    columns = {f"votes_{name}": votes[:, label] for label, name in enumerate(faces.classes)}
    faces.index.assign(**columns).to_parquet(faces.folder / "index.parquet", index=False)
    feed = open_feed(open_faceset(faces.folder), open_faceset(data / "features"), ("landmarks",), "votes")
    rows = torch.tensor([3, 0, 7])
    samples = feed.samples(rows, torch.tensor([1, 0, 2]))
    assert samples["votes"].tolist() == votes[rows].tolist()
    assert set(samples) == {"landmarks", "labels", "votes"}


def test_votes_of_a_data_set_that_has_none_are_refused(data):
    with pytest.raises(
        MmferError, match=r"train\.labels: votes: tiny has none; take label, or a source of kind ferplus"
    ):
        train(data, "stored", epochs=1, labels="votes")
    assert not (data / "models").exists()


def test_copies_of_the_trainings_own_are_refused_where_each_pass_draws_others(data):
    with pytest.raises(MmferError, match=r"train\.copies: 2 would be ignored: augment\.mode is online"):
        train(data, "online", epochs=1, copies=2)


def on_device(feed, monkeypatch, free):
    """The feed as if it were for a GPU that has so many bytes free; the tensors stay here."""
    monkeypatch.setattr(feeds, "_free_memory", lambda device: free)
    monkeypatch.setattr(feeds, "_there", lambda arrays, device: arrays)
    return feed.on("meta")


def test_data_lie_in_the_memory_of_a_gpu_where_there_is_room_and_batches_are_sent_where_not(data, monkeypatch, capsys):
    feed = feed_of(make(data, "stored"))
    size = sum(array.nbytes for array in feed.arrays.values())
    assert on_device(feed, monkeypatch, 2 * size).resident
    assert capsys.readouterr().out == ""
    assert not on_device(feed, monkeypatch, size).resident
    assert "batches are sent to meta" in capsys.readouterr().out


def test_landmarks_cannot_be_predicted_on_a_gpu(data):
    path = make(data, "online") / "features/faceset.json"
    path.write_text(path.read_text().replace('"transform"', '"predict"'))
    feed = feed_of(data)
    with pytest.raises(MmferError, match=r"extract\.landmarks: predict needs dlib"):
        feed.on("meta")


def test_one_compiled_step_serves_all_seeds(data, monkeypatch):
    compile_, counters = functools.partial(torch.compile, backend="eager"), torch._dynamo.utils.counters
    monkeypatch.setattr(torch, "compile", compile_)
    loop._objective.cache_clear()
    torch._dynamo.reset()
    counters.clear()
    _, compiled = train(data, "stored", epochs=1, seeds=[0, 1, 2], compile=True)
    loop._objective.cache_clear()
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]
    _, plain = train(data, "stored", epochs=1)
    torch.testing.assert_close(compiled, plain)


def test_each_system_of_a_long_list_is_compiled(data, monkeypatch):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    loop._objective.cache_clear()
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    make(data, "stored")
    for width in range(8, 20):
        train_all(data, ("net", BLOCK | {"hog_hidden": [width]}), TrainParams(**PARAMS, epochs=1, compile=True), print)
    loop._objective.cache_clear()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 12


def test_the_curves_of_a_training_that_went_elsewhere_are_logged(data, tmp_path):
    train(data, "stored", epochs=2)
    (model,) = (data / "models/net").iterdir()
    facts = pd.read_json(model / "model.json", typ="series")
    (tmp_path / ".checkpoints").mkdir(exist_ok=True)
    model.rename(tmp_path / ".checkpoints" / facts["run"])
    seen = []
    params = TrainParams(**PARAMS, epochs=2)
    trained = train_all(data, ("net", BLOCK), params, lambda metrics, step, of: seen.append((step, set(metrics))))
    assert [step for step, _ in seen] == [1, 2]
    assert {"train/loss", "val/accuracy"} <= seen[0][1]
    assert trained.spent["reused"] == 1
