"""All that was measured on one data set, read from the row-level results that evaluate and robustness wrote.

They lie below data/<dataset>/results, in DVC's cache and not in git; pages can be made again from them alone, without
images or models, and of a network that was trained elsewhere nothing but its two folders is needed.

evaluate/<system>/ (mmfer.testing.evaluate)
    faces.parquet       a row for each test image, in the order of the raw rows: row (in raw), digest (of its pixels),
                        label, subject, fold, kept (a face was found), duplicate (an exact copy of an earlier one);
                        and classes (int8) predicted: averaged (mean of the runs of the first seed), run_<k> (each run
                        of the first seed; run 0 is plain), seed_<s> (each seed's network on the plain images)
    probabilities.npz   float32: runs (runs, images, classes), of the first seed; seeds (seeds, images, classes), plain
    details.json        dataset, kind (of the source), classes, system, protocol; rows: the digest of the test images
                        whole, kept, kept_unique: each coverage, images, averaged and plain (accuracy, macro, each
                        with _low and _high, macro_auc, ece, per_class), runs and seeds (count, accuracy_mean,
                        accuracy_sd), chance (floor, low, above)
                        confusion (counts, true class by row), roc {class: false_positive_rate, true_positive_rate,
                        auc}, each_run, each_seed, calibration (where one temperature was fitted), votes (averaged and
                        plain: cross_entropy, kl, agreement, agreement_most; where raters' votes are known)
                        trained (result of the first model), trained_params (the system's block), train (its training
                        block), training (models, seeds, samples_seen, passes, minutes, device, and samples_before where
                        it went on from another), cost (latency_ms, and of networks parameters, flops)
robustness/<system>/ (mmfer.testing.robustness)
    faces.parquet       a row for each face and each of the paper's conditions: row (in raw), subject, condition,
                        label, probability (of the true class, first seed), seed_<s> (predicted class)
    conditions.csv      a row for each condition (corruptions too) and class, and class `all`, first seed: found,
                        accuracy, probability, turned_wrong, images
    details.json        dataset, classes, rows (digest of the faces and of how they were perturbed), seeds, figures
                        (accuracy by condition)

Results are compared image by image, so `rows` must be the same in all of them.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmfer.config import StudyParams, pick
from mmfer.errors import MmferError
from mmfer.report.comparison import Answers, paired_tests
from mmfer.report.paper import SYSTEMS
from mmfer.testing.statistics import person_groups

HOW = {"seeds", "device", "precision"}  # say how often and on what it is trained, not what is trained


@dataclass(frozen=True)
class Study:
    """One data set and the systems that were evaluated on it, the reference first, then by accuracy."""

    details: dict[str, dict[str, Any]]  # evaluate's details.json by system
    predicted: dict[str, pd.DataFrame]  # evaluate's faces.parquet by system
    conditions: dict[str, pd.DataFrame]  # robustness' conditions.csv by system, where it was run
    perturbed: dict[str, pd.DataFrame]  # robustness' faces.parquet by system, with `right` (bool, first seed)
    reference: str
    baseline: str

    @property
    def dataset(self) -> str:
        """Name of the data set."""
        return self.details[self.reference]["dataset"]

    @property
    def kind(self) -> str:
        """Kind of its source: synthetic, fer2013, ckplus, ferplus."""
        return self.details[self.reference]["kind"]

    @property
    def classes(self) -> list[str]:
        """Class names in their order."""
        return self.details[self.reference]["classes"]

    def above_chance(self, name: str) -> bool:
        """Whether a system is shown to be better than a constant answer and than guessing; see `comparable`."""
        return self.details[name]["whole"]["chance"]["above"]

    def comparable(self, names: Iterable[str] | None = None) -> list[str]:
        """Those of some systems (None: of all) that are above chance: from the others nothing is concluded."""
        return [name for name in (self.details if names is None else names) if self.above_chance(name)]

    def not_above_chance(self, names: Iterable[str] | None = None) -> list[str]:
        """Those of some systems (None: of all) that are not shown to be above chance, to be listed apart."""
        return [name for name in (self.details if names is None else names) if not self.above_chance(name)]

    def answers(self, name: str, chosen: np.ndarray | None = None) -> Answers:
        """Which test images a system gets right; of those that `chosen` (images,) marks, None: all."""
        table = self.predicted[name] if chosen is None else self.predicted[name][chosen]
        return Answers(
            averaged=(table["averaged"] == table["label"]).to_numpy(),
            trainings=_right_by_seed(table),
            random=self.is_network(name),
        )

    def groups(self, chosen: np.ndarray | None = None) -> np.ndarray | None:
        """Who is on each test image, as numbers; None where nobody is known."""
        table = self.predicted[self.reference]
        return person_groups((table if chosen is None else table[chosen])["subject"])

    def tests(self, names: Iterable[str] | None = None) -> pd.DataFrame:
        """The reference against some systems (None: all) on the whole test set: see comparison.paired_tests.

        Systems that are not above chance are left out; where the reference is one of them, there are no rows.
        """
        compared = self.comparable(names) if self.above_chance(self.reference) else []
        answers = {name: self.answers(name) for name in dict.fromkeys([self.reference, *compared])}
        return paired_tests(answers, self.reference, self.groups())

    def answers_under(self, name: str, condition: str) -> Answers:
        """Which perturbed faces a system gets right under one of the paper's conditions."""
        table = self.perturbed[name]
        right = _right_by_seed(table[table["condition"] == condition])
        return Answers(averaged=right[0], trainings=right, random=self.is_network(name))

    def groups_under(self, condition: str) -> np.ndarray | None:
        """Who is on each perturbed face, as numbers; None where nobody is known."""
        table = next(iter(self.perturbed.values()))
        return person_groups(table.loc[table["condition"] == condition, "subject"])

    def block(self, name: str) -> dict[str, Any]:
        """The block of params.yaml that a system was trained with, its `kind` made explicit."""
        return {"kind": name} | self.details[name]["trained_params"]

    def label(self, name: str) -> str:
        """A system by its name and by that of the paper, where the paper compares it."""
        kind = self.block(name)["kind"]
        return f"{name} ({SYSTEMS[kind]})" if kind in SYSTEMS and kind != "ours" else name

    def same_kind(self) -> list[str]:
        """Systems of the reference's kind: itself and its ablations."""
        return [name for name in self.details if self.block(name)["kind"] == self.block(self.reference)["kind"]]

    def of_kinds(self, kinds: Iterable[str]) -> list[str]:
        """Systems of some kinds, but not of the reference's; an ensemble counts as of the kind of its members."""
        wanted = set(kinds) - {self.block(self.reference)["kind"]}
        return [name for name in self.details if self.block(name)["kind"].removesuffix("_ensemble") in wanted]

    def is_network(self, name: str) -> bool:
        """Whether a system is trained in epochs from a random start; an estimator is fitted once."""
        return "epochs" in self.details[name]["trained"]

    def training(self, name: str) -> dict[str, Any]:
        """What all trainings of a system cost: models, seeds, samples_seen, samples_before, passes, minutes, device."""
        return self.details[name]["training"]

    def samples(self, name: str) -> int:
        """Samples that one training of a system has seen."""
        return round(self.training(name)["samples_seen"] / self.training(name)["models"])

    def passes(self, name: str) -> float:
        """How often one training of a network has seen the rows that it draws from: the paper's epochs."""
        return self.training(name)["passes"]

    def settings(self, name: str) -> dict[str, Any]:
        """All that defines a system and its training, as params.yaml has it."""
        train = self.details[name]["train"]
        return self.block(name) | {f"train.{key}": value for key, value in train.items() if key not in HOW}

    def changed(self, name: str) -> dict[str, Any]:
        """Those settings of a system that are not the reference's; None where the system has no such setting."""
        mine, base = self.settings(name), self.settings(self.reference)
        return {key: mine.get(key) for key in base | mine if mine.get(key) != base.get(key)}


