"""Runs as MLflow itself reads them back: their tags, parameters, metrics, files, children, and the database."""

import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from mmfer import tracking
from mmfer.config import AugmentParams, CkplusSource
from mmfer.tracking import stage_run, store
from mmfer.use import doctor
from tests.tracking.runs import COST, logged, runs_of


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


def test_importing_the_module_does_not_import_mlflow():
    code = "import sys, mmfer.tracking; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_tracked_stage_prints_nothing_even_as_it_makes_the_database(first_stage):
    folder, printed = first_stage
    assert printed == ""
    assert set(runs_of(MlflowClient(f"sqlite:///{folder}/mlflow.db"))) == {"one train", "one train run 0"}
