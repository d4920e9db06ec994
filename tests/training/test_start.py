"""Starting from a trained network: its weights, but for the answers where classes differ; which may be started from."""

import json
import shutil

import pytest
import torch

from mmfer.config import TrainParams
from mmfer.errors import MmferError
from mmfer.training.facts import read_facts
from mmfer.training.models import build, load_model
from mmfer.training.start import find_start, start_from
from mmfer.training.train import train_all
from tests.training.small import BLOCK, SHORT, of

SLOW = SHORT | {"learning_rate": 1e-12}  # which no weight is moved by


def model_of(folder, name="net", seed=0):
    return folder / f"split/models/{name}/seed{seed}"


def test_a_training_goes_on_from_the_weights_that_it_starts_from(folded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, first = shutil.copytree(folded / "split", tmp_path / "data"), model_of(folded)
    train_all(data, ("further", BLOCK), TrainParams(**SLOW, start=str(first.parent)), lambda *_: None)
    trained, further = (
        dict(load_model(model).system.named_parameters()) for model in (first, data / "models/further/seed0")
    )
    torch.testing.assert_close(further, trained, rtol=0, atol=1e-6)
    facts = read_facts(data / "models/further/seed0")
    assert facts["started_from"] == read_facts(first)["files"]
    assert facts["samples_before"] == read_facts(first)["result"]["samples_seen"] > 0
    again = TrainParams(**SLOW, start=str(first))  # the same model, named otherwise
    assert train_all(data, ("further", BLOCK), again, lambda *_: None).spent["reused"] == 1
    twice = TrainParams(**SLOW, start=str(shutil.copytree(data / "models/further/seed0", tmp_path / "second")))
    train_all(data, ("further", BLOCK), twice, lambda *_: None)
    seen = facts["result"]["samples_seen"]
    assert read_facts(data / "models/further/seed0")["samples_before"] == facts["samples_before"] + seen
    model = tmp_path / "second/model.json"
    model.write_text(json.dumps(json.loads(model.read_text()) | {"dataset": "another"}))
    train_all(data, ("further", BLOCK), twice, lambda *_: None)
    assert "samples_before" not in read_facts(data / "models/further/seed0")  # none of these faces
    assert train_all(data, ("further", BLOCK), TrainParams(**SLOW), lambda *_: None).spent["reused"] == 0
    assert "samples_before" not in read_facts(data / "models/further/seed0")


def test_each_fold_and_seed_starts_from_its_own(folded):
    models = folded / "data/models/net"
    for fold in (0, 1):
        assert find_start(str(models), of(folded / "data"), fold, 0) == models / f"fold{fold}-seed0"
    with pytest.raises(MmferError, match="fold0-seed3: not found; train it first"):
        find_start(str(models), of(folded / "data"), 0, 3)


def test_what_may_have_seen_held_out_faces_is_refused_and_another_data_set_is_not(folded, tmp_path):
    other = folded / "data/models/net/fold1-seed0"
    with pytest.raises(MmferError, match="its fold is 1, not 0: it may have seen faces"):
        find_start(str(other), of(folded / "data"), 0, 0)
    model = shutil.copytree(other, tmp_path / "model")
    facts = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps(facts | {"dataset": "another"}))
    assert find_start(str(model), of(folded / "data"), 0, 0) == model


def test_with_other_classes_only_the_answers_start_at_random(folded, capsys):
    facts = read_facts(model_of(folded))
    for classes in (list("abcde"), list("abcdefgh"), facts["classes"][::-1]):  # eight, as a hidden layer has units
        torch.manual_seed(1)
        network = build(facts | {"classes": classes})
        head = network.head.weight.clone()
        start_from(network, facts | {"classes": classes}, model_of(folded))
        trained = load_model(model_of(folded)).system.state_dict()
        assert torch.equal(network.head.weight, head)
        same = {name for name, value in network.state_dict().items() if torch.equal(value, trained.get(name, head))}
        assert network.state_dict().keys() - same == {"head.weight", "head.bias"}
        assert "other classes: head.bias, head.weight start at random" in capsys.readouterr().out


@pytest.mark.parametrize("change", [{"landmarks_hidden": [9]}, {"landmarks_hidden": [8, 8]}, {"branches": ["hog"]}])
def test_another_network_is_refused(folded, change):
    facts = read_facts(model_of(folded)) | {"params": BLOCK | change}
    with pytest.raises(MmferError, match=r"is another network than net: .* differs; give both the same params"):
        start_from(build(facts), facts, model_of(folded))


def test_an_estimator_is_no_start_and_has_none(folded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, svm = shutil.copytree(folded / "split", tmp_path / "data"), ("svm", {"kind": "svm", "components": 5})
    with pytest.raises(MmferError, match="svm is another network"):
        train_all(data, ("net", BLOCK), TrainParams(**SHORT, start=str(model_of(folded, "svm"))), lambda *_: None)
    train_all(data, svm, TrainParams(**SHORT, start=str(model_of(folded))), lambda *_: None)
