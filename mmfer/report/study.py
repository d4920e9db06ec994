"""The page of one data set: every system on the same test faces beside what the paper claims.

Pictures of real people stay under data/, which git ignores. The paper's figures stand in tables of their own, under
their own protocol.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from mmfer.config import FACE_PX, StudyParams
from mmfer.data.duplicates import copies_of_held_out
from mmfer.data.faceset import FaceSet, count_splits, open_faceset
from mmfer.files import write_json
from mmfer.report import comparison, figures
from mmfer.report.page import table, write_page
from mmfer.report.paper import CLAIMS, PUBLISHED, RECONSTRUCTED, SYSTEMS
from mmfer.report.results import Study, read_study
from mmfer.report.tables import draw_figure_7, figure_7_faces, robustness_tables, single_faces
from mmfer.report.verdicts import verdicts

READING = (
    "One run: each face as it is, predicted once. Runs averaged: the mean of several predictions of one network, the "
    "first of them plain, the others of slightly moved faces. Intervals: bootstrap over people where they are known, "
    "else over images. All but the last two columns are of the whole official test set, nothing dropped: where no face "
    "was found the network sees the plain frame. The last two leave images out; in brackets the share that they count."
)
CLAIMED = "Claimed by the paper, %, on a test set that it filtered itself: not comparable with the figures above."


def write_chapter(data: Path, target: Path, params: StudyParams) -> Path:
    """Write `target`/study.md, .html, .json and figures; return the HTML. `data`: the data set's folder."""
    raw, clean = open_faceset(data / "raw", needs=("images",)), open_faceset(data / "clean")
    augmented = open_faceset(data / "augmented", needs=("images",))
    features = open_faceset(data / "features", needs=("landmarks", "hog"))
    perturbed = open_faceset(data / "perturbed", needs=("images",))
    study = read_study(data / "results", params)
    shown = study.kind == "synthetic"
    pictures = target if shown else data / "report"
    _figure_1(augmented, features, pictures / "modalities.png", params)
    _figure_2(raw, clean, pictures / "faces.png", params)
    faces = figure_7_faces(perturbed, params.seed)
    draw_figure_7(perturbed, faces, pictures / "perturbed.png")
    _interval_figure(study, target / "accuracy.png")
    parts = [_verdicts(study), _budget(study), _head(raw, shown), _overall_table(study), _class_tables(study)]
    parts += [_ablations(study), _paired(study), robustness_tables(study), single_faces(study, perturbed, faces, shown)]
    parts += [_cost(study), _audit(raw, clean), _runs(study)]
    write_json(target / "study.json", _summary(study, clean, augmented))
    return write_page(target, "study", f"mmfer on {study.dataset}", [part for part in parts if part])


def _summary(study: Study, clean: FaceSet, augmented: FaceSet) -> dict[str, Any]:
    """What the report over all data sets needs of this one."""
    whole = study.details[study.reference]["whole"]
    return {
        "dataset": study.dataset,
        "kind": study.kind,
        "images": whole["images"],
        "systems": list(study.details),
        "reference": study.reference,
        "accuracy": {key: whole["averaged"][key] for key in ("accuracy", "accuracy_low", "accuracy_high", "macro")},
        "one_run": whole["plain"]["accuracy"],
        "samples": study.samples(study.reference),
        "passes": study.passes(study.reference),
        "settings": {"clean": clean.made_by["params"], "augment": augmented.made_by["params"]},
        "verdicts": [verdict.to_json() for verdict in verdicts(study)],
    }


def _figure_1(augmented: FaceSet, features: FaceSet, path: Path, params: StudyParams) -> None:
    """The three modalities of one face: the kept test face that the seed draws."""
    index = augmented.index
    tested = (index["copy"] == 0) & index["kept"] & ((index["split"] == "test") | (index["fold"] >= 0))
    row = int(np.random.default_rng(params.seed).choice(np.flatnonzero(tested)))
    extract = features.made_by["params"]
    grid = {"orientations": extract["orientations"], "block_cells": extract["block_cells"]}
    cells = FACE_PX // extract["cell_px"]
    face, values = augmented.images[row], features.hog[row].astype(np.float32)
    figures.modalities(face, features.landmarks[row], values, path, cells=cells, **grid)


