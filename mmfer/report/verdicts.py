"""What the runs of one study say about each claim of the paper: reproduced, not reproduced, or not decidable.

A verdict rests on tests that are corrected for their number. Where a network was trained fewer than three times they
are about these networks alone, and the verdict says so. It is withheld where a system that the claim is about was not
run or is not shown to be above chance, or where a network saw less than one pass over its training rows: the paper
trained for 500 of them, and two networks in their first steps say little about which ends higher. What the tests show
stands in the reason all the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from mmfer.report import comparison
from mmfer.report.comparison import LEVEL, Answers
from mmfer.report.paper import CLAIMS, SYSTEMS
from mmfer.report.results import Study
from mmfer.testing.statistics import Difference, compare_trainings

ENOUGH = 1.0  # passes over the training rows, below which a network counts as hardly trained
REPRODUCED, NOT_REPRODUCED, OPEN = "reproduced", "not reproduced", "not decidable"
RENDERED = "the faces are rendered, which says nothing about real ones"
HERE = " by these networks"  # ends a verdict that speaks of single trainings


@dataclass(frozen=True)
class Verdict:
    """One claim of the paper and what these runs say of it: a row of the report's first table."""

    claim: str
    verdict: str  # REPRODUCED, NOT_REPRODUCED, either of them with HERE, or OPEN
    reason: str  # what it rests on, in words
    tested: bool = True  # whether anything run bears on it
    against: str = ""  # the system, or figure, that `effect` is measured against: the hardest to beat
    effect: tuple[float, float, float] | None = None  # accuracy minus that of `against`, low, high (95 %), shares
    ratio: float | None = None  # of times, where the claim is about speed
    seeds: str = ""  # trainings of each network, the least and the most
    faces: int = 0  # test images that were compared
    passes: str = ""  # budget: passes of one training over its rows, the least and the most

    @property
    def effect_text(self) -> str:
        """The effect for a reader: "+1.2 points [0.4, 2.0] against vgg", "2.3 times the time of vgg", or a dash."""
        if self.ratio is not None:
            return f"{self.ratio:.1f} times the time of {self.against}"
        if self.effect is None:
            return "–"
        value, low, high = (100 * part for part in self.effect)
        return f"{value:+.1f} points [{low:+.1f}, {high:+.1f}] against {self.against}"

    def to_json(self) -> dict[str, Any]:
        """As a plain dictionary, with `effect_text`."""
        return asdict(self) | {"effect_text": self.effect_text}


def verdicts(study: Study) -> list[Verdict]:
    """A verdict on each claim that the paper makes about data of this kind."""
    claims = [_accuracy(study)] if study.kind in CLAIMS else []
    found = [*claims, _better(study), _modalities(study), _hidden(study), _faster(study)]
    if study.kind == "synthetic":
        return [replace(verdict, verdict=OPEN, reason=f"{RENDERED}; {verdict.reason}") for verdict in found]
    return found


def _accuracy(study: Study) -> Verdict:
    claimed = CLAIMS[study.kind]["ours"]["overall"] / 100
    kept = study.predicted[study.reference]["kept"].to_numpy(dtype=bool)
    parts = {"whole test set": np.ones(len(kept), dtype=bool), "faces found": kept}
    answers = {name: study.answers(study.reference, chosen) for name, chosen in parts.items()}
    found = {name: over_trainings(answers[name], study.groups(chosen)) for name, chosen in parts.items()}
    reservations = _reservations(study, [study.reference])
    verdict = verdict_on_accuracy(claimed, found, answers["whole test set"].enough, reservations)
    return _with_budget(verdict, study, [study.reference], len(kept))


def over_trainings(answers: Answers, people: np.ndarray | None) -> Difference:
    """Accuracy with its interval: over trainings and people where there are enough, else of the runs averaged."""
    right = answers.trainings if answers.random and answers.enough else answers.averaged[None]
    return compare_trainings(right, np.zeros_like(right[:1]), people)  # minus a system that is never right


def _better(study: Study) -> Verdict:
    """Against the systems of the paper's table of this data; on other data, against all that its tables have."""
    kinds = CLAIMS.get(study.kind, SYSTEMS)
    compared = study.of_kinds(kinds)
    claim = "more accurate than the systems that it compares"
    return _on_whole_set(study, claim, compared, not_run(study, kinds))


