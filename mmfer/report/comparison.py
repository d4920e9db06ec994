"""Systems against each other on the same test faces: paired tests, and the one sentence that each of them supports.

With three or more trainings of each network a test is over trainings and people together (see
mmfer.testing.statistics.compare_trainings) and speaks of systems. With fewer it can only speak of these networks:
another training of the same system is another network, and its seed alone can make a difference significant. A system
without a random start is the same in every training. A sentence claims a difference only where the test, corrected by
Holm for the number of comparisons, supports it at 5 %.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmfer.testing.statistics import compare_trainings, holm, mcnemar_exact, sign_flip_exact

LEVEL = 0.05
ENOUGH_SEEDS = 3  # trainings of a network from which their variance is estimated
HARDER = ["mouth hidden", "eyes hidden", "mouth and eyes hidden", "high brightness", "low brightness"]  # paper, fig. 7
COLUMNS = ["system", "difference", "low", "high", "p", "reference_only", "system_only", "over_seeds"]


@dataclass(frozen=True)
class Answers:
    """Which images one system gets right, bool."""

    averaged: np.ndarray  # (images,), the mean of the runs of the first training
    trainings: np.ndarray  # (seeds, images), every training, plain images
    random: bool  # whether another seed gives another model

    @property
    def enough(self) -> bool:
        """Whether what holds for these trainings can be said of the system."""
        return not self.random or len(self.trainings) >= ENOUGH_SEEDS


def paired_tests(answers: dict[str, Answers], reference: str, people: np.ndarray | None = None) -> pd.DataFrame:
    """The reference against each other system: a row each, p values corrected by Holm.

    `people` (images,): who is on an image, None where images are independent. Columns: system; difference (accuracy of
    the reference minus the system's, a share) with low and high (95 %, not corrected), p; reference_only and
    system_only (images that just one of them gets right); over_seeds (whether the row speaks of systems).

    Over trainings the images are plain. Of single networks the runs averaged count, the test is McNemar's exact one, or
    where people are known its form that flips all images of a person at once.
    """
    others = {name: given for name, given in answers.items() if name != reference}
    return _corrected([_row(name, answers[reference], given, people) for name, given in others.items()])


def hidden_tests(
    answers: Callable[[str, str], Answers],
    names: list[str],
    reference: str,
    people: Callable[[str], np.ndarray | None] = lambda condition: None,
) -> pd.DataFrame:
    """Paired tests of the reference against `names` under each of the paper's conditions, corrected over all of them.

    answers(system, condition), people(condition): as `paired_tests` takes them. Column system: "vgg (eyes hidden)".
    """
    rows = [
        _row(f"{name} ({condition})", answers(reference, condition), answers(name, condition), people(condition))
        for condition in HARDER
        for name in names
        if name != reference
    ]
    return _corrected(rows)


def _row(name: str, ours: Answers, theirs: Answers, people: np.ndarray | None) -> tuple:
    a, b = ours.averaged, theirs.averaged
    counts = int((a & ~b).sum()), int((b & ~a).sum())
    if ours.enough and theirs.enough and (ours.random or theirs.random):
        found = compare_trainings(ours.trainings, theirs.trainings, people)
        return name, found.difference, found.low, found.high, found.p, *counts, True
    found = compare_trainings(a[None], b[None], people)
    p = mcnemar_exact(a, b) if people is None else sign_flip_exact(a, b, people)
    return name, found.difference, found.low, found.high, p, *counts, not (ours.random or theirs.random)


def _corrected(rows: list[tuple]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=COLUMNS).astype({"over_seeds": bool})
    return table.assign(p=holm(table["p"].to_numpy()))


def sentence(row: pd.Series, reference: str) -> str:
    """What one row of `paired_tests` supports."""
    system = row["system"]
    scope = "" if row["over_seeds"] else " (these networks: too few trainings to speak of the systems)"
    if row["p"] >= LEVEL:
        return f"no difference shown between {reference} and {system}{scope}"
    better, worse = (reference, system) if row["difference"] > 0 else (system, reference)
    return f"{better} is more often right than {worse}{scope}"
