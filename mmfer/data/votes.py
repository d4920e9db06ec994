"""Raters' votes, where a data set has them: the index holds the share for each class, in the column votes_<class>."""

from __future__ import annotations  # pandas takes 0.3 s to import

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def vote_columns(classes: list[str]) -> list[str]:
    """Columns of an index that hold the shares of the votes, in the order of the classes."""
    return [f"votes_{name}" for name in classes]


def votes_of(index: pd.DataFrame, classes: list[str]) -> np.ndarray | None:
    """Shares of the votes (N, C) float32, each row's sum 1; None where the data set has none."""
    names = vote_columns(classes)
    if not set(names) <= set(index):
        return None
    return np.ascontiguousarray(index[names].to_numpy(dtype=np.float32))  # pandas gives columns, side by side
