"""The part of a data set's page on perturbed faces: by condition, by class, by corruption, and the paper's figure 7."""

from typing import Any

import numpy as np
import pandas as pd

from mmfer.report.page import Folded, Inline, Picture, Table
from mmfer.report.paper import FIGURE_7
from mmfer.report.results import Study
from mmfer.testing.corruptions import CORRUPTIONS, is_corruption

Overall = dict[str, pd.DataFrame]  # by system: a row for each condition, of all classes


def robustness_blocks(study: Study) -> list[Any]:
    """By condition: accuracy, how many turned wrong, probability of the true class; and corruption errors."""
    tables = {name: study.conditions[name] for name in study.comparable() if name in study.conditions}
    overall = {name: table[table["class"] == "all"].set_index("condition") for name, table in tables.items()}
    if not overall:
        return []
    first = next(iter(overall.values()))
    names = [name for name in first.index if not is_corruption(name)]
    cell = "{:.1f} ({:.1f})".format
    rows: list[list[Inline]] = [
        [name, *(cell(100 * of.loc[n, "accuracy"], 100 * of.loc[n, "turned_wrong"]) for n in names)]
        for name, of in overall.items()
    ]
    found: list[Inline] = ["face found", *(f"{100 * first.loc[n, 'found']:.1f}" for n in names)]
    note = (
        f"{int(first['images'].iloc[0])} test faces, one prediction each. Accuracy in %, in brackets the share of "
        "those right when clean that turned wrong (the paper's NULL). Detector, landmarks, alignment and HOG are those "
        "of the perturbed image."
    )
    more = [_probabilities(overall, names), _by_class(study, names), _corruptions(study, overall)]
    return [note, Table(["system", *names], [*rows, found]), *(block for blocks in more for block in blocks)]


def _probabilities(overall: Overall, names: list[str]) -> list[Any]:
    given = [[name, *(f"{100 * of.loc[n, 'probability']:.1f}" for n in names)] for name, of in overall.items()]
    note = "%; that of a support vector machine is not calibrated."
    return [Folded("Mean probability given to the true class", [note, Table(["system", *names], given)])]


def _by_class(study: Study, names: list[str]) -> list[Any]:
    if study.reference not in study.conditions:
        return []
    of = study.conditions[study.reference].set_index(["class", "condition"])["accuracy"]
    rows = [[label, *(f"{100 * of[label, n]:.1f}" for n in names)] for label in study.classes if (label, "clean") in of]
    note = f"Accuracy in %. That of the other systems: data/{study.dataset}/results/robustness/<system>/conditions.csv."
    return [Folded(f"{study.reference} by class", [note, Table(["class", *names], rows)])]


def _corruptions(study: Study, overall: Overall) -> list[Any]:
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
    note = f"Mean over severities, as a percentage of that of {study.baseline} (–: it makes none)."
    return [Folded("Corruption error", [note, Table(["system", "mean (mCE)", *kinds], rows)])]


def corruption_errors(accuracy: pd.Series) -> dict[str, float]:
    """Accuracy by condition -> error of each corruption that was run, a mean over its severities."""
    kinds = accuracy.index.str.rsplit(" ", n=1).str[0]
    return {name: float(1 - accuracy[kinds == name].mean()) for name in CORRUPTIONS if (kinds == name).any()}


def single_faces(study: Study, faces: list[int], pictures: list[Picture]) -> list[Any]:
    """Figure 7: the probability that systems give to the true class of single faces (rows of raw), by condition."""
    wanted = study.comparable([study.reference, *study.of_kinds(["vgg", "resnet"]), study.baseline])
    tables = {name: study.perturbed[name].set_index(["row", "condition"]) for name in wanted if name in study.perturbed}
    if not tables or not faces:
        return []
    first = next(iter(tables.values()))
    rows = []
    for number, face in enumerate(faces, 1):
        for condition, one in first.loc[face].iterrows():
            given = [of.loc[(face, condition)] for of in tables.values()]
            cells = [f"{100 * cell['probability']:.1f}" if cell["right"] else "NULL" for cell in given]
            rows.append([f"{number} ({study.classes[one['label']]})", condition, *cells])
    note = (
        "Probability of the true class, %; NULL: predicted wrong. The faces are drawn by a seed, one each of four "
        "classes, among those that the detector finds when clean."
    )
    claimed = [[a, b, *("NULL" if v is None else f"{v:.2f}" for v in values)] for a, b, *values in FIGURE_7]
    head = ["image", "condition", "the paper's network", "VGG", "ResNet"]
    claim = ["Claimed by the paper, for four images of its own choice:", Table(head, claimed, 2)]
    return [Folded("Four faces (figure 7)", [note, *pictures, Table(["face", "condition", *tables], rows, 2), *claim])]