def _figure_2(raw: FaceSet, clean: FaceSet, path: Path, params: StudyParams) -> None:
    """Example faces of each class and the class counts."""
    rng, examples = np.random.default_rng(params.seed), {}
    for label, name in enumerate(raw.classes):
        rows = np.flatnonzero((raw.index["label"] == label) & clean.index["kept"])
        examples[name] = raw.images[np.sort(rng.choice(rows, min(params.faces_per_class, len(rows)), replace=False))]
    title = f"{raw.dataset}: example faces and images per class"
    by_split = count_splits(raw.index, raw.classes).groupby("split", sort=False)
    counts = {split: dict(zip(part["class"], part["images"], strict=True)) for split, part in by_split}
    figures.sample_faces(examples, counts, title, path)


def _interval_figure(study: Study, path: Path) -> None:
    """The reference beside the paper's claim, on the whole test set and on the faces found; then every other system."""
    claim = CLAIMS.get(study.kind, {}).get("ours", {}).get("overall")
    share = claim and claim / 100
    own = study.details[study.reference]
    found = f"{study.reference}, faces found ({own['kept']['coverage']:.0%})"
    rows = [(found, *_interval(own["kept"]["averaged"]), share)]
    rows += [(name, *_interval(part["whole"]["averaged"]), None) for name, part in study.details.items()]
    figures.interval_bars(rows, "Accuracy on the whole test set, runs averaged", path)


def _interval(figures_: dict[str, Any]) -> tuple[float, float, float]:
    return tuple(figures_[key] for key in ("accuracy", "accuracy_low", "accuracy_high"))


def _per_cent(share: float) -> str:
    return f"{100 * share:.2f}"


def _verdicts(study: Study) -> str:
    rows = [[v.claim, f"**{v.verdict}**", v.reason] for v in verdicts(study)]
    shown = table(["the paper claims", "these runs", "because"], rows, text_columns=3)
    note = (
        "The tests of a claim are corrected (Holm) for their own number, those of a table below for all its rows: a "
        "difference may be shown here and not there."
    )
    return f"## Verdicts\n\n{shown}\n\n{note}"


def _budget(study: Study) -> str:
    """How much the networks were trained, in one sentence."""
    networks = [name for name in study.details if study.is_network(name)]
    if not networks:
        return ""
    seen = sorted({study.samples(name) for name in networks})
    amount = f"{seen[0]:,}" if len(seen) == 1 else f"{seen[0]:,} to {seen[-1]:,}"
    passes = sorted(study.passes(name) for name in networks)
    times = f"{passes[0]:.2g}" if len(seen) == 1 else f"{passes[0]:.2g} to {passes[-1]:.2g}"
    return (
        f"Each network saw {amount} samples in a training: {times} passes over the rows that it draws from, where the "
        "paper speaks of 500. Verdicts on accuracy are withheld below one pass."
    )


def _head(raw: FaceSet, shown: bool) -> str:
    notes = "\n".join(f"- {note}" for note in raw.made_by["notes"])
    pictures = (
        "![Figure 1: the three modalities of one face](modalities.png)\n\n"
        "![Figure 2: example faces and images by class](faces.png)"
    )
    hidden = f"Figures 1, 2 and 7 show real people: they are in data/{raw.dataset}/report/ and not committed."
    return "\n\n".join(filter(None, ["## Data", notes, pictures if shown else hidden]))


