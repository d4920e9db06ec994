"""Figures beside raters' votes, against SciPy and counts by hand."""

import numpy as np
import pytest
from scipy.stats import entropy

from mmfer.testing.votes import in_words, vote_figures

VOTES = np.array([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0], [0.4, 0.6, 0.0]], np.float32)


def test_divergence_and_entropy_are_scipys(rng):
    probabilities = rng.dirichlet(np.ones(3), size=3).astype(np.float32)
    figures = vote_figures(probabilities, VOTES)
    divergence = entropy(VOTES, probabilities, axis=1).mean()
    assert figures["kl"] == pytest.approx(divergence, abs=1e-4)
    assert figures["cross_entropy"] == pytest.approx(divergence + entropy(VOTES, axis=1).mean(), abs=1e-4)


def test_agreement_is_the_share_of_votes_for_the_predicted_class():
    figures = vote_figures(np.eye(3, dtype=np.float32)[[1, 0, 0]] * 0.9 + 0.1 / 3, VOTES)
    assert figures["agreement"] == pytest.approx((0.3 + 1.0 + 0.4) / 3, abs=1e-4)
    assert figures["agreement_most"] == pytest.approx((0.5 + 1.0 + 0.6) / 3, abs=1e-4)


def test_the_votes_themselves_have_no_divergence_and_the_most_agreement():
    figures = vote_figures(VOTES, VOTES)
    assert figures["kl"] == 0
    assert figures["agreement"] == figures["agreement_most"]


def test_a_probability_that_underflows_leaves_the_mean_finite():
    figures = vote_figures(np.array([[0.0, 1.0]], np.float32), np.array([[1.0, 0.0]], np.float32))
    assert figures["kl"] == pytest.approx(-np.log(1e-12), abs=1e-3)


def test_the_terminal_gets_all_four_in_one_line():
    line = in_words({"cross_entropy": 0.9123, "kl": 0.25, "agreement": 0.712, "agreement_most": 0.84})
    assert line.endswith("cross entropy 0.912, KL divergence 0.250, expected agreement 71.2% (at most 84.0%)")
