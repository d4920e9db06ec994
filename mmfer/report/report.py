"""The report: all studies on one page, the verdicts first.

It takes in every study that lies below metrics/studies, those of earlier runs and other machines too.
"""

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mmfer.errors import MmferError
from mmfer.report.page import contents, table, write_page

INTRODUCTION = (
    "Yi, Wang and Lu claim that a face image, its 68 landmarks and its HOG together tell an expression better than the "
    "networks and classical methods of their day, above all when the face is hidden or badly lit. This page puts "
    "their figures beside what was measured here, under protocols in which no picture and no person is on two sides, "
    "nothing is chosen on test data, and no test image is dropped. The paper's figures are claims; they never share a "
    "column with ours."
)
ORDER = {"fer2013": 0, "ckplus": 1}  # the paper's data first


def write_report(studies: Path, target: Path) -> Path:
    """Write `target`/report.md and .html from the studies; return the HTML. MmferError where there is none."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(studies.glob("*/study.json"))]
    if not found:
        raise MmferError(f"{studies}: no study there; run `dvc repro`")
    found.sort(key=lambda study: (ORDER.get(study["kind"], 2), study["dataset"]))
    chapters = [_chapter(studies / study["dataset"], target) for study in found]
    parts = [INTRODUCTION, _overview(found), _verdicts(found), _settings(found), *chapters]
    return write_page(target, "report", "mmfer: the paper's claims, measured", [*contents(parts), *parts])


def _overview(found: list[dict[str, Any]]) -> str:
    rows = []
    for study in found:
        accuracy = study["accuracy"]
        low, high = (f"{100 * accuracy[key]:.2f}" for key in ("accuracy_low", "accuracy_high"))
        rows.append(
            [
                *(study["dataset"], study["reference"], f"{study['images']:,}", str(len(study["systems"]))),
                *(f"{study['samples']:,}", f"{study['passes']:.2g}", f"{100 * study['one_run']:.2f}"),
                *(f"{100 * accuracy['accuracy']:.2f}", f"{low} to {high}", f"{100 * accuracy['macro']:.2f}"),
            ]
        )
    head = ["study", "reference", "test images", "systems", "samples in a training", "passes over the copies"]
    shown = table([*head, "one run", "runs averaged", "95 % interval", "mean of classes"], rows, text_columns=2)
    return f"## Studies\n\nAccuracy of the reference in %, whole test set, nothing dropped.\n\n{shown}"


def _verdicts(found: list[dict[str, Any]]) -> str:
    """Claim by claim, in the order of the studies' own tables, whose last claims are the same for all data."""
    placed = [
        (place - len(study["verdicts"]), verdict["claim"], study["dataset"], verdict)
        for study in found
        for place, verdict in enumerate(study["verdicts"])
    ]
    claims: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for _, claim, dataset, verdict in sorted(placed, key=lambda row: row[0]):
        claims.setdefault(claim, []).append((dataset, verdict))
    parts = [f"### The paper claims: {claim}\n\n{_of_claim(verdicts)}" for claim, verdicts in claims.items()]
    return "\n\n".join(["## Verdicts", *parts])


def _of_claim(verdicts: list[tuple[str, dict[str, Any]]]) -> str:
    rows = [[dataset, f"**{v['verdict']}**", v["reason"]] for dataset, v in verdicts if v["tested"]]
    silent = [dataset for dataset, v in verdicts if not v["tested"]]
    parts = [table(["study", "verdict", "because"], rows, text_columns=3)] if rows else []
    return "\n\n".join([*parts, *([f"Nothing was run to test it with in {', '.join(silent)}."] if silent else [])])


def _settings(found: list[dict[str, Any]]) -> str:
    """Studies of the same test images that differ in how faces are cleaned or copied: ablations of the data."""
    alike: dict[tuple, list[dict[str, Any]]] = {}
    for study in found:
        alike.setdefault(tuple(study[key] for key in ("kind", "images", "reference", "samples")), []).append(study)
    rows = []
    for base, *others in alike.values():
        for study in [base, *others] if others else []:
            cells = (f"{100 * study['accuracy'][key]:.2f}" for key in ("accuracy", "accuracy_low", "accuracy_high"))
            rows.append([study["dataset"], _changed(study["settings"], base["settings"]), "{} [{}, {}]".format(*cells)])
    if not rows:
        return ""
    note = "The same network and budget on the same test images; accuracy in %, runs averaged, with 95 % intervals."
    return f"## Settings of the data\n\n{note}\n\n{table(['study', 'what differs', 'accuracy'], rows, text_columns=2)}"


def _changed(settings: dict[str, Any], base: dict[str, Any]) -> str:
    changes = [
        f"{block}.{key}: {str(value).lower()}"
        for block, values in settings.items()
        for key, value in values.items()
        if base[block].get(key) != value
    ]
    return ", ".join(changes) or "–"


def _chapter(folder: Path, target: Path) -> str:
    """A study's page as a part of this one: headings a level lower, links as they are from `target`."""
    text = (folder / "study.md").read_text(encoding="utf-8").strip()
    text = re.sub(r"^#", "##", text, flags=re.M)
    way = posixpath.relpath(folder.as_posix(), target.as_posix())
    return re.sub(r"\]\((?!https?:)([^)]+)\)", lambda link: f"]({posixpath.normpath(f'{way}/{link[1]}')})", text)
