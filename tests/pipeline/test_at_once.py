"""Two stages at once that log into one store of MLflow: none is lost."""

import pytest

from tests.forks import start
from tests.tiny import write_tiny
from tools.small import finished, small_params, write_yaml

SYSTEMS = {
    "geometry": {"kind": "ours", "branches": ["landmarks"], "landmarks_hidden": [8]},
    "svm": {"kind": "svm", "components": 8},
}


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A folder with tiny data and two systems, and without a store."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    params = small_params()
    tiny = params["datasets"].pop("synthetic")
    write_yaml(tmp_path / "params.yaml", params | {"datasets": {"tiny": tiny}, "systems": SYSTEMS})
    write_tiny(tmp_path / "data/tiny")
    return tmp_path


def test_in_a_store_that_is_new_and_in_one_that_is_there(repository):
    for stage in ("train", "evaluate"):
        jobs = [start("-m", f"stages.{stage}", "tiny", system, folder=repository) for system in SYSTEMS]
        ends = [job.ended() for job in jobs]
        assert [(code, "warning" in errors) for code, _, errors in ends] == [(0, False)] * 2, ends
        found = finished(repository)
        assert [found[f"{system} tiny {stage}"] for system in SYSTEMS] == [1, 1]
    assert [found[f"mmfer-tiny-{system}"] for system in SYSTEMS] == [1, 1]  # registered
    assert [path.name for path in repository.iterdir() if path.name.startswith(".")] == [".checkpoints"]
