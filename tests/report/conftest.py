"""Fixtures of the tests of reports."""

import pytest

from tests.report.measured import write_measured


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """The data folder of a tiny data set with results; not to be changed."""
    return write_measured(tmp_path_factory.mktemp("measured"))
