"""`pip install mmfer` without extras: photos can be predicted, and what needs more says which extra has it."""

import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from mmfer.use.predictor import WEIGHTS
from tests.use.photos import scene

ROOT = Path(__file__).parents[2]
ABSENT = (
    "torch pandas pyarrow sklearn safetensors skops matplotlib jinja2 dvc mlflow kagglehub streamlit starlette onnx"
)
ABSENT += " onnx_ir onnxscript fastapi fastapi_offline python_multipart uvicorn anyio h11"
BLOCKED = f"import sys; sys.modules.update(dict.fromkeys({ABSENT.split()!r}))\n"


def run(*arguments, app="mmfer.cli", folder=ROOT):
    """What a command does where none of the packages of the extras are installed."""
    code = f"{BLOCKED}sys.argv = {['mmfer', *map(str, arguments)]!r}\n"
    code += f"from mmfer.errors import run_app; from {app} import app; run_app(app)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=folder)


def test_photos_are_predicted(rendered, tmp_path):
    cv2.imwrite(str(tmp_path / "p.png"), scene([(rendered[0][5], 200, 100, 240)]))
    done = run("predict", tmp_path / "p.png", "--draw", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, f"annotated copies in {tmp_path / 'out'}: 1\n")
    assert "1 face" in done.stdout
    assert (tmp_path / "out" / "p.faces.jpg").exists()


def test_the_doctor_finds_nothing_wrong_and_names_the_extra(tmp_path):
    done = run("doctor")
    lines = {line[5:29].strip(): line for line in done.stdout.splitlines()}
    assert "FAIL" not in done.stdout
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("torch", "mlflow", "dvc", "pandas"):
        assert lines[name].startswith("-")
        assert lines[name].endswith("to train and measure: `pip install 'mmfer[pipeline]'`")
    assert lines["weights"].startswith("ok")


@pytest.mark.parametrize(
    ("arguments", "app", "package", "extra"),
    [
        (["demo"], "mmfer.cli", "streamlit", "demo"),
        (["serve"], "mmfer.cli", "fastapi, fastapi_offline, python_multipart, uvicorn", "serve"),
        (["export", "onnx", WEIGHTS], "mmfer.cli", "onnx, onnxscript", "onnx"),
        (["synthetic"], "stages.clean", "pyarrow", "pipeline"),
        (["synthetic", "ours"], "stages.train", "pandas", "pipeline"),
        (["synthetic", "ours"], "stages.evaluate", "pandas", "pipeline"),
        (["synthetic"], "stages.study", "pandas", "pipeline"),
    ],
)
def test_a_command_that_needs_more_names_the_extra(arguments, app, package, extra):
    done = run(*arguments, app=app)
    warnings = [line for line in done.stderr.splitlines() if line.startswith("warning: MLflow: ")]
    *before, last = done.stderr.splitlines()
    assert (done.returncode, before) == (2, warnings)
    assert last == f"error: {package} not installed; run `pip install 'mmfer[{extra}]'`"


def test_a_model_folder_without_a_graph_names_the_extra(tmp_path):
    for file in WEIGHTS.iterdir():
        if file.name != "model.onnx":
            (tmp_path / file.name).symlink_to(file)
    done = run("predict", "p.png", "--weights", tmp_path)
    assert done.returncode == 2
    assert "mmfer[pipeline]" in done.stderr
    assert ".onnx" in done.stderr
    assert done.stderr.count("\n") == 1
