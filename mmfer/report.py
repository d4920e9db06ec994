"""The report of one data set: every system on the same test faces, beside what the paper claims, and a verdict on each
of its claims.

Figures 5 and 6 (ROC curves, confusion matrices) are written by each evaluation and shown here. Pictures of real people
stay under data/, which git ignores. The paper's figures stand in tables of their own, under their own protocol.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmfer import comparison, figures
from mmfer.config import FACE_PX, ReportParams, pick
from mmfer.corruptions import CORRUPTIONS
from mmfer.faceset import FaceSet, count_splits, open_faceset
from mmfer.page import table, write_page
from mmfer.paper import CLAIMS, FIGURE_7, SYSTEMS

TEST_SETS = {"whole": "whole test set", "kept": "faces found", "kept_unique": "found, no exact copies"}
READING = (
    "One run: each face as it is, predicted once. Ten runs averaged: the mean of ten predictions of one network, the "
    "first of them plain, the others of slightly moved faces. Intervals: bootstrap over people where they are known, "
    "else over images. Coverage: the share of the official test images that the row counts; on those where no face was "
    "found the network sees the plain frame."
)
CLAIMED = "Claimed by the paper, %, on a test set that it filtered itself: not comparable with the figures above."


@dataclass(frozen=True)
class Study:
    """All that was measured on one data set, by system."""

    dataset: str
    kind: str
    classes: list[str]
    details: dict[str, dict[str, Any]]
    trainings: dict[str, dict[str, Any]]
    right: dict[str, np.ndarray]  # bool (test images,), ten runs averaged
    perturbed: FaceSet
    probabilities: dict[str, np.ndarray]  # of the perturbed faces (rows, classes)
    conditions: dict[str, pd.DataFrame]  # robustness.csv
    reference: str
    baseline: str

    @property
    def tests(self) -> pd.DataFrame:
        """The reference against each other system."""
        return comparison.paired_tests(self.right, self.reference)


def write_report(data: Path, metrics: Path, target: Path, params: ReportParams) -> Path:
    """Write `target`/report.md and .html with their figures; return the HTML. `data` and `metrics`: the data set's."""
    raw, clean, augmented, features = (open_faceset(data / n) for n in ("raw", "clean", "augmented", "features"))
    study = read_study(raw, data, metrics, params)
    shown = study.kind == "synthetic"
    pictures = target if shown else data / "report"
    _figure_1(augmented, features, pictures / "modalities.png", params)
    _figure_2(raw, clean, pictures / "faces.png", params)
    faces = figure_7_faces(study.perturbed, params.seed)
    _figure_7(study.perturbed, faces, pictures / "perturbed.png")
    _interval_figure(study, target / "accuracy.png")
    parts = [_verdicts(study), _head(raw, shown), _overall_table(study), _class_tables(study), _paired(study)]
    parts += [_robustness(study), _single_faces(study, faces, shown), _cost(study), _audit(raw, clean), _runs(study)]
    return write_page(target, "report", f"mmfer on {study.dataset}", [*parts, _curves(study)])


def read_study(raw: FaceSet, data: Path, metrics: Path, params: ReportParams) -> Study:
    """Gather what the stages wrote; MmferError if `report.reference` or `baseline` is not among the systems."""
    details = {p.parent.name: json.loads(p.read_text()) for p in sorted(metrics.glob("*/details.json"))}
    for key in ("reference", "baseline"):
        pick(details, getattr(params, key), f"report.{key}: systems")
    probabilities = {}
    for name in details:
        with np.load(data / "robustness" / f"{name}.npz") as stored:
            probabilities[name] = stored["probabilities"]
    return Study(
        dataset=raw.dataset,
        kind=raw.made_by["params"]["kind"],
        classes=raw.classes,
        details=details,
        trainings={name: json.loads((metrics / name / "train.json").read_text()) for name in details},
        right={name: comparison.correct(data / "predictions" / f"{name}.npz") for name in details},
        perturbed=open_faceset(data / "perturbed"),
        probabilities=probabilities,
        conditions={name: pd.read_csv(metrics / name / "robustness.csv") for name in details},
        reference=params.reference,
        baseline=params.baseline,
    )


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


def figure_7_faces(perturbed: FaceSet, seed: int) -> np.ndarray:
    """Four faces (rows of the clean condition) of four classes, as the seed draws them among those found when clean."""
    clean = perturbed.index[perturbed.index["condition"] == "clean"].reset_index(drop=True)
    rng, labels = np.random.default_rng(seed), np.unique(clean["label"][clean["found"]])
    drawn = np.sort(rng.choice(labels, min(4, len(labels)), replace=False))
    return np.array([rng.choice(np.flatnonzero(clean["found"] & (clean["label"] == label))) for label in drawn])


