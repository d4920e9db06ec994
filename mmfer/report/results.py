"""All that was measured on one data set, read from what the stages wrote below metrics/<dataset>.

Results are gathered from the small committed files alone, never from models or predictions: a table can grow over
several machines, and of a network that was trained elsewhere nothing but its results is needed.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmfer.config import StudyParams, pick
from mmfer.data.faceset import FaceSet
from mmfer.report.paper import SYSTEMS

HOW = {"seeds", "device", "precision"}  # say how often and on what it is trained, not what is trained


@dataclass(frozen=True)
class Study:
    """One data set and the systems that were evaluated on it, the reference first, then by accuracy."""

    dataset: str
    kind: str  # of the source: synthetic, fer2013, ckplus
    classes: list[str]
    details: dict[str, dict[str, Any]]  # details.json by system
    trainings: dict[str, dict[str, Any]]  # train.json by system
    right: dict[str, np.ndarray]  # bool (test images,), runs averaged
    tested: np.ndarray  # raw rows of the test images
    people: np.ndarray | None  # of every raw row, where they are known
    conditions: dict[str, pd.DataFrame]  # robustness.csv by system
    faces: dict[str, pd.DataFrame]  # faces.csv by system
    copies: int  # rows of one training, copies included: the paper's epoch
    reference: str
    baseline: str

    def block(self, name: str) -> dict[str, Any]:
        """The block of params.yaml that a system was trained with, its `kind` made explicit."""
        return {"kind": name} | self.details[name]["trained_params"]

    def label(self, name: str) -> str:
        """A system by its name and by that of the paper, where the paper compares it."""
        kind = self.block(name)["kind"]
        return f"{name} ({SYSTEMS[kind]})" if kind in SYSTEMS and kind != "ours" else name

    def people_of(self, rows: np.ndarray) -> np.ndarray | None:
        """Who is on some raw rows, None where it is not known."""
        return None if self.people is None else self.people[rows]

    def kin(self) -> list[str]:
        """Systems of the reference's kind: itself and its ablations."""
        return [name for name in self.details if self.block(name)["kind"] == self.block(self.reference)["kind"]]

    def of_kinds(self, kinds: Iterable[str]) -> list[str]:
        """Systems of some kinds, but not of the reference's; an ensemble counts as of the kind of its members."""
        wanted = set(kinds) - {self.block(self.reference)["kind"]}
        return [name for name in self.details if self.block(name)["kind"].removesuffix("_ensemble") in wanted]

    def is_network(self, name: str) -> bool:
        """Whether a system is trained in epochs; an estimator is fitted once."""
        return "epochs" in self.details[name]["trained"]

    def samples(self, name: str) -> int:
        """Samples that one training of a system has seen."""
        return round(self.trainings[name]["samples_seen"] / self.trainings[name]["models"])

    def passes(self, name: str) -> float:
        """How often one training of a network has seen the training copies: epochs, as the paper counts them."""
        return self.samples(name) / self.copies

    def settings(self, name: str) -> dict[str, Any]:
        """All that defines a system and its training, as params.yaml has it."""
        train = self.details[name].get("train", {})
        return self.block(name) | {f"train.{key}": value for key, value in train.items() if key not in HOW}

    def changed(self, name: str) -> dict[str, Any]:
        """Those settings of a system that are not the reference's; None where the system has no such setting."""
        mine, base = self.settings(name), self.settings(self.reference)
        return {key: mine.get(key) for key in base | mine if mine.get(key) != base.get(key)}


def read_study(raw: FaceSet, features: FaceSet, metrics: Path, params: StudyParams) -> Study:
    """Gather the results below `metrics`; MmferError if `study.reference` or `baseline` is not among the systems."""
    found = {path.parent.name: json.loads(path.read_text()) for path in sorted(metrics.glob("*/details.json"))}
    for key in ("reference", "baseline"):
        pick(found, getattr(params, key), f"params.yaml: study.{key}: systems")
    names = sorted(found, key=lambda n: (n != params.reference, -found[n]["whole"]["averaged"]["accuracy"]))
    index = features.index
    tested = index[(index["copy"] == 0) & ((index["split"] == "test") | (index["fold"] >= 0))]
    return Study(
        dataset=raw.dataset,
        kind=raw.made_by["params"]["kind"],
        classes=raw.classes,
        details={name: found[name] for name in names},
        trainings={name: json.loads((metrics / name / "train.json").read_text()) for name in names},
        right={name: _right(metrics / name / "confusion.csv") for name in names},
        tested=tested["parent"].to_numpy(),
        people=raw.index["subject"].to_numpy() if tested["subject"].notna().all() else None,
        conditions=_tables(metrics, names, "robustness.csv"),
        faces=_tables(metrics, names, "faces.csv"),
        copies=_rows_of_a_training(index),
        reference=params.reference,
        baseline=params.baseline,
    )


def _right(path: Path) -> np.ndarray:
    """Whether the averaged runs are right, bool (images,), from the pairs of classes that `evaluate` wrote."""
    pairs = pd.read_csv(path)
    return (pairs["actual"] == pairs["predicted"]).to_numpy()


def _tables(metrics: Path, names: list[str], file: str) -> dict[str, pd.DataFrame]:
    """A table of each system that has one: robustness may have been measured for some alone."""
    return {name: pd.read_csv(metrics / name / file) for name in names if (metrics / name / file).exists()}


def _rows_of_a_training(index: pd.DataFrame) -> int:
    """Trainable rows, of all folds but one where there are folds."""
    folds = index["fold"].nunique()
    share = (folds - 1) / folds if (index["fold"] >= 0).any() else 1.0
    return round(int(index["trainable"].sum()) * share)
