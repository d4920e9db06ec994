"""Systems against each other on the same test faces: paired tests, and the one sentence that each of them supports.

A sentence claims a difference only where the exact test, corrected by Holm for the number of comparisons, supports it
at 5 %.
"""

import numpy as np
import pandas as pd

from mmfer.testing.statistics import holm, mcnemar_exact, sign_flip_exact

LEVEL = 0.05
HARDER = ["mouth hidden", "eyes hidden", "mouth and eyes hidden", "high brightness", "low brightness"]  # paper, fig. 7


def paired_tests(right: dict[str, np.ndarray], reference: str, people: np.ndarray | None = None) -> pd.DataFrame:
    """The reference against each other system, {name: bool (images,)}: a row each, p values corrected by Holm.

    McNemar's exact test, or where `people` (images,) are known its form that flips all images of a person at once.
    Columns: system, reference_only and system_only (images that just one of them gets right), p.
    """
    others = {name: hits for name, hits in right.items() if name != reference}
    return _corrected([_row(name, right[reference], hits, people) for name, hits in others.items()])


def hidden_tests(right: dict[str, pd.DataFrame], reference: str, people: np.ndarray | None = None) -> pd.DataFrame:
    """Paired tests under each of the paper's conditions, corrected over all of them.

    right: {system: bool table, a row for each face, a column for each condition}; people (faces,).
    """
    rows = [
        _row(f"{name} ({condition})", right[reference][condition], table[condition], people)
        for condition in HARDER
        for name, table in right.items()
        if name != reference
    ]
    return _corrected(rows)


def _row(name: str, ours: np.ndarray, theirs: np.ndarray, people: np.ndarray | None) -> tuple[str, int, int, float]:
    p = mcnemar_exact(ours, theirs) if people is None else sign_flip_exact(ours, theirs, people)
    return name, int((ours & ~theirs).sum()), int((theirs & ~ours).sum()), p


def _corrected(rows: list[tuple[str, int, int, float]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["system", "reference_only", "system_only", "p"])
    return table.assign(p=holm(table["p"].to_numpy()))


def sentence(row: pd.Series, reference: str) -> str:
    """What one row of `paired_tests` supports."""
    if row["p"] >= LEVEL:
        return f"no difference shown between {reference} and {row['system']}"
    better, worse = (
        (reference, row["system"]) if row["reference_only"] > row["system_only"] else (row["system"], reference)
    )
    return f"{better} is more often right than {worse}"