def _figure_7(perturbed: FaceSet, faces: np.ndarray, path: Path) -> None:
    names = [name for name in perturbed.index["condition"].unique() if name.rsplit(" ", 1)[0] not in CORRUPTIONS]
    each = (perturbed.index["condition"] == "clean").sum()
    rows = [place * each + face for face in faces for place in range(len(names))]
    figures.contact_sheet(perturbed.images[rows], names * len(faces), len(names), path, title="what the networks see")


def _interval_figure(study: Study, path: Path) -> None:
    claim = CLAIMS.get(study.kind, {}).get("ours", {}).get("overall")
    share = claim and claim / 100
    rows = [
        (f"{name}, {TEST_SETS[test]} ({part[test]['coverage']:.0%})", *_interval(part[test]["averaged"]), share)
        for name, part in study.details.items()
        for test in TEST_SETS
    ]
    figures.interval_bars(rows, "Accuracy, ten runs averaged", path)


def _interval(figures_: dict[str, Any]) -> tuple[float, float, float]:
    return tuple(figures_[key] for key in ("accuracy", "accuracy_low", "accuracy_high"))


def _head(raw: FaceSet, shown: bool) -> str:
    notes = "\n".join(f"- {note}" for note in raw.made_by["notes"])
    pictures = "![modalities](modalities.png)\n\n![example faces](faces.png)"
    hidden = f"Figures 1, 2 and 7 show real people: they are in data/{raw.dataset}/report/ and not committed."
    return "\n\n".join(filter(None, ["## Data", notes, pictures if shown else hidden]))


def verdicts(study: Study) -> list[comparison.Verdict]:
    """What these runs say about each claim of the paper."""
    reference, found = study.reference, []
    claim = CLAIMS.get(study.kind, {}).get("ours", {}).get("overall")
    details = study.details[reference]
    if claim:
        found.append(
            comparison.verdict_of_accuracy(claim / 100, details["whole"]["averaged"], details["kept"]["averaged"])
        )
    branches = {name: part["trained_params"].get("branches") for name, part in study.details.items()}
    ablations = {name: used for name, used in branches.items() if used}
    others = study.tests[~study.tests["system"].isin(ablations)].reset_index(drop=True)
    claim = "more accurate than the systems that it compares"
    found.append(comparison.verdict_of_tests(claim, others, reference, absent(study, CLAIMS.get(study.kind, SYSTEMS))))
    found.append(comparison.verdict_of_modalities(study.tests, ablations, reference))
    right = {
        name: comparison_right(study, name) for name in study.details if name == reference or name not in ablations
    }
    found.append(
        comparison.verdict_of_tests(
            "more often right than the others (VGG, ResNet) when faces are hidden or badly lit",
            comparison.hidden_tests(right, reference),
            reference,
            absent(study, ["vgg", "resnet"]),
        )
    )
    networks = [name for name in right if "parameters" in study.details[name]["cost"]]
    latency = {name: study.details[name]["cost"]["latency_ms"] for name in networks}
    return [*found, comparison.verdict_of_speed(latency, reference, absent(study, ["vgg", "resnet"]))]


def absent(study: Study, kinds: Iterable[str]) -> list[str]:
    """Systems of the paper's comparison of which none was run."""
    run = {part["trained_params"].get("kind", name) for name, part in study.details.items()}
    return [SYSTEMS[kind] for kind in kinds if kind != "ours" and kind not in run]


def comparison_right(study: Study, name: str) -> pd.DataFrame:
    """Whether a system is right on each face under each condition."""
    index, right = study.perturbed.index, study.probabilities[name].argmax(axis=1)
    names = index["condition"].unique()
    hits = (right == index["label"].to_numpy()).reshape(len(names), -1)
    return pd.DataFrame(hits.T, columns=names)


def _verdicts(study: Study) -> str:
    rows = [[v.claim, f"**{v.verdict}**", v.reason] for v in verdicts(study)]
    return "## Verdicts\n\n" + table(["the paper claims", "these runs", "because"], rows, text_columns=3)


