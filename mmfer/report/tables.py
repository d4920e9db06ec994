"""The tables of one data set's page: accuracy, classes, ablations, paired tests, cost. The paper's figures stand apart.

A network that is not shown to be above chance is in no table that ranks: `ranked` leaves it out, `at_chance` names it.
"""

import json
from typing import Any

from mmfer.report import comparison
from mmfer.report.page import Folded, Table
from mmfer.report.paper import CLAIMS, PUBLISHED, RECONSTRUCTED, SYSTEMS
from mmfer.report.results import Study

READING = [
    "One run: each face as it is, predicted once. Runs averaged: the mean of several predictions of one network, the "
    "first of them plain, the others of slightly moved faces. Over trainings: one run of each, their mean and standard "
    "deviation.",
    "Intervals: bootstrap over people where they are known, else over images.",
    "All but the last two columns are of the whole official test set, nothing dropped: where no face was found the "
    "network sees the plain frame. The last two leave images out; in brackets the share that they count.",
    "*: our reconstruction, for the source could not be read.",
]
CLAIMED = "Claimed by the paper, %, on a test set that it filtered itself: not comparable with the figures above."
TIMES = (
    "Times differ from computer to computer and from run to run, and are not on this page: MLflow has them, and "
    "details.json of each system (cost, training)."
)


def ranked(study: Study) -> list[str]:
    """The systems that tables rank: those above chance, the reference first, then by accuracy."""
    return study.comparable()


def per_cent(share: float | None) -> str:
    """A share as a percentage with two decimals; a dash where there is none."""
    return "–" if share is None else f"{100 * share:.2f}"


def interval(figures: dict[str, Any]) -> tuple[float, float, float]:
    """Accuracy with the ends of its interval, of one reading of one test set."""
    return figures["accuracy"], figures["accuracy_low"], figures["accuracy_high"]


def at_chance(study: Study) -> list[str]:
    """Names the systems that are not ranked, as a paragraph; nothing where there are none."""
    shown = [
        f"{name} ({per_cent(study.details[name]['whole']['averaged']['accuracy'])} %)"
        for name in study.not_above_chance()
    ]
    return [f"Not shown to be above chance, and so neither ranked nor compared: {', '.join(shown)}."] if shown else []


def accuracy_blocks(study: Study) -> list[Any]:
    """Every ranked system on the whole test set, and beside it where faces were found."""
    whole = study.details[study.reference]["whole"]
    head = ["system", "one run", f"{whole['runs']['count']} runs averaged", "95 % interval", "mean of classes"]
    head += ["over trainings", "faces found", "found, no exact copies"]
    note = f"{whole['images']:,} test images, %."
    rows = [_accuracy_row(study, name) for name in ranked(study)]
    return [note, Table(head, rows), *at_chance(study), Folded("How to read these columns", [READING])]


def _accuracy_row(study: Study, name: str) -> list[str]:
    parts = study.details[name]
    whole = parts["whole"]
    accuracy, low, high = interval(whole["averaged"])
    mark = "\N{NO-BREAK SPACE}*" if study.block(name)["kind"] in RECONSTRUCTED else ""
    figures = [whole["plain"]["accuracy"], accuracy]
    return [
        study.label(name) + mark,
        *map(per_cent, figures),
        *(f"{per_cent(low)} to {per_cent(high)}", per_cent(whole["averaged"]["macro"]), over_trainings(whole)),
        *(f"{per_cent(p['averaged']['accuracy'])} ({100 * p['coverage']:.1f})" for p in _found(parts)),
    ]


