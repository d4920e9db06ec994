"""Byte-identical faces: marked, and never torn apart when a part is held out.

A digest (see mmfer.data.faceset.digests) stands for an image; rows with one digest are a group.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
import pandas as pd

MARKS = ("duplicate", "duplicate_of_test", "duplicate_of_val")


def mark_duplicates(index: pd.DataFrame) -> pd.DataFrame:
    """Add three bool columns; nothing is removed.

    duplicate           the digest stands in an earlier row of the same split
    duplicate_of_test   a row of train or val whose digest occurs in test
    duplicate_of_val    a row of train whose digest occurs in val
    """
    split, digest = index["split"], index["digest"]
    marks = {
        "duplicate": index.duplicated(["split", "digest"]),
        "duplicate_of_test": split.isin(["train", "val"]) & digest.isin(digest[split == "test"]),
        "duplicate_of_val": (split == "train") & digest.isin(digest[split == "val"]),
    }
    return index.assign(**{name: mark.astype(bool) for name, mark in marks.items()})


def copies_of_held_out(index: pd.DataFrame) -> pd.Series:
    """Marked index -> bool (N,): training rows equal to a validation or test row, validation rows equal to a test row.

    Without them no picture is in two of the three parts. Nobody may train on them, or choose an epoch by them.
    """
    return index["duplicate_of_test"] | index["duplicate_of_val"]


def trainable(index: pd.DataFrame, keep_rejected: bool) -> np.ndarray:
    """Index of a clean FaceSet -> bool (N,): the faces of which copies train: kept, and no copies of held-out ones."""
    train = (index["split"] == "train") & (index["kept"] | keep_rejected) & ~copies_of_held_out(index)
    return train.to_numpy(dtype=bool)


def hold_out(label: np.ndarray, digest: list[str], share: float, seed: int) -> np.ndarray:
    """Draw `share` of the rows of every class, whole groups only -> bool (N,).

    The draw depends on the seed and the pixels alone, so every layout of the same images gives the same part. A class
    of two groups or more gives at least one row and keeps at least one.
    """
    rows = pd.DataFrame({"label": label, "digest": digest})
    # Some identical images bear different labels: the group then counts for the smallest.
    groups = rows.groupby("digest").agg(label=("label", "min"), size=("label", "size"))
    groups = groups.iloc[np.argsort(draw_order(groups.index, seed))]
    of_class = groups.groupby("label")["size"]
    before = of_class.cumsum() - groups["size"]
    target = (of_class.transform("sum") * share).round().clip(lower=1)
    is_last = of_class.cumcount(ascending=False) == 0  # a large group just before it may take more than the target
    drawn = groups.index[(before < target) & ~is_last]
    return rows["digest"].isin(drawn).to_numpy()


def join_groups(groups: pd.Series, digest: list[str]) -> pd.Series:
    """Group of each row (N,) text, digest (N,) -> groups in which those that share an image are one.

    A joined group bears the first of its names in alphabetical order; a group that shares nothing keeps its own.
    """
    joined = groups.groupby(digest).transform("min").groupby(groups).transform("min")
    return groups if joined.equals(groups) else join_groups(joined, digest)


def draw_order(keys: Iterable[str], seed: int) -> np.ndarray:
    """Random sort keys, bytes (N,), that depend on the seed and each row's own key, not on the order of the rows."""
    return np.array([hashlib.md5(f"{seed}:{key}".encode(), usedforsecurity=False).hexdigest() for key in keys])
