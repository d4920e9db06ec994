"""Failures of tracking and of what is tracked: each is told once, and costs the stage nothing."""

import sqlite3
import threading
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mmfer import tracking
from mmfer.tracking import stage_run, store
from tests.tracking.runs import logged, runs_of


def test_an_interrupt_while_the_database_is_made_leaves_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)

    def interrupted(client, **_):
        (file,) = tmp_path.iterdir()  # MLflow has begun to write it
        assert file.name != "mlflow.db"
        raise KeyboardInterrupt

    def begin(client, uri):
        store.sqlite_file(uri).write_bytes(b"half")

    monkeypatch.setattr(MlflowClient, "__init__", begin)
    monkeypatch.setattr(MlflowClient, "search_experiments", interrupted)
    with pytest.raises(KeyboardInterrupt):
        with stage_run("clean", "one", {}):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_tag_of_the_experiment_that_another_stage_makes_at_once_is_set_all_the_same(client, monkeypatch, capfd):
    setting, refused = MlflowClient.set_experiment_tag, []

    def raced(self, experiment_id, key, value):
        if key not in refused:
            refused.append(key)
            raise MlflowException("UNIQUE constraint failed: experiment_tags.key")
        setting(self, experiment_id, key, value)

    monkeypatch.setattr(MlflowClient, "set_experiment_tag", raced)
    with stage_run("evaluate", "one", {}) as run:
        run.rank()
    assert refused
    assert set(refused) <= set(client.get_experiment_by_name(store.EXPERIMENT).tags)
    assert "warning" not in capfd.readouterr().err


@pytest.mark.parametrize("method", ["create_run", "log_batch", "log_artifact", "set_terminated", "create_experiment"])
def test_a_failure_of_any_call_is_told_once_and_costs_nothing_else(client, monkeypatch, capfd, method):
    calls = []

    def fail(*args, **kwargs):
        calls.append(method)
        raise OSError("No space left on device\nwith a second line")

    monkeypatch.setattr(MlflowClient, method, fail)
    Path("curve.png").write_bytes(b"png")
    result = 0
    with stage_run("train", "one", {"a": 1}) as run:
        for epoch in range(3):
            run.log_metrics({"loss": 1}, step=epoch)
            run.log_artifact(Path("curve.png"))
            with run.child("run"):
                result += 1
    assert result == 3
    assert len(calls) == 1
    out, err = capfd.readouterr()
    assert (out, err) == (
        "",
        "warning: MLflow: No space left on device; the run goes on without it (`mmfer doctor` says more)\n",
    )


def test_a_failure_without_a_message_is_told_by_its_kind(client, monkeypatch, capfd):
    monkeypatch.setattr(MlflowClient, "create_run", lambda *_, **__: iter(()).__next__())
    with stage_run("train", "one", {}):
        pass
    assert (
        capfd.readouterr().err
        == "warning: MLflow: StopIteration(); the run goes on without it (`mmfer doctor` says more)\n"
    )


def test_nothing_is_called_after_a_failure_in_the_middle(client, monkeypatch, capfd):
    monkeypatch.setattr(tracking, "SEND_SECONDS", 0)
    with stage_run("train", "one", {}) as run:
        run.log_metrics({"loss": 1}, step=1)
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, "log_batch", lambda *_, **__: 1 / 0)
            run.log_metrics({"loss": 2}, step=2)
        run.log_metrics({"loss": 3}, step=3)
    logged = runs_of(client)["one train"]
    assert (logged.data.metrics, logged.info.status) == ({"loss": 1.0}, "RUNNING")
    assert capfd.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:9", "nosuch://here", "sqlite:////dev/null/mlflow.db", "sqlite:///damaged.db"]
)
def test_a_bad_uri_is_told_in_one_line_within_seconds(client, monkeypatch, capfd, uri):
    Path("damaged.db").write_bytes(b"this is no database " * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    start = time.monotonic()
    with stage_run("train", "one", {"a": 1}) as run, run.child("run 0") as child:
        child.log_metrics({"loss": 1})
        result = "kept"
    assert result == "kept"
    assert run.run_id is None
    assert time.monotonic() - start < 15
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("warning: MLflow: ")
    assert err.endswith("; the run goes on without it (`mmfer doctor` says more)\n")
    assert err.count("\n") == 1


def test_a_failure_of_tracking_does_not_hide_the_failure_of_the_stage(client, monkeypatch):
    monkeypatch.setattr(MlflowClient, "set_terminated", lambda *_: 1 / 0)
    with pytest.raises(KeyError, match="stage"):
        with stage_run("train", "one", {}):
            raise KeyError("stage")


def test_a_database_that_is_locked_for_a_moment_loses_nothing(client, monkeypatch):
    monkeypatch.setattr(tracking, "SEND_SECONDS", 0)
    other = sqlite3.connect("mlflow.db", check_same_thread=False)
    with stage_run("train", "one", {}) as run:
        other.execute("BEGIN EXCLUSIVE")
        release = threading.Timer(0.5, other.rollback)
        release.start()
        run.log_metrics({"loss": 1})
        release.join()
    other.close()
    assert logged(runs_of(client)["one train"]) == {"loss": 1.0}