def _right_by_seed(table: pd.DataFrame) -> np.ndarray:
    """bool (seeds, rows): whether the class in each column seed_<s> is the label."""
    columns = [name for name in table.columns if name.startswith("seed_")]
    return (table[columns].to_numpy() == table[["label"]].to_numpy()).T


def read_study(results: Path, params: StudyParams) -> Study:
    """Gather the results of one data set, data/<dataset>/results.

    MmferError if `study.reference` or `baseline` is not among the systems, or if systems were measured on different
    images.
    """
    found = {path.parent.name: _read_json(path) for path in sorted(results.glob("evaluate/*/details.json"))}
    for key in ("reference", "baseline"):
        pick(found, getattr(params, key), f"params.yaml: study.{key}: systems")
    names = sorted(found, key=lambda n: (n != params.reference, -found[n]["whole"]["averaged"]["accuracy"]))
    robust = [name for name in names if (results / "robustness" / name / "details.json").exists()]
    _check_same_rows(results / "evaluate", {name: found[name] for name in names})
    folder = results / "robustness"
    _check_same_rows(folder, {name: _read_json(folder / name / "details.json") for name in robust})
    return Study(
        details={name: found[name] for name in names},
        predicted={name: pd.read_parquet(results / "evaluate" / name / "faces.parquet") for name in names},
        conditions={name: pd.read_csv(folder / name / "conditions.csv") for name in robust},
        perturbed={name: _read_perturbed(folder / name / "faces.parquet") for name in robust},
        reference=params.reference,
        baseline=params.baseline,
    )


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _read_perturbed(path: Path) -> pd.DataFrame:
    table = pd.read_parquet(path)
    return table.assign(right=_right_by_seed(table)[0])


def _check_same_rows(folder: Path, details: dict[str, dict[str, Any]]) -> None:
    first = next(iter(details), "")
    other = [name for name in details if details[name]["rows"] != details[first]["rows"]]
    if other:
        raise MmferError(
            f"{folder}: {', '.join(other)} and {first} were measured on different images and cannot be compared image "
            f"by image; run `dvc repro` for all of them, or remove the folders of systems that are no longer wanted"
        )
