"""The report of one data set: our figures beside the paper's claims, and the paper's figures 1 and 2.

Figures 5 and 6 (ROC curves, confusion matrices) are written by each evaluation and shown here. Pictures of real people
stay under data/, which git ignores.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from mmfer import figures
from mmfer.config import FACE_PX, ReportParams
from mmfer.faceset import FaceSet, count_splits, open_faceset
from mmfer.files import write_text

# The paper's column OURS (tables 1 and 2, text of 4.2), in per cent, on test sets that it filtered itself.
CLAIMS = {
    "fer2013": {
        "overall": 83.37,
        "mean of classes": 79.75,
        "angry": 80.10,
        "disgust": 53.04,
        "fear": 70.79,
        "happy": 98.48,
        "sad": 78.26,
        "surprise": 85.99,
        "neutral": 91.60,
    },
    "ckplus": {
        "overall": 99.41,
        "mean of classes": 95.04,
        "angry": 100.0,
        "contempt": 94.74,
        "disgust": 95.16,
        "fear": 96.23,
        "happy": 100.0,
        "sadness": 80.58,
        "surprise": 98.56,
    },
}
READING = (
    "One run: each face as it is, predicted once. Ten runs averaged: the mean of ten predictions of one network, the "
    "first of them plain, the others of slightly moved faces. Intervals: bootstrap over people where they are known, "
    "else over images. Coverage: the share of the official test images that the row counts; on those where no face was "
    "found the network sees the plain frame."
)
TEST_SETS = {"whole": "whole test set", "kept": "faces found", "kept_unique": "found, no exact copies"}


def write_report(data: Path, metrics: Path, target: Path, params: ReportParams) -> Path:
    """Write `target`/report.md with its figures; return it. `data` and `metrics` are the data set's folders."""
    raw, clean, features = (open_faceset(data / name) for name in ("raw", "clean", "features"))
    augmented = open_faceset(data / "augmented")
    kind = raw.made_by["params"]["kind"]
    pictures = target if kind == "synthetic" else data / "report"
    _figure_1(augmented, features, pictures / "modalities.png", params)
    _figure_2(raw, clean, pictures / "faces.png", params)
    results = [json.loads(path.read_text()) for path in sorted(metrics.glob("*/details.json"))]
    trainings = {path.parent.name: json.loads(path.read_text()) for path in metrics.glob("*/train.json")}
    _interval_figure(results, CLAIMS.get(kind, {}).get("overall"), target / "accuracy.png")
    parts = [_head(raw, pictures == target), _overall_table(results), _class_table(results, CLAIMS.get(kind, {}))]
    parts += [_runs(results, trainings), _systems(results, raw.dataset)]
    write_text(target / "report.md", "\n\n".join(parts) + "\n")
    return target / "report.md"


def _figure_1(augmented: FaceSet, features: FaceSet, path: Path, params: ReportParams) -> None:
    """The three modalities of one face: the kept test face that the seed draws."""
    index = augmented.index
    tested = (index["copy"] == 0) & index["kept"] & ((index["split"] == "test") | (index["fold"] >= 0))
    row = int(np.random.default_rng(params.seed).choice(np.flatnonzero(tested)))
    extract = features.made_by["params"]
    grid = {"orientations": extract["orientations"], "block_cells": extract["block_cells"]}
    cells = FACE_PX // extract["cell_px"]
    face, values = augmented.images[row], features.hog[row].astype(np.float32)
    figures.modalities(face, features.landmarks[row], values, path, cells=cells, **grid)


def _figure_2(raw: FaceSet, clean: FaceSet, path: Path, params: ReportParams) -> None:
    """Example faces of each class and the class counts."""
    rng, examples = np.random.default_rng(params.seed), {}
    for label, name in enumerate(raw.classes):
        rows = np.flatnonzero((raw.index["label"] == label) & clean.index["kept"])
        examples[name] = raw.images[np.sort(rng.choice(rows, min(params.faces_per_class, len(rows)), replace=False))]
    title = f"{raw.dataset}: example faces and images per class"
    by_split = count_splits(raw.index, raw.classes).groupby("split", sort=False)
    counts = {split: dict(zip(part["class"], part["images"], strict=True)) for split, part in by_split}
    figures.sample_faces(examples, counts, title, path)