def _overall_table(study: Study) -> str:
    rows = []
    for name, parts in study.details.items():
        for test, label in TEST_SETS.items():
            part = parts[test]
            accuracy, low, high = (100 * share for share in _interval(part["averaged"]))
            rows.append(
                [
                    *(name, label, f"{part['images']:,}", f"{part['coverage']:.1%}"),
                    *(f"{100 * part['plain']['accuracy']:.2f}", f"{accuracy:.2f}", f"{low:.2f} to {high:.2f}"),
                    f"{100 * part['averaged']['macro']:.2f}",
                ]
            )
    head = ["system", "test set", "images", "coverage", "one run", "ten runs averaged", "95 % interval"]
    shown = table([*head, "mean of classes"], rows, text_columns=2)
    return f"## Accuracy, %\n\n{shown}\n\n{READING}\n\n![accuracy with intervals](accuracy.png)"


def _class_tables(study: Study) -> str:
    """Tables 1 and 2: ours, then in a table of its own the paper's claims under its own protocol."""
    rows = []
    for name, parts in study.details.items():
        whole = parts["whole"]["averaged"]
        values = [whole["accuracy"], whole["macro"], *(whole["per_class"][label] for label in study.classes)]
        rows.append([name, *("–" if value is None else f"{100 * value:.2f}" for value in values)])
    columns = ["overall", "mean of classes", *study.classes]
    parts = ["## By class", "Measured here, %, whole test set, ten runs averaged:", table(["system", *columns], rows)]
    if study.kind in CLAIMS:
        claims = CLAIMS[study.kind]
        claimed = [
            [SYSTEMS[name], *(f"{of[c]:.2f}" if c in of else "–" for c in columns)] for name, of in claims.items()
        ]
        parts += [CLAIMED, table(["system", *columns], claimed)]
    return "\n\n".join(parts)


def _paired(study: Study) -> str:
    if study.tests.empty:
        return ""
    rows = [
        [row["system"], str(row["reference_only"]), str(row["system_only"]), f"{row['p']:.2g}"]
        for _, row in study.tests.iterrows()
    ]
    head = ["system", f"only {study.reference} right", "only this one right", "p"]
    sentences = "\n".join(f"- {comparison.sentence(row, study.reference)}" for _, row in study.tests.iterrows())
    note = f"McNemar's exact test of {study.reference} against each system, whole test set, ten runs averaged; Holm."
    if study.perturbed.index["subject"].notna().all():
        note += " It takes images as independent; those of one person are not, so p is smaller than it should be."
    return f"## Paired tests\n\n{note}\n\n{table(head, rows)}\n\n{sentences}"


def _robustness(study: Study) -> str:
    """Accuracy by condition, how many turned wrong, and corruption errors relative to the baseline's."""
    names = [n for n in study.perturbed.index["condition"].unique() if n.rsplit(" ", 1)[0] not in CORRUPTIONS]
    overall = {name: t[t["class"] == "all"].set_index("condition") for name, t in study.conditions.items()}
    cell = "{:.1f} ({:.1f})".format
    rows = [
        [name, *(cell(100 * of.loc[n, "accuracy"], 100 * of.loc[n, "turned_wrong"]) for n in names)]
        for name, of in overall.items()
    ]
    first = next(iter(overall.values()))
    found = ["face found", *(f"{100 * first.loc[n, 'found']:.1f}" for n in names)]
    parts = [
        "## Robustness",
        f"{len(study.perturbed) // study.perturbed.index['condition'].nunique()} test faces, one prediction each. "
        "Accuracy in %, in brackets the share of those right when clean that turned wrong (the paper's NULL). "
        "Detector, landmarks, alignment and HOG are those of the perturbed image.",
        table(["system", *names], [*rows, found]),
    ]
    errors = {name: corruption_errors(of["accuracy"]) for name, of in overall.items()}
    if errors[study.baseline]:
        base = errors[study.baseline]
        relative = {name: {c: 100 * e[c] / base[c] for c in base} for name, e in errors.items()}
        kinds = [name.replace("_", " ") for name in base]
        shown = [
            [n, f"{np.mean(list(r.values())):.1f}", *(f"{v:.0f}" for v in r.values())] for n, r in relative.items()
        ]
        parts += [
            f"Corruption error, mean over severities, as a percentage of that of {study.baseline}:",
            table(["system", "mean (mCE)", *kinds], shown),
        ]
    return "\n\n".join(parts)


def corruption_errors(accuracy: pd.Series) -> dict[str, float]:
    """Accuracy by condition -> error of each corruption that was run, a mean over its severities."""
    kinds = accuracy.index.str.rsplit(" ", n=1).str[0]
    return {name: float(1 - accuracy[kinds == name].mean()) for name in CORRUPTIONS if (kinds == name).any()}