def _found(parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [parts["kept"], parts["kept_unique"]]


def over_trainings(whole: dict[str, Any]) -> str:
    """Mean and standard deviation of one run of each training; a dash where there was one training."""
    if "seeds" not in whole:
        return "–"
    seeds = whole["seeds"]
    return f"{per_cent(seeds['accuracy_mean'])} ± {per_cent(seeds['accuracy_sd'])} ({seeds['count']})"


def vote_blocks(study: Study) -> list[Any]:
    """Every ranked system beside the votes of several raters, where a data set has them."""
    if "votes" not in study.details[study.reference]:
        return []
    rows = []
    for name in ranked(study):
        of = study.details[name]["votes"]["averaged"]
        rows.append([study.label(name), f"{of['cross_entropy']:.3f}", f"{of['kl']:.3f}", per_cent(of["agreement"])])
    most = study.details[study.reference]["votes"]["averaged"]["agreement_most"]
    head = ["system", "cross entropy", "KL divergence", "expected agreement"]
    note = (
        "Whole test set, runs averaged. Cross entropy and divergence from the votes' distribution are in nats; the "
        "agreement is the chance, %, that a vote is for the class that is predicted. Who says the class of the most "
        f"votes has {per_cent(most)}."
    )
    return [Folded("Beside the raters' votes", [note, Table(head, rows)])]


def class_blocks(study: Study) -> list[Any]:
    """The paper's tables 1 and 2: what was measured, then its claims, then what others published."""
    columns = ["overall", "mean of classes", *study.classes]
    rows = []
    for name in ranked(study):
        whole = study.details[name]["whole"]["averaged"]
        values = [whole["accuracy"], whole["macro"], *(whole["per_class"][label] for label in study.classes)]
        rows.append([study.label(name), *map(per_cent, values)])
    blocks = ["Measured here, %, whole test set, runs averaged:", Table(["system", *columns], rows)]
    if study.kind in CLAIMS:
        claimed = [
            [SYSTEMS[name], *(f"{of[c]:.2f}" if c in of else "–" for c in columns)]
            for name, of in CLAIMS[study.kind].items()
        ]
        blocks += [CLAIMED, Table(["system", *columns], claimed)]
    if study.kind in PUBLISHED:
        published = [[name, f"{value:.2f}", protocol, where] for name, value, protocol, where in PUBLISHED[study.kind]]
        head = ["system", "accuracy", "protocol", "source"]
        blocks += ["Published by others, %, each under its own protocol, for orientation:", Table(head, published, 4)]
    number = {"fer2013": " (the paper's table 1)", "ckplus": " (the paper's table 2)"}.get(study.kind, "")
    return [Folded(f"By class{number}", blocks)]


def ablation_blocks(study: Study) -> list[Any]:
    """The reference and the ranked systems of its kind: what differs, what it costs, and whether it matters."""
    same_kind = study.comparable(study.same_kind())
    if len(same_kind) < 2:
        return []
    tests = study.tests(same_kind).set_index("system")
    rows = []
    for name in same_kind:
        whole = study.details[name]["whole"]
        changed = ", ".join(f"{key}: {json.dumps(value)}" for key, value in study.changed(name).items())
        row = [name, changed.replace('"', "") or "–", _parameters(study.details[name]["cost"])]
        row += [per_cent(whole["averaged"]["accuracy"]), over_trainings(whole), *_test_cells(tests, name)]
        rows.append(row)
    head = ["system", f"what differs from {study.reference}", "parameters", "runs averaged", "over trainings"]
    note = f"Accuracy in %, whole test set. Tests are against {study.reference}, Holm-corrected over this table."
    return [note, Table([*head, "difference, points", "p"], rows, text_columns=2)]


def _test_cells(tests: Any, name: str) -> list[str]:
    if name not in tests.index:
        return ["–", "–"]
    row = tests.loc[name]
    low, high = sorted(-100 * row[end] for end in ("low", "high"))
    return [f"{-100 * row['difference']:+.1f} [{low:+.1f}, {high:+.1f}]", f"{row['p']:.2g}"]


def _parameters(cost: dict[str, Any]) -> str:
    return f"{cost['parameters']:,}" if "parameters" in cost else "–"


def paired_blocks(study: Study) -> list[Any]:
    """The reference against each ranked system."""
    tests = study.tests()
    if tests.empty:
        return []
    rows = []
    for _, row in tests.iterrows():
        counts = str(row["reference_only"]), str(row["system_only"])
        rows.append([row["system"], comparison.sentence(row, study.reference), *counts, f"{row['p']:.2g}"])
    head = ["system", "what the test shows", f"only {study.reference} right", "only this one right", "p"]
    note = (
        f"{study.reference} against each system on the whole test set; Holm-corrected over all rows. From three "
        "trainings of each network on the test is over trainings and people together, below that it is McNemar's exact "
        "test of two networks, all images of a person together where people are known. The verdicts above are "
        "corrected for their own tests alone, so that a difference may be shown there and not here."
    )
    return [Folded(f"Paired tests of {study.reference} against each system", [note, Table(head, rows, text_columns=2)])]


def cost_blocks(study: Study) -> list[Any]:
    """What each system takes, in parameters, operations and samples."""
    rows = []
    for name, parts in study.details.items():
        cost, done = parts["cost"], study.training(name)
        counts = [f"{cost['parameters']:,}", f"{cost['flops'] / 1e6:,.1f}"] if "parameters" in cost else ["–", "–"]
        rows.append([study.label(name), *counts, str(done["models"]), f"{study.samples(name):,}"])
    head = ["system", "parameters", "MFLOPs a face", "trainings", "samples in each"]
    return [Folded("What each system costs", [Table(head, rows), TIMES])]


def run_blocks(study: Study) -> list[Any]:
    """How each system was tested and trained."""
    points = []
    for name, parts in study.details.items():
        whole, done = parts["whole"], study.training(name)
        trained = "1 training" if done["models"] == 1 else f"{done['models']} trainings"
        before = f", after {done['samples_before']:,} before the start" if "samples_before" in done else ""
        spread = f"{per_cent(whole['runs']['accuracy_mean'])} ± {per_cent(whole['runs']['accuracy_sd'])}"
        points.append(
            f"{name}: {parts['protocol']}. {trained} on {done['device']}, {int(done['samples_seen']):,} samples seen "
            f"in all{before}. The {whole['runs']['count']} runs one by one: {spread} %."
        )
    return [Folded("What the runs were", [points])]
