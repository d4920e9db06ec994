"""The stages that make data: their metrics are the same on every run, and no picture is among what they depend on."""

import shutil
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from mmfer import tracking
from mmfer.errors import MmferError
from tools import stage_deps

ROOT = Path(__file__).resolve().parents[2]
STAGES = ["clean", "hide", "augment", "extract", "perturb"]


@pytest.mark.parametrize("stage", ["download", *STAGES])
def test_a_stage_that_makes_data_does_not_depend_on_pictures(stage):
    assert not [dep for dep in stage_deps.code_deps(stage) if dep.startswith("mmfer/report")]


@pytest.fixture
def project(tmp_path, monkeypatch, face_data):
    """The present folder: params.yaml with few perturbed faces, and data/synthetic with what all stages read."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["datasets"]["synthetic"].setdefault("perturb", {}).update({"images": 10, "severities": [3]})
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    shutil.copytree(face_data, tmp_path / "data/synthetic")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_writes_the_same_metrics_every_time_and_logs_them(project, monkeypatch, stage):
    logged, writes = {}, []

    @contextmanager
    def stage_run(name, dataset, params):
        assert (name, dataset) == (stage, "synthetic")
        yield SimpleNamespace(log_metrics=logged.update)

    monkeypatch.setattr(tracking, "stage_run", stage_run)
    for _ in range(2):
        getattr(import_module(f"stages.{stage}"), stage)("synthetic", 1)
        writes.append({file.name: file.read_bytes() for file in (project / "metrics/synthetic").iterdir()})
    assert writes[0] == writes[1]
    assert set(writes[0]) == {f"{stage}.json", *(["kept.csv"] if stage == "clean" else [])}
    assert yaml.safe_load(writes[0][f"{stage}.json"]) == logged


@pytest.mark.parametrize("stage", STAGES)
def test_the_backend_of_a_stage_is_that_of_the_environment(project, monkeypatch, stage):
    monkeypatch.setenv("MMFER_BACKEND", "spark")
    with pytest.raises(MmferError, match="MMFER_BACKEND: unknown backend spark"):
        getattr(import_module(f"stages.{stage}"), stage)("synthetic", 1)
