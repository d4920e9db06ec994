"""The report over all data sets: each claim of the paper with its verdict first, then the way to each study.

It takes in every study that lies below metrics/study, those of earlier runs and other computers too.
"""

import json
import posixpath
from pathlib import Path
from typing import Any

from mmfer.errors import MmferError
from mmfer.report.claims import NAMES, PAPER, claim_blocks
from mmfer.report.page import Folded, Link, Section, Table, write_page

INTRODUCTION = (
    f"{PAPER}, claim that these three views of a face give its expression away better than the networks and classical "
    "methods of their day, above all when the face is hidden or badly lit. This page says what of that was measured."
)
PROTOCOL = [
    "No picture and no person is on two sides, nothing is chosen on test data, no test image is dropped.",
    "The paper's figures are claims, on test sets that it filtered itself; they never share a column with ours.",
    "Accuracies are of the whole test set; runs averaged: the mean of several predictions of one network under slight "
    "movements; intervals: 95 %, over people where they are known.",
]
ORDER = {"fer2013": 0, "ckplus": 1}  # the paper's data first


def write_report(studies: Path, target: Path) -> Path:
    """Write `target`/report.md, .html and figures from the studies; return the HTML. MmferError where there is none."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(studies.glob("*/study.json"))]
    if not found:
        raise MmferError(f"{studies}: no study there; run `dvc repro`")
    found.sort(key=lambda study: (ORDER.get(study["kind"], 2), study["dataset"]))
    claims = claim_blocks({study["dataset"]: study["verdicts"] for study in found}, target)
    way = posixpath.relpath(studies.as_posix(), target.as_posix())
    blocks = [INTRODUCTION, NAMES, *claims, Folded("How it was measured", [PROTOCOL]), study_section(found, way)]
    return write_page(target, "report", "mmfer: the paper's claims, measured", [*blocks, *settings_section(found)])


def study_section(found: list[dict[str, Any]], way: str) -> Section:
    """A row for each study, with a link to its page; `way`: from the report's folder to that of the studies."""
    rows = []
    for study in found:
        accuracy = study["accuracy"]
        shares = [study["one_run"], *(accuracy[key] for key in ("accuracy", "accuracy_low", "accuracy_high", "macro"))]
        one_run, averaged, low, high, macro = (f"{100 * share:.2f}" for share in shares)
        counts = [f"{study['images']:,}", str(study["systems"]), study["reference"], str(study["trainings"])]
        page = Link(study["dataset"], f"{way}/{study['dataset']}/study.html")
        rows.append([page, *counts, one_run, averaged, f"{low} to {high}", macro])
    head = ["study", "test images", "systems", "reference", "trainings", "one run", "runs averaged", "95 % interval"]
    note = "Accuracy of the reference, %. Each page has all systems, paired tests, ablations, robustness and cost."
    return Section("Studies", [note, Table([*head, "mean of classes"], rows)])


def settings_section(found: list[dict[str, Any]]) -> list[Section]:
    """Studies of the same test images that differ in how faces are cleaned or copied: ablations of the data."""
    alike: dict[tuple, list[dict[str, Any]]] = {}
    for study in found:
        if study["above_chance"]:
            alike.setdefault(tuple(study[key] for key in ("rows", "reference", "samples")), []).append(study)
    rows = []
    for base, *others in alike.values():
        for study in [base, *others] if others else []:
            cells = (f"{100 * study['accuracy'][key]:.2f}" for key in ("accuracy", "accuracy_low", "accuracy_high"))
            rows.append([study["dataset"], _changed(study["settings"], base["settings"]), "{} [{}, {}]".format(*cells)])
    if not rows:
        return []
    note = "The same network and budget on the same test images; accuracy in %, runs averaged, with 95 % intervals."
    return [Section("Settings of the data", [note, Table(["study", "what differs", "accuracy"], rows, text_columns=2)])]


def _changed(settings: dict[str, Any], base: dict[str, Any]) -> str:
    changes = [
        f"{block}.{key}: {str(value).lower()}"
        for block, values in settings.items()
        for key, value in values.items()
        if base[block].get(key) != value
    ]
    return ", ".join(changes) or "–"