def _overall_table(study: Study) -> str:
    rows = []
    for name, parts in study.details.items():
        whole = parts["whole"]
        accuracy, low, high = _interval(whole["averaged"])
        partial = [
            f"{_per_cent(parts[test]['averaged']['accuracy'])} ({100 * parts[test]['coverage']:.1f})"
            for test in ("kept", "kept_unique")
        ]
        rows.append(
            [
                study.label(name) + ("\N{NO-BREAK SPACE}*" if study.block(name)["kind"] in RECONSTRUCTED else ""),
                *(_per_cent(whole["plain"]["accuracy"]), _per_cent(accuracy)),
                *(f"{_per_cent(low)} to {_per_cent(high)}", _per_cent(whole["averaged"]["macro"]), _seeds(whole)),
                *partial,
            ]
        )
    whole = study.details[study.reference]["whole"]
    head = ["system", "one run", f"{whole['runs']['count']} runs averaged", "95 % interval", "mean of classes"]
    shown = table([*head, "over seeds", "faces found", "found, no exact copies"], rows)
    notes = f"{whole['images']:,} test images. {READING} * Our reconstruction: the source could not be read."
    return f"## Accuracy, %\n\n{shown}\n\n{notes}\n\n![accuracy with intervals](accuracy.png)"


def _seeds(whole: dict[str, Any]) -> str:
    if "seeds" not in whole:
        return "–"
    seeds = whole["seeds"]
    return f"{_per_cent(seeds['accuracy_mean'])} ± {_per_cent(seeds['accuracy_sd'])} ({seeds['count']})"


def _class_tables(study: Study) -> str:
    """Tables 1 and 2: ours, then in a table of its own the paper's claims under its own protocol."""
    rows = []
    for name, parts in study.details.items():
        whole = parts["whole"]["averaged"]
        values = [whole["accuracy"], whole["macro"], *(whole["per_class"][label] for label in study.classes)]
        rows.append([study.label(name), *("–" if value is None else _per_cent(value) for value in values)])
    columns = ["overall", "mean of classes", *study.classes]
    number = {"fer2013": " (the paper's table 1)", "ckplus": " (the paper's table 2)"}.get(study.kind, "")
    parts = [
        f"## By class{number}",
        "Measured here, %, whole test set, runs averaged:",
        table(["system", *columns], rows),
    ]
    if study.kind in CLAIMS:
        claimed = [
            [SYSTEMS[name], *(f"{of[c]:.2f}" if c in of else "–" for c in columns)]
            for name, of in CLAIMS[study.kind].items()
        ]
        parts += [CLAIMED, table(["system", *columns], claimed)]
    if study.kind in PUBLISHED:
        rows = [[system, f"{value:.2f}", protocol, source] for system, value, protocol, source in PUBLISHED[study.kind]]
        parts += ["Published by others, %, each under its own protocol, for orientation:"]
        parts += [table(["system", "accuracy", "protocol", "source"], rows, text_columns=4)]
    return "\n\n".join(parts)


def _ablations(study: Study) -> str:
    """The reference and the systems of its kind: what differs, what it costs, and whether it matters."""
    if len(study.kin()) < 2:
        return ""
    tests = study.tests(study.kin()).set_index("system")
    rows = []
    for name in study.kin():
        whole = study.details[name]["whole"]
        changed = ", ".join(f"{key}: {json.dumps(value)}" for key, value in study.changed(name).items())
        row = [name, changed.replace('"', "") or "–", _count(study.details[name]["cost"])]
        row += [_per_cent(whole["plain"]["accuracy"]), _per_cent(whole["averaged"]["accuracy"]), _seeds(whole)]
        row += [f"{tests['p'][name]:.2g}" if name in tests.index else "–"]
        rows.append(row)
    head = ["system", f"what differs from {study.reference}", "parameters", "one run", "runs averaged"]
    head += ["over seeds", "p"]
    sentences = "\n".join(
        f"- {comparison.sentence(row, study.reference)}"
        for _, row in tests.reset_index().iterrows()
        if row["p"] < comparison.LEVEL
    )
    note = "Accuracy in %, whole test set. p: paired test against the reference, Holm-corrected over this table."
    none = f"No difference to {study.reference} is shown for any of them."
    return f"## Ablations\n\n{note}\n\n{table(head, rows, text_columns=2)}\n\n{sentences or none}"


