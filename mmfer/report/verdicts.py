"""What the runs of one study say about each claim of the paper: reproduced, not reproduced, or not decidable.

A verdict rests on tests that are corrected for their number, and is withheld where a system that the claim is about was
not run, or where a network saw less than one pass over its training copies: the paper trained for 500 of them, and two
networks in their first steps say little about which ends higher. What the tests show is told all the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from mmfer.report import comparison
from mmfer.report.comparison import LEVEL
from mmfer.report.paper import CLAIMS, SYSTEMS
from mmfer.report.results import Study

ENOUGH = 1.0  # passes over the training copies, below which a network counts as hardly trained


@dataclass(frozen=True)
class Verdict:
    """One claim of the paper, what these runs say of it, and why; `tested`: whether anything run bears on it."""

    claim: str
    verdict: str
    reason: str
    tested: bool = True

    def to_json(self) -> dict[str, str | bool]:
        """As a plain dictionary."""
        return asdict(self)


def verdicts(study: Study) -> list[Verdict]:
    """A verdict on each claim that the paper makes about data of this kind."""
    claims = [_accuracy(study)] if study.kind in CLAIMS else []
    return [*claims, _better(study), _modalities(study), _hidden(study), _faster(study)]


def _accuracy(study: Study) -> Verdict:
    claimed = CLAIMS[study.kind]["ours"]["overall"] / 100
    details = study.details[study.reference]
    parts = details["whole"]["averaged"], details["kept"]["averaged"]
    return of_accuracy(claimed, *parts, unfinished(study, [study.reference]))


def _better(study: Study) -> Verdict:
    """Against the systems of the paper's table of this data; on other data, against all that its tables have."""
    kinds = CLAIMS.get(study.kind, SYSTEMS)
    compared = study.of_kinds(kinds)
    doubts = not_run(study, kinds), unfinished(study, [study.reference, *compared])
    return of_tests("more accurate than the systems that it compares", _tests(study, compared), *doubts)


def _modalities(study: Study) -> Verdict:
    """Three modalities against systems that are the reference but for their branches and `withhold`.

    Where they saw as many samples, it does not matter whether epochs or minutes ended their training.
    """
    claim = "three modalities are more accurate than one or two"
    base = study.block(study.reference)
    if "branches" not in base:
        return Verdict(claim, "not decidable", f"{study.reference} has no modalities that could be left out", False)
    length = {"train.epochs", "train.max_minutes"}
    free = {name: length if study.samples(name) == study.samples(study.reference) else set() for name in study.kin()}
    alike = [name for name in study.kin() if study.changed(name).keys() <= {"branches", "withhold"} | free[name]]
    used = {name: study.block(name)["branches"] for name in alike}
    fewer = [name for name, branches in used.items() if len(branches) < 3]
    run = {frozenset(branches) for branches in used.values()}
    sets = [pick for size in (1, 2) for pick in combinations(base["branches"], size)]
    absent = [" + ".join(pick) for pick in sets if frozenset(pick) not in run]
    doubts = absent, unfinished(study, [study.reference, *fewer])
    return of_tests(claim, _tests(study, fewer), *doubts)


def _hidden(study: Study) -> Verdict:
    kinds = ["vgg", "resnet"]
    compared = [name for name in study.of_kinds(kinds) if name in study.faces]
    right = {name: by_condition(study.faces[name]) for name in (study.reference, *compared) if name in study.faces}
    rows = next(iter(right.values())).index.to_numpy() if right else np.array([], int)
    tests = comparison.hidden_tests(right, study.reference, study.people_of(rows))
    doubts = not_run(study, kinds), unfinished(study, [study.reference, *compared])
    return of_tests("more often right than VGG and ResNet when faces are hidden or badly lit", tests, *doubts)


def _faster(study: Study) -> Verdict:
    """Of the reference's kind the widest network is timed, the one that is nearest to the paper's."""
    kinds = CLAIMS.get(study.kind, SYSTEMS)
    costs = {name: part["cost"] for name, part in study.details.items() if study.is_network(name)}
    widest = max((name for name in study.kin() if name in costs), key=lambda n: costs[n]["parameters"], default="")
    names = [name for name in (widest, *study.of_kinds(kinds)) if name in costs]
    return of_speed({name: costs[name]["latency_ms"] for name in names}, widest, not_run(study, ["vgg", "resnet"]))