def _modalities(study: Study) -> Verdict:
    """Three modalities against systems that are the reference but for their branches and `withhold`.

    Where they saw as many samples, it does not matter whether epochs or minutes ended their training.
    """
    claim = "three modalities are more accurate than one or two"
    base = study.block(study.reference)
    if "branches" not in base:
        return Verdict(claim, OPEN, f"{study.reference} has no modalities that could be left out", tested=False)
    length = {"train.epochs", "train.max_minutes"}
    ablations, samples = study.same_kind(), study.samples(study.reference)
    free: dict[str, set[str]] = {n: length if study.samples(n) == samples else set() for n in ablations}
    alike = [name for name in ablations if study.changed(name).keys() <= {"branches", "withhold"} | free[name]]
    used = {name: study.block(name)["branches"] for name in alike}
    fewer = [name for name, branches in used.items() if len(branches) < 3]
    run = {frozenset(branches) for branches in used.values()}
    sets = [pick for size in (1, 2) for pick in combinations(base["branches"], size)]
    absent = [" + ".join(pick) for pick in sets if frozenset(pick) not in run]
    return _on_whole_set(study, claim, fewer, absent)


def _on_whole_set(study: Study, claim: str, compared: list[str], absent: list[str]) -> Verdict:
    names = [study.reference, *compared]
    verdict = verdict_of_tests(claim, study.tests(compared), _reservations(study, names, absent))
    return _with_budget(verdict, study, names, len(study.predicted[study.reference]))


def _hidden(study: Study) -> Verdict:
    kinds, claim = ["vgg", "resnet"], "more often right than VGG and ResNet when faces are hidden or badly lit"
    compared = [name for name in study.of_kinds(kinds) if name in study.perturbed]
    names = [study.reference, *compared]
    usable = study.comparable(compared) if study.reference in study.perturbed else []
    tests = comparison.hidden_tests(study.answers_under, usable, study.reference, study.groups_under)
    verdict = verdict_of_tests(claim, tests, _reservations(study, names, not_run(study, kinds)))
    faces = study.perturbed.get(study.reference, pd.DataFrame({"row": []}))["row"].nunique()
    return _with_budget(verdict, study, names, faces)


def _faster(study: Study) -> Verdict:
    """Of the reference's kind the widest network is timed, the one that is nearest to the paper's."""
    kinds = CLAIMS.get(study.kind, SYSTEMS)
    costs = {name: part["cost"] for name, part in study.details.items() if study.is_network(name)}
    timed = [name for name in study.same_kind() if name in costs]
    widest = max(timed, key=lambda name: costs[name]["parameters"], default="")
    names = [name for name in (widest, *study.of_kinds(kinds)) if name in costs]
    latency = {name: costs[name]["latency_ms"] for name in names}
    return verdict_on_speed(latency, widest, not_run(study, ["vgg", "resnet"]))


def _with_budget(verdict: Verdict, study: Study, names: list[str], faces: int) -> Verdict:
    """With the trainings, images and passes of the networks among the systems that it is about."""
    networks = [name for name in names if study.is_network(name)]
    seeds = span([len(study.answers(name).trainings) for name in networks], "d")
    return replace(verdict, seeds=seeds, faces=faces, passes=span([study.passes(name) for name in networks], ".2g"))


def span(values: Sequence[float], form: str) -> str:
    """The least and the most of some values, "0.5–2"; one where they read the same, a dash where there are none."""
    return "–".join(dict.fromkeys(format(value, form) for value in (min(values), max(values)))) if values else "–"


def not_run(study: Study, kinds: Iterable[str]) -> list[str]:
    """Systems of the paper's comparison of which none was run."""
    return [SYSTEMS[kind] for kind in kinds if kind != "ours" and not study.of_kinds([kind])]


def unfinished(study: Study, names: Iterable[str]) -> list[str]:
    """Networks that saw less than one pass over their training rows, those that saw as much together."""
    saw: dict[str, list[str]] = {}
    for name in names:
        if study.is_network(name) and study.passes(name) < ENOUGH:
            saw.setdefault(f"{study.passes(name):.2g}", []).append(name)
    return [f"{', '.join(few)} ({passes})" for passes, few in saw.items()]


@dataclass(frozen=True)
class Reservations:
    """Why a claim may not be decidable: systems by name, what each list says in `reasons`."""

    absent: Sequence[str] = ()  # not run
    few: Sequence[str] = ()  # saw too little data
    at_chance: Sequence[str] = ()  # not shown to be above chance
    reference_at_chance: bool = False

    @property
    def reasons(self) -> list[str]:
        """A phrase for each kind that there is."""
        said = {
            "not run": self.absent,
            "less than one pass over the training rows, of the paper's 500": self.few,
            "not shown to be above chance, so that nothing is concluded from them": self.at_chance,
        }
        return [f"{text}: {', '.join(names)}" for text, names in said.items() if names]


