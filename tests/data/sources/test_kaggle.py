"""The download from Kaggle, without Kaggle."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmfer.data.sources.kaggle import download
from mmfer.errors import MmferError


def test_a_data_set_lies_where_the_client_puts_it(monkeypatch):
    client = SimpleNamespace(dataset_download=lambda handle: f"/cache/{handle}")
    monkeypatch.setitem(sys.modules, "kagglehub", client)
    assert download("owner/name", "fer2013") == Path("/cache/owner/name")


@pytest.mark.parametrize(("error", "reason"), [(OSError("no network\nand more"), "no network"), (OSError(), "OSError")])
def test_a_failed_download_is_one_line_with_both_ways_out(monkeypatch, error, reason):
    def fail(handle):
        raise error

    monkeypatch.setitem(sys.modules, "kagglehub", SimpleNamespace(dataset_download=fail))
    message = rf"owner/name: download failed \({reason}\); .*KAGGLE_API_TOKEN.*source\.path of the fer2013"
    with pytest.raises(MmferError, match=message) as failed:
        download("owner/name", "fer2013")
    assert "\n" not in str(failed.value)
