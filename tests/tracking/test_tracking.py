"""Runs as MLflow itself reads them back; failures of tracking; and the hash of a stage's inputs."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

from mmfer import tracking
from mmfer.config import AugmentParams, CkplusSource
from mmfer.data.faceset import new_faceset, open_faceset, write_array
from mmfer.tracking import ablation, stage_run, store
from mmfer.tracking.provenance import inputs_hash
from mmfer.use import doctor
from stages.evaluate import evaluate
from stages.robustness import robustness
from stages.train import train
from tests.tiny import write_tiny

DVC_YAML = """
stages:
  clean:
    foreach: ${datasets}
    do:
      cmd: python -m stages.clean ${key}
      deps: ["data/${key}/raw", mmfer/face/clean.py]
      outs: ["data/${key}/clean"]
  train:
    matrix: {dataset: "${datasets}", system: "${systems}"}
    cmd: python -m stages.train ${item.dataset} ${item.system}
    deps: ["data/${item.dataset}/clean", "data/${item.dataset}/tables", mmfer/training/loop.py]
    outs: ["data/${item.dataset}/models/${item.system}"]
  augment:
    foreach: [one, two]
    do:
      cmd: python -m stages.augment ${item}
      deps: ["data/${item}/clean"]
  evaluate:
    matrix: {dataset: "${datasets}", system: "${systems}"}
    cmd: python -m stages.evaluate ${item.dataset} ${item.system}
    deps: ["data/${ item.dataset }/models/${ item.system }/model.json"]
"""
DVC_LOCK = """
schema: '2.0'
stages:
  clean@one:
    cmd: python -m stages.clean one
    deps: [{path: data/one/raw, md5: 0a.dir}]
    outs: [{path: data/one/clean, hash: md5, md5: 1a.dir, nfiles: 3}]
  clean@two:
    cmd: python -m stages.clean two
    outs: [{path: data/two/clean, hash: md5, md5: 2a.dir, nfiles: 3}]
  count@one:
    cmd: python -m stages.count one
    outs: [{path: data/one/tables/count.csv, hash: md5, md5: 3a}]
  train@one-ours:
    cmd: python -m stages.train one ours
    deps: [{path: data/one/clean, md5: previous.dir}]
    outs: [{path: data/one/models/ours, hash: md5, md5: 4a.dir, nfiles: 2}]
