"""The part of a data set's page on perturbed faces: by condition, by class, by corruption, and the paper's figure 7."""

from pathlib import Path

import numpy as np
import pandas as pd

from mmfer.data.faceset import FaceSet
from mmfer.report import figures
from mmfer.report.page import table
from mmfer.report.paper import FIGURE_7
from mmfer.report.results import Study
from mmfer.testing.corruptions import CORRUPTIONS, is_corruption


def robustness_tables(study: Study) -> str:
    """By condition: accuracy, how many turned wrong, probability of the true class; and corruption errors."""
    overall = {name: t[t["class"] == "all"].set_index("condition") for name, t in study.conditions.items()}
    if not overall:
        return ""
    first = next(iter(overall.values()))
    names = [name for name in first.index if not is_corruption(name)]
    cell = "{:.1f} ({:.1f})".format
    rows = [
        [name, *(cell(100 * of.loc[n, "accuracy"], 100 * of.loc[n, "turned_wrong"]) for n in names)]
        for name, of in overall.items()
    ]
    found = ["face found", *(f"{100 * first.loc[n, 'found']:.1f}" for n in names)]
    given = [[name, *(f"{100 * of.loc[n, 'probability']:.1f}" for n in names)] for name, of in overall.items()]
    return "\n\n".join(
        [
            "## Robustness",
            f"{int(first['images'].iloc[0])} test faces, one prediction each. "
            "Accuracy in %, in brackets the share of those right when clean that turned wrong (the paper's NULL). "
            "Detector, landmarks, alignment and HOG are those of the perturbed image.",
            table(["system", *names], [*rows, found]),
            "Mean probability given to the true class, %; that of a support vector machine is not calibrated:",
            table(["system", *names], given),
            *_by_class(study, names),
            *_corruptions(study, overall),
        ]
    )


def _by_class(study: Study, names: list[str]) -> list[str]:
    if study.reference not in study.conditions:
        return []
    of = study.conditions[study.reference].set_index(["class", "condition"])["accuracy"]
    rows = [[label, *(f"{100 * of[label, n]:.1f}" for n in names)] for label in study.classes if (label, "clean") in of]
    note = f"Accuracy of {study.reference} by class, %; other systems: data/{study.dataset}/results/robustness/."
    return [note, table(["class", *names], rows)]


def _corruptions(study: Study, overall: dict[str, pd.DataFrame]) -> list[str]:
    errors = {name: corruption_errors(of["accuracy"]) for name, of in overall.items()}
    base = errors.get(study.baseline)
    if not base:
        return []
    kinds = [name.replace("_", " ") for name in base]
    rows = []
    for name, error in errors.items():
        relative = {kind: 100 * error[kind] / base[kind] for kind in base if base[kind]}
        mean = f"{np.mean(list(relative.values())):.1f}" if relative else "–"
        rows.append([name, mean, *(f"{relative[kind]:.0f}" if kind in relative else "–" for kind in base)])
    note = f"Corruption error, mean over severities, as a percentage of that of {study.baseline} (–: it makes none):"
    return [note, table(["system", "mean (mCE)", *kinds], rows)]


def corruption_errors(accuracy: pd.Series) -> dict[str, float]:
    """Accuracy by condition -> error of each corruption that was run, a mean over its severities."""
    kinds = accuracy.index.str.rsplit(" ", n=1).str[0]
    return {name: float(1 - accuracy[kinds == name].mean()) for name in CORRUPTIONS if (kinds == name).any()}


def figure_7_faces(perturbed: FaceSet, seed: int) -> np.ndarray:
    """Four faces (rows of the clean condition) of four classes, as the seed draws them among those found when clean."""
    clean = perturbed.index[perturbed.index["condition"] == "clean"].reset_index(drop=True)
    rng, labels = np.random.default_rng(seed), np.unique(clean["label"][clean["found"]])
    drawn = np.sort(rng.choice(labels, min(4, len(labels)), replace=False))
    return np.array([rng.choice(np.flatnonzero(clean["found"] & (clean["label"] == label))) for label in drawn])


def draw_figure_7(perturbed: FaceSet, faces: np.ndarray, path: Path) -> None:
    """The four faces under each of the paper's conditions, as the networks see them."""
    names = [name for name in perturbed.index["condition"].unique() if not is_corruption(name)]
    each = (perturbed.index["condition"] == "clean").sum()
    rows = [place * each + face for face in faces for place in range(len(names))]
    figures.contact_sheet(perturbed.images[rows], names * len(faces), len(names), path, title="what the networks see")


def single_faces(study: Study, perturbed: FaceSet, faces: np.ndarray, shown: bool) -> str:
    """Figure 7: the probability given to the true class of four single faces, by ours and those that it names."""
    wanted = [study.reference, *study.of_kinds(["vgg", "resnet"]), study.baseline]
    tables = {name: study.perturbed[name].set_index(["row", "condition"]) for name in wanted if name in study.perturbed}
    if not tables:
        return ""
    index = perturbed.index
    names = [name for name in index["condition"].unique() if not is_corruption(name)]
    rows = []
    for number, face in enumerate(faces, 1):
        place = index["parent"].iloc[face], study.classes[index["label"].iloc[face]]
        for name in names:
            given = [of.loc[(place[0], name)] for of in tables.values()]
            cells = [f"{100 * one['probability']:.1f}" if one["right"] else "NULL" for one in given]
            rows.append([f"{number} ({place[1]})", name, *cells])
    parts = [
        "## Four faces (figure 7)",
        "Probability of the true class, %; NULL: predicted wrong. The faces are drawn by a seed, one each of four "
        "classes, among those that the detector finds when clean.",
    ]
    parts += ["![Figure 7: what the networks see of four faces](perturbed.png)"] if shown else []
    parts.append(table(["face", "condition", *tables], rows, text_columns=2))
    claimed = [[a, b, *("NULL" if v is None else f"{v:.2f}" for v in values)] for a, b, *values in FIGURE_7]
    claim = table(["image", "condition", "the paper's network", "VGG", "ResNet"], claimed, text_columns=2)
    return "\n\n".join([*parts, "Claimed by the paper, for four images of its own choice:", claim])
