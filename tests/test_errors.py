"""What a user sees of a fault: one line, exit code 2; and help without heavy imports."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
APP = """
import errno, time, typer
from mmfer.errors import MmferError, run_app
app = typer.Typer()
@app.command()
def main(fault: str):
    if fault == "mine":
        raise MmferError("x.zip: truncated;\\n download it again")
    if fault == "disk":
        raise OSError(errno.ENOSPC, "No space left on device", "data/images.npy")
    if fault == "wait":
        print("ready", flush=True)
        time.sleep(30)
run_app(app)
"""


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-c", APP, *arguments], capture_output=True, text=True, check=False, cwd=ROOT
    )


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("mine", "error: x.zip: truncated; download it again"),
        ("disk", "error: data/images.npy: No space left on device; free space or correct the permissions"),
    ],
)
def test_a_fault_is_one_line_and_exit_code_2(fault, line):
    done = run(fault)
    assert done.returncode == 2
    assert done.stderr.startswith(line)
    assert len(done.stderr.strip().splitlines()) == 1


def test_debug_shows_the_traceback():
    assert "Traceback" in run("mine", "--debug").stderr


def test_wrong_usage_exits_with_2():
    assert run().returncode == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_one_line_and_exit_code_2(number):
    process = subprocess.Popen(
        [sys.executable, "-c", APP, "wait"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert errors.startswith("error: interrupted")
    assert len(errors.strip().splitlines()) == 1


@pytest.mark.parametrize("stage", sorted(path.stem for path in (ROOT / "stages").glob("[a-z]*.py")))
def test_help_imports_nothing_heavy(stage):
    code = (
        f"import sys; sys.argv = ['{stage}', '--help']; import stages.{stage} as s\n"
        "try: s.app()\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'mlflow', 'dlib', 'matplotlib', 'numba', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "DATASET" in done.stdout
    assert done.stdout.strip().endswith("[]")