def _single_faces(study: Study, faces: np.ndarray, shown: bool) -> str:
    """Figure 7: the probability given to the true class of four single faces."""
    index, each = study.perturbed.index, (study.perturbed.index["condition"] == "clean").sum()
    names = [n for n in index["condition"].unique() if n.rsplit(" ", 1)[0] not in CORRUPTIONS]
    rows = []
    for number, face in enumerate(faces, 1):
        label = int(index["label"].iloc[face])
        for place, name in enumerate(names):
            given = [p[place * each + face] for p in study.probabilities.values()]
            cells = [f"{100 * p[label]:.1f}" if p.argmax() == label else "NULL" for p in given]
            rows.append([f"{number} ({study.classes[label]})", name, *cells])
    parts = [
        "## Four faces (figure 7)",
        "Probability of the true class, %; NULL: predicted wrong. The faces are drawn.",
    ]
    parts += ["![perturbed faces](perturbed.png)"] if shown else []
    parts.append(table(["face", "condition", *study.probabilities], rows, text_columns=2))
    claimed = [[a, b, *("NULL" if v is None else f"{v:.2f}" for v in values)] for a, b, *values in FIGURE_7]
    claim = table(["image", "condition", "the paper's network", "VGG", "ResNet"], claimed, text_columns=2)
    return "\n\n".join([*parts, "Claimed by the paper, for four images of its own choice:", claim])


def _cost(study: Study) -> str:
    rows = []
    for name, parts in study.details.items():
        cost, done = parts["cost"], study.trainings[name]
        counts = [f"{cost['parameters']:,}", f"{cost['flops'] / 1e6:,.1f}"] if "parameters" in cost else ["–", "–"]
        rows.append(
            [name, *counts, f"{cost['latency_ms']:.2f}", f"{done['minutes']:.1f}", f"{done['samples_seen']:,.0f}"]
        )
    head = ["system", "parameters", "MFLOPs a face", "ms a face, one core", "minutes of training", "samples seen"]
    note = "The time of a face is from its stored image, landmarks and HOG to probabilities: finding it comes on top."
    return f"## Cost\n\n{table(head, rows)}\n\n{note}"


def _audit(raw: FaceSet, clean: FaceSet) -> str:
    index = clean.index
    shared = index["duplicate_of_test"].sum(), index["duplicate_of_val"].sum()
    people = index.dropna(subset="subject")
    sides = people.groupby("subject")[["split", "fold"]].nunique().max(axis=1)
    lines = [
        f"{(~index['kept']).sum():,} of {len(index):,} images hold no face that the detector finds.",
        f"{shared[0]:,} training images are exact copies of a test image, {shared[1]:,} of a validation image; all "
        "were left out of training.",
        f"{len(sides):,} people are known, {(sides > 1).sum():,} of them on two sides." if len(sides) else "",
    ]
    return "## Data and leaks\n\n" + "\n".join(f"- {line}" for line in lines if line)


def _runs(study: Study) -> str:
    lines = ["## What the runs were", ""]
    for name, parts in study.details.items():
        whole, done = parts["whole"], study.trainings[name]
        minutes = done["minutes"]
        duration = f"{minutes:.1f} minutes" if minutes >= 1 else "less than a minute"
        trained = "1 training" if done["models"] == 1 else f"{done['models']} trainings"
        spread = f"{100 * whole['runs']['accuracy_mean']:.2f} ± {100 * whole['runs']['accuracy_sd']:.2f}"
        line = (
            f"- **{name}**: {parts['protocol']}. {trained}, {duration} on {done['device']}, "
            f"{int(done['samples_seen']):,} samples seen in all. "
            f"The {whole['runs']['count']} runs one by one: {spread} %."
        )
        if "seeds" in whole:
            seeds = whole["seeds"]
            line += f" {seeds['count']} seeds: {100 * seeds['accuracy_mean']:.2f} ± {100 * seeds['accuracy_sd']:.2f} %."
        lines.append(line)
    return "\n".join(lines)


def _curves(study: Study) -> str:
    pictures = [
        f"![ROC of {name}](../../{study.dataset}/{name}/roc.png)\n\n"
        f"![confusion of {name}](../../{study.dataset}/{name}/confusion.png)"
        for name in study.details
    ]
    return "\n\n".join(["## ROC curves and confusion matrices (whole test set, ten runs averaged)", *pictures])
