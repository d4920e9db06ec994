"""Predictions beside the votes of several raters: how near to their distribution, and how many would agree.

Of an image on which raters differ no class is right for all of them; these figures say what can be reached there.
"""

import numpy as np
from scipy.special import xlogy

LEAST = 1e-12  # probabilities count as at least this, so that one that underflows does not make the mean infinite


def vote_figures(probabilities: np.ndarray, votes: np.ndarray) -> dict[str, float]:
    """Probabilities and shares of votes (N, C) -> means over the images.

    cross_entropy     of the probabilities, in nats, the votes being the truth
    kl                how much of it is not in the votes themselves: the Kullback-Leibler divergence from the votes
    agreement         expected agreement: the chance that a vote, drawn at random, is for the class that is predicted
    agreement_most    the same for who always says the class of the most votes: no prediction of one class has more
    """
    votes = votes.astype(np.float64)
    cross_entropy = -xlogy(votes, np.maximum(probabilities, LEAST, dtype=np.float64)).sum(axis=1).mean()
    entropy = -xlogy(votes, votes).sum(axis=1).mean()
    agreement = votes[np.arange(len(votes)), probabilities.argmax(axis=1)].mean()
    figures = {"cross_entropy": cross_entropy, "kl": cross_entropy - entropy, "agreement": agreement}
    figures["agreement_most"] = votes.max(axis=1).mean()
    return {name: round(float(value), 4) for name, value in figures.items()}


def in_words(figures: dict[str, float]) -> str:
    """The same as a line for the terminal."""
    return (
        f"raters' votes, whole test set, runs averaged: cross entropy {figures['cross_entropy']:.3f}, KL divergence "
        f"{figures['kl']:.3f}, expected agreement {figures['agreement']:.1%} (at most {figures['agreement_most']:.1%})"
    )
