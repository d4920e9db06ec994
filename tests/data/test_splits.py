"""Rows of folds and splits of the tiny set; leaks."""

import pytest

from mmfer.data.faceset import open_faceset
from mmfer.data.splits import check_leaks, split_rows
from mmfer.errors import MmferError
from tests.tiny import write_tiny


@pytest.fixture
def data(tmp_path):
    """A tiny data folder with a test split."""
    return write_tiny(tmp_path)


def test_folds_are_tested_by_models_that_have_not_seen_them(tmp_path):
    index = open_faceset(write_tiny(tmp_path, folds=4) / "features").index
    for fold in range(4):
        rows = split_rows(index, fold, "best")
        assert set(index["fold"][rows.test]) == {fold}
        assert set(index["fold"][rows.val]) == {(fold + 1) % 4}
        assert set(index["fold"][rows.train]) == {0, 1, 2, 3} - {fold, (fold + 1) % 4}
        assert not split_rows(index, fold, "last").val.size
        assert (index["copy"][rows.test] == 0).all()


@pytest.mark.parametrize("column", ["digest", "parent", "subject"])
def test_a_leak_stops_the_training(data, column):
    index = open_faceset(data / "features").index
    rows = split_rows(index, -1, "last")
    index.loc[rows.train[0], column] = index.loc[rows.test[0], column]
    with pytest.raises(MmferError, match=f"leak: 1 {column}s"):
        check_leaks(index, rows)