def _interval_figure(results: list[dict], claim: float | None, path: Path) -> None:
    share = claim and claim / 100
    rows = [
        (f"{r['system']}, {TEST_SETS[name]} ({r[name]['coverage']:.0%})", *_interval(r[name]["averaged"]), share)
        for r in results
        for name in TEST_SETS
    ]
    figures.interval_bars(rows, "Accuracy, ten runs averaged", path)


def _interval(figures_: dict[str, Any]) -> tuple[float, float, float]:
    return tuple(figures_[key] for key in ("accuracy", "accuracy_low", "accuracy_high"))


def _head(raw: FaceSet, shown: bool) -> str:
    notes = "\n".join(f"- {note}" for note in raw.made_by["notes"])
    pictures = "![modalities](modalities.png)\n\n![example faces](faces.png)"
    hidden = f"Figures 1 and 2 show real people: they are in data/{raw.dataset}/report/ and not committed."
    return "\n\n".join(filter(None, [f"# {raw.dataset}", notes, pictures if shown else hidden]))


def _overall_table(results: list[dict]) -> str:
    lines = [
        "## Accuracy",
        "",
        "| system | test set | images | coverage | one run | ten runs averaged | 95 % interval | mean of classes |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for result in results:
        for name, label in TEST_SETS.items():
            part = result[name]
            accuracy, low, high = (100 * share for share in _interval(part["averaged"]))
            lines.append(
                f"| {result['system']} | {label} | {part['images']:,} | {part['coverage']:.1%} "
                f"| {100 * part['plain']['accuracy']:.2f} | {accuracy:.2f} | {low:.2f} to {high:.2f} "
                f"| {100 * part['averaged']['macro']:.2f} |"
            )
    return "\n".join([*lines, "", READING, "", "![accuracy with intervals](accuracy.png)"])


def _class_table(results: list[dict], claims: dict[str, float]) -> str:
    """Recall of each class on the whole test set; the paper's claim in a column of its own, which says its protocol."""
    head = ["class", *(f"{r['system']} (whole set)" for r in results)]
    head += ["claimed by the paper (its own filtered test set)"] if claims else []
    lines = [
        "## By class, ten runs averaged, %",
        "",
        f"| {' | '.join(head)} |",
        "|---" + "|---:" * (len(head) - 1) + "|",
    ]
    averaged = [r["whole"]["averaged"] for r in results]
    rows = {"overall": [a["accuracy"] for a in averaged], "mean of classes": [a["macro"] for a in averaged]}
    rows |= {name: [a["per_class"][name] for a in averaged] for name in averaged[0]["per_class"]}
    for name, values in rows.items():
        cells = ["-" if value is None else f"{100 * value:.2f}" for value in values]
        cells += [f"{claims[name]:.2f}"] if claims else []
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _runs(results: list[dict], trainings: dict[str, dict]) -> str:
    lines = ["## What the runs were", ""]
    for result in results:
        name, whole = result["system"], result["whole"]
        done = trainings[name]
        minutes = done["minutes"]
        duration = f"{minutes:.1f} minutes" if minutes >= 1 else "less than a minute"
        trained = "1 training" if done["models"] == 1 else f"{done['models']} trainings"
        spread = f"{100 * whole['runs']['accuracy_mean']:.2f} ± {100 * whole['runs']['accuracy_sd']:.2f}"
        line = (
            f"- **{name}**: {result['protocol']}. {trained}, {duration} on "
            f"{done['device']}, {int(done['samples_seen']):,} samples seen in all. The "
            f"{whole['runs']['count']} runs one by one: {spread} %."
        )
        if "seeds" in whole:
            seeds = whole["seeds"]
            line += f" {seeds['count']} seeds: {100 * seeds['accuracy_mean']:.2f} ± {100 * seeds['accuracy_sd']:.2f} %."
        lines.append(line)
    return "\n".join(lines)


def _systems(results: list[dict], dataset: str) -> str:
    pictures = [
        f"![ROC of {r['system']}](../../{dataset}/{r['system']}/roc.png)\n"
        f"![confusion of {r['system']}](../../{dataset}/{r['system']}/confusion.png)"
        for r in results
    ]
    return "\n\n".join(["## ROC curves and confusion matrices (whole test set, ten runs averaged)", *pictures])
