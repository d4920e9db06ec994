"""Layer shapes and parameter counts; every system predicts; a system is one file."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch.nn import functional

from mmfer import systems
from mmfer.config import EvaluateParams, TrainParams
from mmfer.errors import MmferError
from mmfer.systems import INPUTS, system_params
from mmfer.systems.fusion import Fusion
from mmfer.systems.layers import ChannelGate, SpatialGate
from mmfer.testing.evaluate import evaluate
from mmfer.training.train import train_all
from tests.tiny import write_tiny

COUNTS = [
    ({"branches": ["image"]}, 42_483_791),
    ({"branches": ["image"], "attention": "channel"}, 42_483_491),
    ({"branches": ["image"], "attention": "spatial"}, 42_472_563),
    ({"branches": ["image"], "attention": "none"}, 42_472_263),
    ({"branches": ["landmarks"]}, 290_183),
    ({"branches": ["hog"]}, 8_039_815),
    ({"branches": ["image", "landmarks"]}, 42_806_735),
    ({"branches": ["image", "hog"]}, 50_556_367),
    ({"branches": ["landmarks", "hog"]}, 8_362_759),
    ({}, 50_912_079),
    ({"attention": "none"}, 50_900_551),
    ({"fusion": "class_mean"}, 50_763_869),
    ({"fusion": "class_fc"}, 50_764_023),
]


@pytest.mark.parametrize(("block", "count"), COUNTS)
def test_our_network_has_the_parameters_of_the_papers_layers(block, count):
    system, params = system_params("ours", block)
    with torch.device("meta"):
        network = system.build(params, 7)
    assert sum(p.numel() for p in network.parameters()) == count


# Parameters with which a system can be fitted on a few samples, or is small enough; others have their defaults.
SMALL = {
    **{"svm": {"components": 8}, "gabor": {"components": 8}},
    "pramerdorfer_ensemble": {"members": {"vgg": 1, "inception": 1}},
}


@pytest.mark.parametrize("kind", systems.systems())
def test_every_system_predicts_probabilities(kind, rng):
    system, params = system_params(kind, SMALL.get(kind, {}))
    built = system.build(params, 3)
    assert set(built.inputs) <= set(INPUTS)
    n = 12
    inputs = {
        "image": rng.normal(size=(n, 1, 48, 48)).astype(np.float32),
        "landmarks": rng.normal(size=(n, 136)).astype(np.float32),
        "hog": rng.random((n, 900), dtype=np.float32),
    }
    if isinstance(built, torch.nn.Module):
        with torch.inference_mode():
            logits = built.eval()(**{name: torch.from_numpy(inputs[name]) for name in built.inputs})
        scores = logits.softmax(1).numpy()
    else:
        built.fit(inputs, np.arange(n) % 3)
        scores = built.predict_proba(inputs)
    assert scores.shape == (n, 3)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)


def two_branches(level):
    """A fusion of two branches that pass their inputs on: landmarks (N, 4) and hog (N, 6), three classes."""
    torch.manual_seed(0)
    branches = {"landmarks": torch.nn.Identity(), "hog": torch.nn.Identity()}
    return Fusion(branches, [4, 6], 3, level=level).eval(), {"landmarks": torch.randn(5, 4), "hog": torch.randn(5, 6)}


def test_class_level_mean_averages_the_probabilities_of_the_branches():
    network, inputs = two_branches("class_mean")
    first, second = network.fusion.heads
    mean = (first(inputs["landmarks"]).softmax(1) + second(inputs["hog"]).softmax(1)) / 2
    torch.testing.assert_close(network(**inputs), mean.log())


def test_class_level_fusion_classifies_the_scores_of_the_branches_again():
    network, inputs = two_branches("class_fc")
    first, second = network.fusion.heads
    scores = torch.cat([first(inputs["landmarks"]), second(inputs["hog"])], dim=1)
    torch.testing.assert_close(network(**inputs), scores @ network.head.weight.T + network.head.bias)


@pytest.mark.parametrize("level", ["feature", "class_fc", "class_mean"])
def test_every_fusion_knows_its_classes_and_trains_every_weight(level):
    network, inputs = two_branches(level)
    assert network.n_classes == 3
    functional.cross_entropy(network(**inputs), torch.tensor([0, 1, 2, 0, 1])).backward()
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())


def test_channel_gate_pools_both_ways_through_one_mlp():
    torch.manual_seed(0)
    gate, maps = ChannelGate(32, 16), torch.randn(2, 32, 5, 5)
    first, _, second = gate.mlp
    scores = [
        functional.linear(torch.relu(functional.linear(v, first.weight, first.bias)), second.weight, second.bias)
        for v in (functional.avg_pool2d(maps, 5).flatten(1), functional.max_pool2d(maps, 5).flatten(1))
    ]
    torch.testing.assert_close(gate(maps), maps * torch.sigmoid(sum(scores))[:, :, None, None])


def test_spatial_gate_sees_maximum_then_mean():
    torch.manual_seed(0)
    gate, maps = SpatialGate().eval(), torch.randn(2, 8, 6, 6)
    views = torch.stack([maps.max(1).values, maps.mean(1)], dim=1)
    mask = torch.sigmoid(functional.conv2d(views, gate.conv.weight, padding=3) / (1 + 1e-5) ** 0.5)
    torch.testing.assert_close(gate(maps), maps * mask)


def test_an_unknown_kind_or_key_is_named_with_a_suggestion():
    with pytest.raises(MmferError, match=r"systems\.mine\.kind.*did you mean ours"):
        system_params("mine", {"kind": "our"})
    with pytest.raises(MmferError, match=r"systems\.ours: chanels: unknown key; did you mean channels"):
        system_params("ours", {"chanels": [1]})


@pytest.mark.parametrize("kind", [3, None, [], {}])
def test_a_kind_that_is_no_text_is_named(kind):
    with pytest.raises(MmferError, match=r"systems\.mine\.kind\..*: not there; known: .*agrawal"):
        system_params("mine", {"kind": kind})


def test_the_system_of_the_tutorial_is_one_file_and_one_block(tmp_path, monkeypatch):
    page = Path("docs/tutorials/new-system.md").read_text()
    code, block = (re.search(f"```{kind}.*?\n(.*?)```", page, re.S)[1] for kind in ("python", "yaml"))
    assert sum(1 for line in code.splitlines() if line) == 10
    (tmp_path / "mlp.py").write_text(code)
    monkeypatch.setattr(systems, "__path__", [*systems.__path__, str(tmp_path)])
    monkeypatch.setattr(systems, "_registry", dict(systems._registry))
    monkeypatch.chdir(tmp_path)
    data = write_tiny(tmp_path / "data")
    params = TrainParams(epochs=2, batch_size=16, device="cpu")
    train_all(data, ("mlp", yaml.safe_load(block)["mlp"]), params, lambda *_: None)
    result = evaluate(data, "mlp", EvaluateParams(runs=2, bootstrap=100))
    assert result.details["cost"]["parameters"] == 136 * 64 + 64 + 64 * 3 + 3
