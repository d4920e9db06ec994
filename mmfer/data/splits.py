"""Which rows of a data set train, validate and test, for each fold; and that no picture or person is on two sides."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from mmfer.data.faceset import FaceSet, source_of
from mmfer.errors import MmferError


@dataclass(frozen=True)
class Rows:
    """Row numbers of the augmented FaceSet; `val` may be empty."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def folds_of(index: pd.DataFrame) -> list[int]:
    """The trainings that a data set asks for: its folds, or -1 alone where it has a test split."""
    folds = sorted(int(fold) for fold in index["fold"].unique() if fold >= 0)
    return folds or [-1]


def split_rows(faces: FaceSet, fold: int, select: str) -> Rows:
    """Augmented or features FaceSet -> rows of training, validation and test for one fold (-1: the data set's splits).

    In cross-validation fold k tests; with select = best fold k + 1 validates, else no epoch is chosen and it trains.
    MmferError where a picture or a person would be on two sides.
    """
    index = faces.columns("copy", "trainable", "split", "fold")
    plain, trainable = (index["copy"] == 0).to_numpy(), index["trainable"].to_numpy(dtype=bool)
    folds = index["fold"].to_numpy()
    if fold < 0:
        test, val = ((index["split"] == side).to_numpy(dtype=bool) for side in ("test", "val"))
    else:
        test = folds == fold
        val = (folds == (fold + 1) % len(folds_of(index))) & (select == "best")
    rows = Rows(*(np.flatnonzero(part) for part in (trainable & ~test & ~val, val & plain, test & plain)))
    check_leaks(faces, rows)
    return rows


def first_copies(index: pd.DataFrame, rows: np.ndarray, copies: int | None) -> np.ndarray:
    """Those of the training rows that are among the first `copies` of their face; None: all of them."""
    numbers = index["copy"].to_numpy()[rows]
    made = int(numbers.max()) + 1
    if (copies or made) > made:
        raise MmferError(
            f"params.yaml: copies: {copies} is more than the {made} of each face that there are to train on; "
            "lower it or raise augment.copies"
        )
    return rows[numbers < (copies or made)]


def check_leaks(faces: FaceSet, rows: Rows) -> None:
    """MmferError if a picture or a person is on two of the three sides.

    Rows without a subject are left out of the comparison of people, and so are all rows where the source itself says
    `split: random`, which keeps pictures apart but not people.
    """
    sides = {"training": rows.train, "validation": rows.val, "test": rows.test}
    by_person = source_of(faces.made_by).get("split") != "random"
    columns = ["digest", "parent", *(["subject"] if by_person else [])]
    found: dict[str, dict[str, set]] = {column: {side: set() for side in sides} for column in columns}
    for part in faces.parts(*columns):  # millions of digests are held as one part and a set of those that differ
        for side, numbers in sides.items():
            own = part.loc[part.index.isin(numbers)]
            for column in columns:
                found[column][side].update(own[column].dropna())
    for column, of_sides in found.items():
        for one, other in combinations(sides, 2):
            shared = of_sides[one] & of_sides[other]
            if shared:
                raise MmferError(
                    f"{faces.folder}: leak: {len(shared)} {column}s, {min(map(str, shared))} among them, are in {one} "
                    f"and {other}; run `dvc repro --force download@{faces.dataset}`, and if they still are, the "
                    "module that reads this source must keep them together"
                )
