"""Systems against each other on the same test faces: paired tests, and what they say about the paper's claims.

A sentence claims a difference only where McNemar's exact test, corrected by Holm for the number of comparisons,
supports it at 5 %.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from mmfer.statistics import holm, mcnemar_exact

LEVEL = 0.05
HARDER = ["mouth hidden", "eyes hidden", "mouth and eyes hidden", "high brightness", "low brightness"]  # paper, fig. 7


@dataclass(frozen=True)
class Verdict:
    """One claim of the paper and what these runs say: reproduced, not reproduced, or not decidable."""

    claim: str
    verdict: str
    reason: str


def correct(predictions: Path) -> np.ndarray:
    """Whether the averaged runs are right, bool (images,), of a predictions file that `evaluate` wrote."""
    with np.load(predictions) as stored:
        return stored["probabilities"][0].mean(axis=0).argmax(axis=1) == stored["labels"]


def paired_tests(right: dict[str, np.ndarray], reference: str) -> pd.DataFrame:
    """The reference against each other system, {name: bool (images,)}: a row each, p values corrected by Holm.

    Columns: system, reference_only and system_only (images that just one of them gets right), p.
    """
    ours, rows = right[reference], []
    for name, theirs in right.items():
        if name != reference:
            p = mcnemar_exact(ours, theirs)
            rows.append((name, int((ours & ~theirs).sum()), int((theirs & ~ours).sum()), p))
    table = pd.DataFrame(rows, columns=["system", "reference_only", "system_only", "p"])
    return table.assign(p=holm(table["p"].to_numpy()))


def sentence(row: pd.Series, reference: str) -> str:
    """What one row of `paired_tests` supports."""
    if row["p"] >= LEVEL:
        return f"no difference shown between {reference} and {row['system']}"
    better, worse = (
        (reference, row["system"]) if row["reference_only"] > row["system_only"] else (row["system"], reference)
    )
    return f"{better} is more often right than {worse}"


def verdict_of_tests(claim: str, tests: pd.DataFrame, reference: str, absent: Sequence[str] = ()) -> Verdict:
    """The reference beats every other system, is beaten by one, or neither is shown; `absent` systems were not run."""
    if tests.empty:
        return Verdict(claim, "not decidable", "no system to compare with was run")
    shown = tests["p"] < LEVEL
    wins = shown & (tests["reference_only"] > tests["system_only"])
    losses = shown & (tests["reference_only"] < tests["system_only"])
    names = ", ".join(tests["system"][losses])
    if losses.any():
        return Verdict(claim, "not reproduced", f"{names} more often right than {reference}")
    if wins.all() and absent:
        shown_for = ", ".join(tests["system"])
        return Verdict(claim, "not decidable", f"shown against {shown_for}; not run: {', '.join(absent)}")
    if wins.all():
        return Verdict(claim, "reproduced", f"{reference} more often right than {', '.join(tests['system'])}")
    rest = ", ".join(tests["system"][~wins])
    return Verdict(claim, "not decidable", f"no difference shown between {reference} and {rest}")


def verdict_of_accuracy(claimed: float, whole: dict[str, float], kept: dict[str, float]) -> Verdict:
    """The paper's overall accuracy, a share, against the intervals of the whole test set and of the faces found."""
    claim = f"overall accuracy of {100 * claimed:.2f} % on a test set that it filtered"
    shown = {
        name: f"{100 * part['accuracy']:.2f} % [{100 * part['accuracy_low']:.2f}, {100 * part['accuracy_high']:.2f}]"
        for name, part in (("whole", whole), ("kept", kept))
    }
    reason = f"whole test set {shown['whole']}, faces found {shown['kept']}"
    reached = max(whole["accuracy_high"], kept["accuracy_high"]) >= claimed
    return Verdict(claim, "reproduced" if reached else "not reproduced", reason)


def verdict_of_modalities(tests: pd.DataFrame, branches: dict[str, list[str]], reference: str) -> Verdict:
    """Three modalities against systems of the same kind with fewer; `branches` names those systems' modalities."""
    fewer = tests[tests["system"].isin([name for name, used in branches.items() if len(used) < 3])]
    claim = "three modalities are more accurate than one or two"
    if fewer.empty:
        return Verdict(claim, "not decidable", "no system with fewer modalities was run")
    run = {frozenset(used) for used in branches.values()}
    sets = [pick for size in (1, 2) for pick in combinations(branches[reference], size)]
    return verdict_of_tests(claim, fewer, reference, [" + ".join(pick) for pick in sets if frozenset(pick) not in run])


def hidden_tests(right: dict[str, pd.DataFrame], reference: str) -> pd.DataFrame:
    """Paired tests under each of the paper's conditions, corrected over all.

    right: {system: bool table, a row for each face, a column for each condition}.
    """
    tables = []
    for condition in HARDER:
        of_condition = {name: table[condition].to_numpy() for name, table in right.items()}
        ours = of_condition[reference]
        for name, theirs in of_condition.items():
            if name != reference:
                counts = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
                tables.append((f"{name} ({condition})", *counts, mcnemar_exact(ours, theirs)))
    table = pd.DataFrame(tables, columns=["system", "reference_only", "system_only", "p"])
    return table.assign(p=holm(table["p"].to_numpy()))


def verdict_of_speed(latency: dict[str, float], reference: str, absent: Sequence[str] = ()) -> Verdict:
    """The paper claims that its network is faster than those it compares; latency in milliseconds a face."""
    claim = "faster than the compared networks"
    others = {name: value for name, value in latency.items() if name != reference}
    if not others:
        return Verdict(claim, "not decidable", "no network to compare with was run")
    faster = [name for name, value in others.items() if value <= latency[reference]]
    if faster:
        return Verdict(claim, "not reproduced", f"{', '.join(faster)} took no longer than {reference} on one core here")
    least = f"{reference} took the least time on one core here"
    if absent:
        return Verdict(claim, "not decidable", f"{least}; not run: {', '.join(absent)}")
    return Verdict(claim, "reproduced", least)
