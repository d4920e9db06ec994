"""Learning from trained networks: the same as from votes that are their answers; which networks may teach."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from mmfer.config import TrainParams
from mmfer.data.splits import Rows
from mmfer.errors import MmferError
from mmfer.face.prepare import landmark_vector
from mmfer.training.feed import Feed
from mmfer.training.loop import fit_network, flops_of_sample, probe
from mmfer.training.mixup import draw_mixes
from mmfer.training.teachers import find_teachers
from mmfer.training.train import train_all
from tests.training.small import BATCH, BLOCK, CLASSES, SHORT, Line, N, of, train_params

ROWS = Rows(np.arange(16), np.arange(16, N), np.arange(0))


class Teacher(Line):
    """Another line, over another input."""

    inputs = ("hog",)

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.line = nn.Linear(4, CLASSES)

    def forward(self, hog):
        return self.line(hog)


@pytest.fixture
def teachers():
    return [Teacher(seed).eval().requires_grad_(False) for seed in (1, 2)]


@pytest.fixture
def seen(source, rng):
    """Landmarks, labels and HOG of N faces."""
    return source | {"hog": rng.normal(size=(N, 4)).astype(np.float16)}


def fit(arrays, folder, taught=(), **changes):
    return fit_network(
        Line(), Feed(arrays), ROWS, train_params(**changes), 0, folder / "c.pt", lambda *_: None, math.inf, taught
    )


def test_answers_of_teachers_are_learnt_as_votes_would_be(seen, teachers, tmp_path):
    hog = torch.from_numpy(seen["hog"]).float()
    soft = sum(teacher.line(hog).softmax(1) for teacher in teachers) / 2
    hard = nn.functional.one_hot(torch.from_numpy(seen["labels"]), CLASSES)
    votes = (0.4 * hard + 0.6 * soft).numpy()
    changes = {"epochs": 2, "learning_rate": 0.05}
    wanted, _, _ = fit(seen | {"votes": votes}, tmp_path, labels="votes", **changes)
    (tmp_path / "c.pt").unlink()
    found, _, history = fit(seen, tmp_path, teachers, teaching=0.6, **changes)
    torch.testing.assert_close(found.state_dict(), wanted.state_dict(), rtol=1e-5, atol=1e-6)
    assert history["train_accuracy"].between(0, 1).all()


def test_teachers_see_samples_as_they_are_mixed(seen, teachers, tmp_path):
    """One step by hand, with a share of 1: the labels say nothing."""
    params = train_params(epochs=1, samples_per_epoch=BATCH, learning_rate=0.05, mixup=0.4, teaching=1)
    faces = Rows(np.arange(BATCH), ROWS.val, ROWS.test)
    found, _, _ = fit_network(
        Line(), Feed(seen), faces, params, 0, tmp_path / "c.pt", lambda *_: None, math.inf, teachers[:1]
    )
    drawn = np.random.default_rng([0, 2, 0])
    drawn.integers(2**62)
    partner, share = (part[0] for part in draw_mixes(drawn, 0.4, 1, BATCH))
    order = np.random.default_rng([0, 1, 0]).permutation(BATCH)
    landmarks, hog = (torch.from_numpy(seen[name][order]) for name in ("landmarks", "hog"))
    mixed = [values.lerp(values[partner], share) for values in (landmark_vector(landmarks), hog.float())]
    network = Line()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.05, eps=1e-7, weight_decay=0.0)
    nn.functional.cross_entropy(network(mixed[0]), teachers[0](mixed[1]).softmax(1)).backward()
    optimizer.step()
    torch.testing.assert_close(found.state_dict(), network.state_dict(), rtol=1e-5, atol=1e-6)


def test_teachers_are_counted_among_the_operations_and_stay_as_they_are(seen, teachers):
    before = [teacher.line.weight.clone() for teacher in teachers]
    assert probe(Line(), Feed(seen), ROWS, train_params(), 0.01, teachers) > 0
    alone, taught = (flops_of_sample(Line(), Feed(seen), ROWS.train, some) for some in ([], teachers))
    assert taught - alone == 2 * 2 * 4 * CLASSES  # a multiply-add is two
    assert all(torch.equal(teacher.line.weight, old) for teacher, old in zip(teachers, before, strict=True))


def test_the_model_of_the_same_fold_teaches(folded):
    models = folded / "data/models/net"
    for fold in (0, 1):
        assert find_teachers([str(models)], of(folded / "data"), fold) == [models / f"fold{fold}-seed0"]


def held_out(folded, tmp_path):
    return folded / "data/models/net/fold1-seed0", "its fold is 1, not 0"


def another_split(folded, tmp_path):
    model = shutil.copytree(folded / "data/models/net/fold0-seed0", tmp_path / "model")
    facts = json.loads((model / "model.json").read_text())
    facts["made_by"]["from"]["from"]["from"]["params"]["seed"] = 7
    (model / "model.json").write_text(json.dumps(facts))
    return model, "its source.seed is 7, not 0"


def no_network(folded, tmp_path):
    model = shutil.copytree(folded / "split/models/svm/seed0", tmp_path / "svm")
    facts = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps(facts | {"fold": 0}))
    return model, "is no network"


def nothing(folded, tmp_path):
    return tmp_path / "nowhere", "no model of fold 0 there; train it first"


@pytest.mark.parametrize("case", [held_out, another_split, no_network, nothing])
def test_what_may_not_teach_is_refused(folded, tmp_path, case):
    path, reason = case(folded, tmp_path)
    with pytest.raises(MmferError, match=reason):
        find_teachers([str(path)], of(folded / "data"), 0)


def test_a_run_is_defined_by_who_taught_it_wherever_that_lies(folded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = shutil.copytree(folded / "split", tmp_path / "data")
    shutil.copytree(data / "models/net", tmp_path / "elsewhere")
    reused = []
    for path in ("data/models/net", "elsewhere/seed0", None):
        params = TrainParams(**SHORT | ({"teachers": [path]} if path else {}))
        reused.append(train_all(data, ("student", BLOCK), params, lambda *_: None).spent["reused"])
    assert reused == [0, 1, 0]
    params = TrainParams(**SHORT | {"teachers": ["elsewhere"]})
    train_all(data, ("student", BLOCK), params, lambda *_: None)
    facts, teacher = (json.loads((data / f"models/{name}/seed0/model.json").read_text()) for name in ("student", "net"))
    assert facts["taught_by"] == [teacher["files"]]
    train_all(data, ("svm", {"kind": "svm", "components": 5}), params, lambda *_: None)  # an estimator learns alone
