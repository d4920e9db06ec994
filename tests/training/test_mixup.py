"""Targets: smoothed labels, and samples mixed with their labels."""

import numpy as np
import torch
from torch import nn

from mmfer.training.mixup import mix, smooth_targets


def test_smoothed_labels_are_those_of_torch(rng):
    logits, labels = torch.from_numpy(rng.normal(size=(6, 4))), torch.arange(6) % 4
    expected = nn.functional.cross_entropy(logits, labels, label_smoothing=0.3)
    torch.testing.assert_close(nn.functional.cross_entropy(logits, smooth_targets(labels, 4, 0.3).double()), expected)


def test_samples_and_labels_are_mixed_in_one_proportion_the_own_share_larger(rng):
    same = torch.eye(16)
    inputs, targets = mix({"image": same.clone()}, same.clone(), 1.0, rng)
    torch.testing.assert_close(inputs["image"], targets)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(16))
    own = targets.diagonal()
    assert own.min() >= 0.5
    assert 0.5 < own.median() < 1  # some sample is mixed with another


def test_the_share_is_drawn_from_a_beta_distribution():
    shares = []
    for seed in range(400):
        inputs, _ = mix({"x": torch.eye(2)}, torch.eye(2), 0.4, np.random.default_rng(seed))
        shares.append(inputs["x"].max().item())
    draws = np.random.default_rng(1).beta(0.4, 0.4, 100_000)
    mixed = [share for share in shares if share < 1]  # half of the time a sample is mixed with itself
    assert abs(np.mean(mixed) - np.maximum(draws, 1 - draws).mean()) < 0.03


def test_alpha_0_mixes_nothing(rng):
    inputs, targets = {"x": torch.eye(3)}, torch.eye(3)
    assert mix(inputs, targets, 0, rng) == (inputs, targets)