"""


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


COST = {"cost/seconds", "cost/peak_mib"}  # of every stage


def logged(run):
    """The metrics of a run without its cost."""
    return {name: value for name, value in run.data.metrics.items() if name not in COST}


def runs_of(client):
    """All runs of the experiment by name."""
    experiment = client.get_experiment_by_name("mmfer")
    return {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}


def test_a_stage_is_one_finished_run_with_its_tags(client):
    with stage_run("train", "fer2013", {"epochs": 3}, "ours", fold=2):
        pass
    (run,) = runs_of(client).values()
    assert (run.info.run_name, run.info.status) == ("ours fer2013 train", "FINISHED")
    expected = {"stage": "train", "dataset": "fer2013", "system": "ours", "fold": "2"}
    assert expected.items() <= run.data.tags.items()
    # printf '{"epochs": 3}' | sha256sum
    assert run.data.tags["params_hash"] == "543da7abb83f"
    assert "dvc_inputs" not in run.data.tags


def test_a_stage_over_all_datasets_has_neither_dataset_nor_system(client):
    with stage_run("report", None, {}):
        pass
    tags = runs_of(client)["report"].data.tags
    assert not {"dataset", "system"} & tags.keys()


def test_params_are_logged_flat_and_long_values_are_cut(client):
    params = {
        "source": CkplusSource(),
        "augment": {"copies": 2, "deep": {"on": True}},
        "seeds": [0, 1],
        "long": "x" * 9000,
    }
    with stage_run("clean", "ckplus", params):
        pass
    logged = runs_of(client)["ckplus clean"].data.params
    expected = {"source.kind": "ckplus", "source.path": "null", "source.folds": "10", "augment.copies": "2"}
    assert expected.items() <= logged.items()
    assert {"augment.deep.on": "true", "seeds": "[0, 1]", "long": "x" * 6000}.items() <= logged.items()


def test_more_params_and_metrics_than_one_request_holds_are_all_logged(client):
    with stage_run("train", "one", {f"p{i}": i for i in range(230)}) as run:
        run.log_metrics({f"m{i}": i for i in range(2300)})
    data = runs_of(client)["one train"].data
    assert (len(data.params), len(data.metrics)) == (230, 2300 + len(COST))


def test_params_hash_ignores_the_order_of_keys_and_sees_every_value(client):
    for name, params in {
        "a": {"x": 1, "y": 2},
        "b": {"y": 2, "x": 1},
        "c": {"x": 1, "y": 3},
        "d": AugmentParams(),
        "e": AugmentParams().model_dump(),
    }.items():
        with stage_run("s", name, params):
            pass
    found = {name[0]: run.data.tags["params_hash"] for name, run in runs_of(client).items()}
    assert found["a"] == found["b"] != found["c"]
    assert found["d"] == found["e"] != found["a"]


def test_metrics_keep_their_steps_and_nested_names(client):
    with stage_run("train", "one", {}) as run:
        for epoch in (1, 2, 3):
            run.log_metrics({"train": {"loss": 1 / epoch}, "val/accuracy": np.float32(epoch / 4)}, step=epoch)
        run.log_metrics({"best": np.int64(3)})
    run_id = runs_of(client)["one train"].info.run_id
    history = client.get_metric_history(run_id, "train/loss")
    assert sorted((point.step, point.value) for point in history) == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert [point.step for point in client.get_metric_history(run_id, "best")] == [0]
    assert client.get_run(run_id).data.metrics["val/accuracy"] == 0.75


def test_a_stage_logs_what_it_costs(client):
    with stage_run("clean", "one", {}) as run:
        block = np.ones(4_000_000)  # 30 MiB
        time.sleep(0.2)
        run.rows = len(block) // 1_000_000
    figures = runs_of(client)["one clean"].data.metrics
    assert 0.2 <= figures["cost/seconds"] < 5
    assert figures["cost/peak_mib"] > 30
    assert figures["cost/rows_per_second"] == pytest.approx(4 / figures["cost/seconds"])


@pytest.mark.parametrize("name", ["half 50%", "what?", "no#1", "%20"])
def test_the_database_is_found_in_a_folder_of_any_name(empty_database, tmp_path, monkeypatch, name):
    (tmp_path / name).mkdir()
    shutil.copy(empty_database, tmp_path / name / "mlflow.db")
    monkeypatch.chdir(tmp_path / name)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    with stage_run("clean", "one", {}):
        pass
    rows = sqlite3.connect("mlflow.db").execute("SELECT name, status FROM runs").fetchall()
    assert ("one clean", "FINISHED") in rows
    assert doctor.store().mark == "ok"


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


def test_what_is_no_number_is_not_a_metric(client):
    with stage_run("clean", "one", {}) as run:
        run.log_metrics({"a": None, "b": True, "c": "0.5", "d": [1, 2], "e": {"f": None}, "g": 1})
        run.log_metrics({})
    assert logged(runs_of(client)["one clean"]) == {"g": 1.0}


def test_names_that_mlflow_refuses_are_changed_not_lost(client):
    with stage_run("robustness", "one", {"a(b)": 1}) as run:
        run.log_metrics({"noise (10%)": 0.5})
    run = runs_of(client)["one robustness"]
    assert (logged(run), run.data.params) == ({"noise _10__": 0.5}, {"a_b_": "1"})


def test_files_become_artifacts_beside_the_database(client, tmp_path):
    Path("curve.png").write_bytes(b"png")
    with stage_run("train", "one", {}) as run:
        run.log_artifact(Path("curve.png"))
        run.log_artifact(Path("curve.png"), "tables")
    stored = (tmp_path / "mlartifacts" / run.run_id / "artifacts").rglob("*.png")
    assert sorted(path.parent.name for path in stored) == ["artifacts", "tables"]


def test_children_point_to_their_parent(client):
    with stage_run("evaluate", "one", {}, "ours") as run:
        for i in range(3):
            with run.child(f"run {i}", run=i) as child:
                child.log_metrics({"test/accuracy": i / 10})
    runs = runs_of(client)
    parent = runs.pop("ours one evaluate")
    assert sorted(runs) == [f"ours one evaluate run {i}" for i in range(3)]
    tags = runs["ours one evaluate run 2"].data.tags
    assert tags["mlflow.parentRunId"] == parent.info.run_id
    assert {"run": "2", "dataset": "one", "system": "ours", "stage": "evaluate"}.items() <= tags.items()
    assert logged(runs["ours one evaluate run 2"]) == {"test/accuracy": 0.2}
    assert {each.info.status for each in runs.values()} == {"FINISHED"}


def test_each_of_several_models_has_a_child_with_its_fold_and_seed(client):
    with stage_run("train", "one", {}, "ours", seed=0) as run, run.models() as log:
        for seed in (0, 1):
            for epoch in (1, 2):
                log({"epoch": epoch, "train/loss": 1 / epoch}, epoch, {"fold": 0, "seed": seed})
    runs = runs_of(client)
    assert logged(runs.pop("ours one train")) == {}
    assert sorted(runs) == ["ours one train fold0-seed0", "ours one train fold0-seed1"]
    second = runs["ours one train fold0-seed1"]
    assert {"stage": "train model", "system": "ours", "fold": "0", "seed": "1"}.items() <= second.data.tags.items()
    assert logged(second) == {"epoch": 2, "train/loss": 0.5}
    history = client.get_metric_history(second.info.run_id, "train/loss")
    assert sorted((point.step, point.value) for point in history) == [(1, 1.0), (2, 0.5)]


def test_a_single_model_has_no_child(client):
    with stage_run("train", "one", {}, "ours", seed=0) as run, run.models() as log:
        log({"epoch": 1, "train/loss": 0.5}, 1, {})
    assert {name: logged(each) for name, each in runs_of(client).items()} == {
        "ours one train": {"epoch": 1, "train/loss": 0.5}
    }


def test_the_model_that_fails_is_marked_and_those_before_it_are_not(client):
    def stage():
        with stage_run("train", "one", {}) as run, run.models() as log:
            log({"loss": 1.0}, 1, {"seed": 0})
            log({"loss": 1.0}, 1, {"seed": 1})
            raise ValueError("diverged")

    with pytest.raises(ValueError, match="diverged"):
        stage()
    statuses = {name: each.info.status for name, each in runs_of(client).items()}
    assert statuses == {"one train": "FAILED", "one train seed0": "FINISHED", "one train seed1": "FAILED"}


@pytest.mark.parametrize(("error", "status"), [(ValueError("x"), "FAILED"), (KeyboardInterrupt(), "KILLED")])
def test_a_failing_stage_marks_its_runs_and_raises_the_same_error(client, error, status):
    def stage():
        with stage_run("train", "one", {}) as run, run.child("run 0"):
            run.log_metrics({"loss": 1})
            raise error

    with pytest.raises(type(error)) as caught:
        stage()
    assert caught.value is error
    statuses = {name: each.info.status for name, each in runs_of(client).items()}
    assert statuses == {"one train": status, "one train run 0": status}
    assert logged(runs_of(client)["one train"]) == {"loss": 1.0}


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
    assert (out, err) == ("", "warning: MLflow: No space left on device; the run goes on without it\n")


def test_a_failure_without_a_message_is_told_by_its_kind(client, monkeypatch, capfd):
    monkeypatch.setattr(MlflowClient, "create_run", lambda *_, **__: iter(()).__next__())
    with stage_run("train", "one", {}):
        pass
    assert capfd.readouterr().err == "warning: MLflow: StopIteration(); the run goes on without it\n"


@pytest.fixture
def batches(client, monkeypatch):
    """How many metrics each request carried; the first request of a run is that of its parameters."""
    sizes, log_batch = [], MlflowClient.log_batch

    def spy(self, run_id, metrics=(), **others):
        sizes.append(len(metrics))
        log_batch(self, run_id, metrics=metrics, **others)

    monkeypatch.setattr(MlflowClient, "log_batch", spy)
    return sizes


def test_metrics_of_quick_epochs_go_out_together(client, batches, monkeypatch):
    monkeypatch.setattr(tracking, "SEND_SECONDS", 3600)
    with stage_run("train", "one", {}) as run:
        for epoch in range(100):
            run.log_metrics({"loss": epoch}, step=epoch)
        with run.child("without metrics"):
            pass
    assert batches == [0, 100 + len(COST)]
    assert len(client.get_metric_history(run.run_id, "loss")) == 100


def test_metrics_of_slow_epochs_are_seen_before_the_run_ends(client, batches, monkeypatch):
    monkeypatch.setattr(tracking, "SEND_SECONDS", 0)
    with stage_run("train", "one", {}) as run:
        run.log_metrics({"loss": 1}, step=1)
        assert logged(runs_of(client)["one train"]) == {"loss": 1.0}
        run.log_metrics({"loss": 2}, step=2)
    assert batches == [0, 1, 1, len(COST)]


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
    assert err.endswith("; the run goes on without it\n")
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


def test_the_tracking_uri_of_the_environment_is_respected(client, empty_database, tmp_path, monkeypatch):
    shutil.copy(empty_database, tmp_path / "other.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    with stage_run("train", "one", {}):
        pass
    assert list(runs_of(MlflowClient(f"sqlite:///{tmp_path}/other.db"))) == ["one train"]
    assert client.get_experiment_by_name("mmfer") is None


def test_an_experiment_in_a_temporary_copy_is_tracked_in_the_repository(client, tmp_path, monkeypatch):
    copy = tmp_path / "copy"
    copy.mkdir()
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with stage_run("train", "one", {}):
        pass
    assert list(runs_of(client)) == ["one train"]
    assert not list(copy.iterdir())


def test_an_experiment_that_another_stage_has_just_made_is_used(client, monkeypatch):
    find, answers = store.Connection._find_experiment, iter([None])
    with stage_run("clean", "one", {}):
        pass
    monkeypatch.setattr(store.Connection, "_find_experiment", lambda self: next(answers, find(self)))
    with stage_run("train", "one", {}):
        pass
    assert set(runs_of(client)) == {"one clean", "one train"}


def test_the_git_commit_is_that_of_the_current_folder(client):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    head = subprocess.run([*git, "log", "--format=%H"], check=True, capture_output=True, text=True).stdout.strip()
    with stage_run("train", "one", {}):
        pass
    assert runs_of(client)["one train"].data.tags["mlflow.source.git.commit"] == head


def test_inputs_hash_covers_the_recorded_outputs_that_the_stage_reads(tmp_path):
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    (tmp_path / "dvc.lock").write_text(DVC_LOCK)
    # printf 'data/one/clean 1a.dir\ndata/one/tables/count.csv 3a' | sha256sum, and so on
    assert inputs_hash("train", "one", "ours", tmp_path) == "2a813c6a535f"
    assert inputs_hash("train", "two", "ours", tmp_path) == "f049555704e3"
    assert inputs_hash("augment", "two", None, tmp_path) == "f049555704e3"
    assert inputs_hash("evaluate", "one", "ours", tmp_path) == "99084f5b465c"


def test_inputs_hash_follows_the_inputs_and_not_the_previous_execution(tmp_path):
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    before = []
    for lock in (
        DVC_LOCK,
        DVC_LOCK.replace("previous", "other"),
        DVC_LOCK.replace("2a", "2b"),
        DVC_LOCK.replace("1a", "1b"),
    ):
        (tmp_path / "dvc.lock").write_text(lock)
        before.append(inputs_hash("train", "one", "ours", tmp_path))
    assert before[0] == before[1] == before[2] != before[3]


@pytest.mark.parametrize("lock", [None, "", "schema: '2.0'\n", DVC_LOCK])
def test_inputs_hash_is_none_where_nothing_is_recorded(tmp_path, lock):
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    if lock is not None:
        (tmp_path / "dvc.lock").write_text(lock)
    assert inputs_hash("clean", "one", None, tmp_path) is None
    assert inputs_hash("nosuch", "one", None, tmp_path) is None


def test_the_inputs_are_tagged(client, tmp_path):
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    (tmp_path / "dvc.lock").write_text(DVC_LOCK)
    with stage_run("train", "one", {}, "ours"):
        pass
    assert runs_of(client)["ours one train"].data.tags["dvc_inputs"] == inputs_hash("train", "one", "ours", tmp_path)


OURS = {"kind": "ours", "branches": ["image", "hog"], "dropout": 0.2}
SYSTEMS = {
    "ours": OURS,
    "image": OURS | {"branches": ["image"]},
    "both": OURS | {"branches": ["hog", "image"], "dropout": None},
    "eq10": OURS | {"train": {"loss": "binary", "seeds": [3]}},
    "short": {"kind": "ours", "branches": ["image", "hog"]},
    "vgg19": {"kind": "vgg", "depth": 19},
    "svm": {"components": 8},
}
ABLATIONS = {
    "ours": "none",
    "image": "branches=image",
    "both": "branches=hog,image; dropout=null",
    "eq10": "train.loss=binary; train.seeds=3",
    "short": "dropout=default",
    "vgg19": "none",
    "svm": "none",
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_an_ablation_is_what_differs_from_the_system_named_as_the_kind(system):
    assert ablation(system, SYSTEMS) == ABLATIONS[system]


SMALL = {"kind": "ours", "landmarks_hidden": [16], "image_hidden": [16], "hog_hidden": [16]}
COMPARED = {  # the third is the reference of the first, and never runs
    "ours_landmarks": SMALL | {"branches": ["landmarks"]},
    "svm": {"kind": "svm", "components": 8},
    "ours": SMALL | {"branches": ["landmarks", "hog"]},
}
NETWORK, ESTIMATOR, _ = COMPARED


@pytest.fixture(scope="module")
def compared(empty_database, tmp_path_factory):
    """Runs by name of a network and an estimator that went through all their stages, with two seeds."""
    folder = tmp_path_factory.mktemp("compared")
    shutil.copy(empty_database, folder / "mlflow.db")
    params = yaml.safe_load(Path("params.yaml").read_text()) | {"systems": COMPARED}
    block = params["datasets"].pop("synthetic")
    block["train"] |= {"epochs": 2, "samples_per_epoch": 32, "batch_size": 16, "seeds": [3, 4], "device": "cpu"}
    block["evaluate"] |= {"runs": 2, "bootstrap": 100}
    params["datasets"]["tiny"] = block
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    data = write_tiny(folder / "data" / "tiny")
    faces, values = open_faceset(data / "augmented"), open_faceset(data / "features")
    index = pd.concat([values.index.assign(condition=name, found=True) for name in ("clean", "mouth hidden")])
    with new_faceset(data / "perturbed", "tiny", values.classes, index, {}) as target:
        for name, array in {"images": faces.images, "landmarks": values.landmarks, "hog": values.hog}.items():
            write_array(target, name, np.concatenate([array, array]))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT"):
            patch.delenv(name, raising=False)
        for system in (NETWORK, ESTIMATOR):
            for stage in (train, evaluate, robustness):
                stage("tiny", system)
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    runs = Compared(runs_of(client))
    runs.client = client
    return runs


class Compared(dict):
    """Runs by name, and the client that has read them."""


@pytest.mark.parametrize("stage", ["train", "evaluate", "robustness"])
def test_every_system_has_the_same_tags_and_metrics(compared, stage):
    network, estimator = (compared[f"{system} tiny {stage}"].data for system in (NETWORK, ESTIMATOR))
    assert network.tags.keys() == estimator.tags.keys()
    of_networks = {"cost/epochs", "cost/chosen_epoch", "cost/tflops", "cost/matmul_share"}
    assert network.metrics.keys() - of_networks == estimator.metrics.keys()


@pytest.mark.parametrize("stage", ["train", "evaluate", "robustness"])
def test_the_tags_tell_the_systems_apart(compared, stage):
    network, estimator = (compared[f"{system} tiny {stage}"].data.tags for system in (NETWORK, ESTIMATOR))
    common = {"dataset": "tiny", "stage": stage, "seed": "3"}
    ours = {"system": NETWORK, "kind": "ours", "ablation": "branches=landmarks"}
    assert (common | ours).items() <= network.items()
    assert (common | {"system": ESTIMATOR, "kind": "svm", "ablation": "none"}).items() <= estimator.items()
    assert network["params_hash"] != estimator["params_hash"]


@pytest.mark.parametrize("system", [NETWORK, ESTIMATOR])
def test_an_evaluation_has_the_figures_by_which_systems_are_compared(compared, system):
    metrics = compared[f"{system} tiny evaluate"].data.metrics
    figures = {"accuracy", "accuracy_low", "accuracy_high", "macro", "one_run", "coverage"}
    sets = {f"{name}/{figure}" for name in ("test", "test_kept", "test_kept_unique") for figure in figures}
    cost = {f"cost/{name}" for name in ("parameters", "flops", "latency_ms", "minutes", "samples_seen", "models")}
    assert sets | cost <= metrics.keys()
    assert metrics["cost/samples_seen"] == compared[f"{system} tiny train"].data.metrics["cost/samples_seen"]


def test_what_is_not_counted_of_an_estimator_is_not_zero(compared):
    network, estimator = (compared[f"{system} tiny evaluate"].data.metrics for system in (NETWORK, ESTIMATOR))
    assert network["cost/parameters"] > 0
    assert np.isnan(estimator["cost/parameters"])


def test_the_experiment_describes_the_evaluated_systems_best_first(compared):
    experiment = compared.client.get_experiment_by_name("mmfer")
    text = experiment.tags["mlflow.note.content"]
    shown = [line.split("]")[0].removeprefix("| [") for line in text.splitlines() if line.startswith("| [")]
    runs = {system: compared[f"{system} tiny evaluate"] for system in (NETWORK, ESTIMATOR)}
    measured = {system: run.data.metrics for system, run in runs.items()}
    figures = {name: found["test/accuracy"] for name, found in measured.items() if found["test/above_chance"]}
    assert shown == sorted(figures, key=figures.get, reverse=True)
    assert all(f"| {100 * figure:.2f} |" in text for figure in figures.values())
    view = json.loads(experiment.tags["mlflow.sharedViewState.ranking"])
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert text.startswith(f"Best accuracy on tiny: [{shown[0]}](" if shown else "Best accuracy on no data set")
    assert view["orderByKey"] in view["selectedColumns"]
    logged = runs[NETWORK].data
    names = {f"metrics.`{key}`" for key in logged.metrics} | {f"tags.`{key}`" for key in logged.tags}
    assert set(view["selectedColumns"]) <= names
    assert "viewStateShareKey=ranking" in text


def test_seeds_can_be_compared(compared):
    rows = [run.data for run in compared.values() if run.data.tags["stage"] == "evaluate seed"]
    seeds = sorted((row.tags["system"], row.tags["seed"]) for row in rows)
    assert seeds == [(NETWORK, "3"), (NETWORK, "4"), (ESTIMATOR, "3")]
    first = compared[f"{NETWORK} tiny evaluate seed 3"].data.metrics
    whole = compared[f"{NETWORK} tiny evaluate"].data.metrics
    assert first["test/one_run"] == pytest.approx(whole["test/one_run"], abs=1e-4)
    assert first["test_kept/one_run"] == pytest.approx(whole["test_kept/one_run"], abs=1e-4)
    curve = compared[f"{NETWORK} tiny train seed4"].data
    assert {"train/loss", "train/accuracy", "val/loss", "val/accuracy"} <= curve.metrics.keys()
    assert curve.tags["seed"] == "4"


def test_importing_the_module_does_not_import_mlflow():
    code = "import sys, mmfer.tracking; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_tracked_stage_prints_nothing_even_as_it_makes_the_database(first_stage):
    folder, printed = first_stage
    assert printed == ""
    assert set(runs_of(MlflowClient(f"sqlite:///{folder}/mlflow.db"))) == {"one train", "one train run 0"}
