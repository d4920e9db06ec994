"""Databases of MLflow, made once; they take seconds to make."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from mmfer import tracking

STAGE = """
import sys
sys.path.insert(0, {root!r})
from mmfer.tracking import stage_run
with stage_run("train", "one", {{"a": "x" * 9000}}) as run, run.child("run 0") as child:
    child.log_metrics({{"a": 1}})
"""


@pytest.fixture(scope="session")
def first_stage(tmp_path_factory):
    """A folder in which a stage, run by a process of its own, has made the first mlflow.db; and what it printed."""
    folder = tmp_path_factory.mktemp("first")
    code = STAGE.format(root=str(Path(tracking.__file__).parents[2]))
    unset = ("MLFLOW_TRACKING_URI", "DVC_ROOT")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=folder, env=environment
    )
    return folder, done.stdout + done.stderr


@pytest.fixture(scope="session")
def empty_database(first_stage, tmp_path_factory):
    """A database without the experiment; it takes seconds to make, so tests copy it."""
    path = shutil.copy(first_stage[0] / "mlflow.db", tmp_path_factory.mktemp("empty"))
    database = sqlite3.connect(path)
    database.execute("UPDATE experiments SET name = 'another' WHERE name = 'mmfer'")
    database.commit()
    database.close()
    return path


@pytest.fixture
def client(empty_database, tmp_path, monkeypatch):
    """An empty repository root as the current folder, and a client that reads its mlflow.db."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