def _tests(study: Study, names: list[str]) -> pd.DataFrame:
    right = {name: study.right[name] for name in (study.reference, *names)}
    return comparison.paired_tests(right, study.reference, study.people_of(study.tested))


def by_condition(faces: pd.DataFrame) -> pd.DataFrame:
    """A system's faces.csv -> bool, a row for each face (its raw row), a column for each condition."""
    return faces.pivot_table(index="face", columns="condition", values="right") == 1


def not_run(study: Study, kinds: Iterable[str]) -> list[str]:
    """Systems of the paper's comparison of which none was run."""
    return [SYSTEMS[kind] for kind in kinds if kind != "ours" and not study.of_kinds([kind])]


def unfinished(study: Study, names: Iterable[str]) -> list[str]:
    """Networks that saw less than one pass over their training copies, those that saw as much together."""
    saw: dict[str, list[str]] = {}
    for name in names:
        if study.is_network(name) and study.passes(name) < ENOUGH:
            saw.setdefault(f"{study.passes(name):.2g}", []).append(name)
    return [f"{', '.join(few)} ({passes})" for passes, few in saw.items()]


def doubt(absent: Sequence[str], few: Sequence[str]) -> list[str]:
    """Why a claim cannot be decided; empty where it can."""
    reasons = [f"not run: {', '.join(absent)}"] if absent else []
    return reasons + ([f"less than one pass over the copies, of the paper's 500: {', '.join(few)}"] if few else [])


def of_tests(claim: str, tests: pd.DataFrame, absent: Sequence[str] = (), few: Sequence[str] = ()) -> Verdict:
    """The reference beats every other system, is beaten by one, or neither is shown.

    `tests` is as comparison.paired_tests makes it; `absent` systems were not run, `few` saw too little data.
    """
    if tests.empty:
        reasons = ["no system to compare with was run", *doubt(absent, ())]
        return Verdict(claim, "not decidable", "; ".join(reasons), tested=False)
    shown = tests["p"] < LEVEL
    wins = shown & (tests["reference_only"] > tests["system_only"])
    losses = shown & ~wins
    kinds = {"more often right than": wins, "less often right than": losses, "no difference shown to": ~shown}
    found = [f"{text} {', '.join(tests['system'][which])}" for text, which in kinds.items() if which.any()]
    doubts = doubt(absent, few)
    reason = "; ".join([*found, *doubts])
    if few or (doubts and not losses.any()):
        return Verdict(claim, "not decidable", reason)
    if losses.any():
        return Verdict(claim, "not reproduced", reason)
    return Verdict(claim, "reproduced" if wins.all() else "not decidable", reason)


def of_accuracy(claimed: float, whole: dict[str, float], kept: dict[str, float], few: Sequence[str] = ()) -> Verdict:
    """The paper's overall accuracy, a share, against the intervals of the whole test set and of the faces found."""
    claim = f"overall accuracy of {100 * claimed:.2f} % on a test set that it filtered"
    shown = (
        f"{name} {100 * part['accuracy']:.2f} % [{100 * part['accuracy_low']:.2f}, {100 * part['accuracy_high']:.2f}]"
        for name, part in (("whole test set", whole), ("faces found", kept))
    )
    reason = "; ".join([", ".join(shown), *doubt((), few)])
    if max(whole["accuracy_high"], kept["accuracy_high"]) >= claimed:
        return Verdict(claim, "reproduced", reason)
    return Verdict(claim, "not decidable" if few else "not reproduced", reason)


def of_speed(latency: dict[str, float], reference: str, absent: Sequence[str] = ()) -> Verdict:
    """Whether the reference takes the least time; latency in milliseconds a face on one core."""
    claim = "faster than the compared networks"
    others = {name: value for name, value in latency.items() if name != reference}
    if not others or reference not in latency:
        return Verdict(claim, "not decidable", "no network to compare with was run", tested=False)
    own = f"{reference} takes {latency[reference]:.1f} ms a face on one core"
    faster = [f"{name} ({value:.1f})" for name, value in others.items() if value <= latency[reference]]
    if faster:
        return Verdict(claim, "not reproduced", f"{own}; as fast or faster: {', '.join(faster)}")
    reason = "; ".join([f"{own}, the others from {np.min(list(others.values())):.1f}", *doubt(absent, ())])
    return Verdict(claim, "not decidable" if absent else "reproduced", reason)