def _count(cost: dict[str, Any]) -> str:
    return f"{cost['parameters']:,}" if "parameters" in cost else "–"


def _paired(study: Study) -> str:
    tests = study.tests()
    if tests.empty:
        return ""
    rows = []
    for _, row in tests.iterrows():
        counts = str(row["reference_only"]), str(row["system_only"])
        rows.append([row["system"], comparison.sentence(row, study.reference), *counts, f"{row['p']:.2g}"])
    head = ["system", "what the test shows", f"only {study.reference} right", "only this one right", "p"]
    note = (
        f"{study.reference} against each system, whole test set; Holm over all rows. With three trainings or more of "
        "each network a test is over trainings and people together, with fewer McNemar's exact test of two networks."
    )
    chance = study.not_above_chance()
    note += f" Not above chance, nothing is concluded: {', '.join(chance)}." if chance else ""
    return f"## Paired tests\n\n{note}\n\n{table(head, rows, text_columns=2)}"


def _cost(study: Study) -> str:
    rows = []
    for name, parts in study.details.items():
        cost, done = parts["cost"], study.training(name)
        counts = [f"{cost['parameters']:,}", f"{cost['flops'] / 1e6:,.1f}"] if "parameters" in cost else ["–", "–"]
        minutes = done["minutes"]  # to the hundredth, of all trainings: of a tenth and less no speed can be told
        each = f"{done['models'] * study.samples(name) / (60 * minutes):,.0f}" if minutes > 0.1 else "–"
        spent = [f"{minutes:.1f}", str(done["models"]), f"{study.samples(name):,}", each]
        rows.append([study.label(name), *counts, f"{cost['latency_ms']:.2f}", *spent])
    head = ["system", "parameters", "MFLOPs a face", "ms a face, one core", "minutes of training", "trainings"]
    note = (
        "The time of a face is from its stored image, landmarks and HOG to probabilities: finding it comes on top. "
        "Times are those of the machine that a system was run on; they compare only where that was the same one."
    )
    return f"## Cost\n\n{table([*head, 'samples in each', 'samples a second'], rows)}\n\n{note}"


def _audit(raw: FaceSet, clean: FaceSet) -> str:
    index = clean.index
    left_out = index["split"][copies_of_held_out(index)]
    people = index.dropna(subset="subject")
    sides = people.groupby("subject")[["split", "fold"]].nunique().max(axis=1)
    lines = [
        f"{(~index['kept']).sum():,} of {len(index):,} images hold no face that the detector finds.",
        f"{(left_out == 'train').sum():,} training images are exact copies of a test or validation image, "
        f"{(left_out == 'val').sum():,} validation images of a test image; all were left out.",
        f"{len(sides):,} people are known, {(sides > 1).sum():,} of them on two sides." if len(sides) else "",
    ]
    return "## Data and leaks\n\n" + "\n".join(f"- {line}" for line in lines if line)


def _runs(study: Study) -> str:
    lines = ["## What the runs were", ""]
    for name, parts in study.details.items():
        whole, done = parts["whole"], study.training(name)
        minutes = done["minutes"]
        duration = f"{minutes:.1f} minutes" if minutes >= 1 else "less than a minute"
        trained = "1 training" if done["models"] == 1 else f"{done['models']} trainings"
        spread = f"{_per_cent(whole['runs']['accuracy_mean'])} ± {_per_cent(whole['runs']['accuracy_sd'])}"
        lines.append(
            f"- **{name}**: {parts['protocol']}. {trained}, {duration} on {done['device']}, "
            f"{int(done['samples_seen']):,} samples seen in all. "
            f"The {whole['runs']['count']} runs one by one: {spread} %."
        )
    return "\n".join(lines)
