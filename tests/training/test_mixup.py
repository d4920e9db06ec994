"""Targets: smoothed labels, and samples mixed with their labels."""

import numpy as np
import pytest
import torch
from torch import nn

from mmfer.training.mixup import draw_mixes, mix, smooth_targets


def test_smoothed_labels_are_those_of_torch(rng):
    logits, labels = torch.from_numpy(rng.normal(size=(6, 4))), torch.arange(6) % 4
    expected = nn.functional.cross_entropy(logits, labels, label_smoothing=0.3)
    torch.testing.assert_close(nn.functional.cross_entropy(logits, smooth_targets(labels, 4, 0.3).double()), expected)


def test_votes_are_targets_as_they_are_and_are_smoothed_as_labels_are(rng):
    votes = torch.from_numpy(rng.dirichlet(np.ones(4), size=6)).float()
    assert torch.equal(smooth_targets(votes, 4, 0.0), votes)
    torch.testing.assert_close(smooth_targets(votes, 4, 0.3), 0.7 * votes + 0.3 / 4)


@pytest.mark.parametrize("by", ["batch", "sample"])
def test_samples_and_labels_are_mixed_in_one_proportion_the_own_share_larger(rng, by):
    same = torch.eye(16)
    partners, shares = draw_mixes(rng, 1.0, 3, 16, by)
    inputs, targets = mix({"image": same.clone()}, same.clone(), partners[1], shares[1])
    torch.testing.assert_close(inputs["image"], targets)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(16))
    own = targets.diagonal()
    assert own.min() >= 0.5
    assert 0.5 < own.median() < 1  # some sample is mixed with another


def test_the_share_is_drawn_from_a_beta_distribution():
    partners, shares = draw_mixes(np.random.default_rng(0), 0.4, 4000, 2)
    draws = np.random.default_rng(1).beta(0.4, 0.4, 100_000)
    assert abs(shares.mean() - np.minimum(draws, 1 - draws).mean()) < 0.01
    assert shares.max() <= 0.5
    assert abs((partners[:, 0] == 0).float().mean() - 0.5) < 0.05  # half of the time a sample is mixed with itself
    assert (partners.sort(dim=1).values == torch.arange(2)).all()


def test_each_sample_may_have_a_share_of_its_own(rng):
    partners, shares = draw_mixes(np.random.default_rng(0), 0.4, 1000, 4, "sample")
    draws = np.random.default_rng(1).beta(0.4, 0.4, 100_000)
    assert abs(shares.mean() - np.minimum(draws, 1 - draws).mean()) < 0.01
    assert shares.max() <= 0.5
    image, targets = torch.from_numpy(rng.normal(size=(4, 1, 5, 5))), torch.eye(4).double()
    inputs, mixed = mix({"image": image}, targets, partners[0], shares[0].double())
    for own, (other, share) in enumerate(zip(partners[0].tolist(), shares[0].tolist(), strict=True)):
        torch.testing.assert_close(inputs["image"][own], (1 - share) * image[own] + share * image[other])
        torch.testing.assert_close(mixed[own], (1 - share) * targets[own] + share * targets[other])


def test_the_draws_of_a_share_for_all_are_a_number_and_a_permutation_for_each_batch():
    """As they always were: trainings of old parameters stay the same to the bit."""
    partners, shares = draw_mixes(np.random.default_rng(3), 0.4, 2, 5)
    rng = np.random.default_rng(3)
    for step in range(2):
        share = rng.beta(0.4, 0.4)
        assert shares[step].item() == np.float32(min(share, 1 - share))
        assert partners[step].tolist() == rng.permutation(5).tolist()