def _reservations(study: Study, names: list[str], absent: Sequence[str] = ()) -> Reservations:
    at_chance = study.not_above_chance(names)
    return Reservations(absent, unfinished(study, names), at_chance, study.reference in at_chance)


def verdict_of_tests(claim: str, tests: pd.DataFrame, reservations: Reservations = Reservations()) -> Verdict:
    """The reference beats every other system, is beaten by one, or neither is shown.

    `tests` is as comparison.paired_tests makes it. A loss decides even where other systems were not run.
    """
    if tests.empty or reservations.reference_at_chance:
        nothing = [] if reservations.reference_at_chance else ["no system to compare with was run"]
        tested = bool(reservations.at_chance)
        return Verdict(claim, OPEN, "; ".join([*([] if tested else nothing), *reservations.reasons]), tested=tested)
    shown = tests["p"] < LEVEL
    wins, losses = shown & (tests["difference"] > 0), shown & (tests["difference"] < 0)
    kinds = {"more often right than": wins, "less often right than": losses, "no difference shown to": ~shown}
    found = [f"{text} {', '.join(tests['system'][which])}" for text, which in kinds.items() if which.any()]
    hardest = tests.loc[tests["difference"].idxmin()]
    verdict = Verdict(
        claim,
        OPEN,
        "; ".join([*found, *reservations.reasons]),
        against=hardest["system"],
        effect=(hardest["difference"], hardest["low"], hardest["high"]),
    )
    if reservations.few:
        return verdict
    if losses.any():
        return replace(verdict, verdict=NOT_REPRODUCED + ("" if tests["over_seeds"][losses].any() else HERE))
    if wins.all() and not reservations.reasons:
        return replace(verdict, verdict=REPRODUCED + ("" if tests["over_seeds"].all() else HERE))
    return verdict


def verdict_on_accuracy(
    claimed: float, found: dict[str, Difference], over_seeds: bool = True, reservations: Reservations = Reservations()
) -> Verdict:
    """The paper's overall accuracy, a share, against accuracies with their intervals, by test set: the one that comes
    nearest counts. Reproduced where that reaches the claim, not reproduced where its whole interval is below; where the
    interval holds the claim, or there are reservations, neither is decided."""
    claim = f"overall accuracy of {100 * claimed:.2f} % on a test set that it filtered"
    shown = (
        f"{name} {100 * part.difference:.2f} % [{100 * max(part.low, 0):.2f}, {100 * min(part.high, 1):.2f}]"
        for name, part in found.items()
    )
    best = max(found.values(), key=lambda part: part.high)
    verdict = Verdict(
        claim,
        OPEN,
        "; ".join([", ".join(shown), *reservations.reasons]),
        against="the claim",
        effect=(best.difference - claimed, best.low - claimed, best.high - claimed),
    )
    if reservations.reasons or best.difference < claimed <= best.high:
        return verdict
    word = REPRODUCED if best.difference >= claimed else NOT_REPRODUCED
    return replace(verdict, verdict=word + ("" if over_seeds else HERE))


def verdict_on_speed(latency: dict[str, float], reference: str, absent: Sequence[str] = ()) -> Verdict:
    """Whether the reference takes the least time; latency in milliseconds a face on one core."""
    claim = "faster than the compared networks"
    others = {name: value for name, value in latency.items() if name != reference}
    if not others or reference not in latency:
        return Verdict(claim, OPEN, "no network to compare with was run", tested=False)
    quickest = min(others, key=lambda name: others[name])
    own = f"{reference} takes {latency[reference]:.1f} ms a face on one core"
    faster = [f"{name} ({value:.1f})" for name, value in others.items() if value <= latency[reference]]
    reason = f"{own}; as fast or faster: {', '.join(faster)}"
    if not faster:
        reason = "; ".join([f"{own}, the others from {others[quickest]:.1f}", *Reservations(absent).reasons])
    verdict = Verdict(claim, OPEN, reason, against=quickest, ratio=latency[reference] / others[quickest])
    if faster:
        return replace(verdict, verdict=NOT_REPRODUCED)
    return verdict if absent else replace(verdict, verdict=REPRODUCED)
