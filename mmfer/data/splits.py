"""Which rows of a data set train, validate and test, for each fold; and that no picture or person is on two sides."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

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


def split_rows(index: pd.DataFrame, fold: int, select: str) -> Rows:
    """Rows of training, validation and test for one fold (-1: the splits of the data set).

    In cross-validation fold k tests; with select = best fold k + 1 validates, else no epoch is chosen and it trains.
    """
    plain, trainable = (index["copy"] == 0).to_numpy(), index["trainable"].to_numpy()
    split, folds = index["split"].to_numpy(), index["fold"].to_numpy()
    if fold < 0:
        test, val = split == "test", split == "val"
    else:
        test = folds == fold
        val = (folds == (fold + 1) % len(folds_of(index))) & (select == "best")
    rows = Rows(*(np.flatnonzero(part) for part in (trainable & ~test & ~val, val & plain, test & plain)))
    check_leaks(index, rows)
    return rows


def first_copies(index: pd.DataFrame, rows: np.ndarray, copies: int | None) -> np.ndarray:
    """Those of the training rows that are among the first `copies` of their face; None: all of them."""
    numbers = index["copy"].to_numpy()[rows]
    made = int(numbers.max()) + 1
    if (copies or made) > made:
        raise MmferError(
            f"params.yaml: train.copies: {copies} is more than the {made} of each face that there are; "
            "lower it or raise augment.copies"
        )
    return rows[numbers < (copies or made)]


def check_leaks(index: pd.DataFrame, rows: Rows) -> None:
    """MmferError if a picture, or a person whose folds were to keep people apart, is on two sides."""
    by_person = index["subject"].notna().all() and index.groupby("subject")["fold"].nunique().max() == 1
    for column in ("digest", "parent", *(["subject"] if by_person else [])):
        values = index[column].to_numpy()
        held_out = np.concatenate([rows.val, rows.test])
        shared = set(values[rows.train]) & set(values[held_out])
        if shared:
            some = sorted(map(str, shared))[0]
            raise MmferError(
                f"leak: {len(shared)} {column}s, {some} among them, are in training and held out; rebuild raw"
            )
