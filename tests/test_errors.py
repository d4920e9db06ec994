"""What a user sees of a fault: one line, exit code 2; and help without heavy imports."""

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mmfer.errors import click_command

ROOT = Path(__file__).parents[1]
STAGES = sorted(path.stem for path in (ROOT / "stages").glob("[a-z]*.py"))
OF_ALL = {"report", "names"}  # the stage over all data sets, and the check before all stages: without arguments
OF_A_SYSTEM = ("train", "evaluate", "robustness")
APP = """
import errno, time, typer
from pathlib import Path
from mmfer.errors import MmferError, run_app
from mmfer.files import new_folder
app = typer.Typer()
@app.command()
def main(fault: str, count: int = 1):
    if fault == "mine":
        raise MmferError("x.zip: truncated;\\n download it again")
    if fault == "full":
        raise OSError(errno.ENOSPC, "No space left on device", "data/images.npy")
    if fault == "readonly":
        raise OSError(errno.EROFS, "Read-only file system", "metrics")
    if fault == "nameless":
        raise OSError(errno.ENOSPC, "No space left on device")
    if fault == "memory":
        raise MemoryError
    if fault == "tensors":
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory")
    if fault == "threads":
        raise RuntimeError("can't start new thread")
    if fault == "library":
        raise ImportError("libtorch_cpu.so: failed to map segment from shared object")
    if fault == "cache":
        raise RuntimeError("cannot cache function '_hog': no locator available for file 'hog.py'")
    if fault == "bug":
        raise KeyError("cel_px")
    if fault == "exit":
        raise typer.Exit(3)
    if fault == "wait":
        with new_folder(Path("out")) as folder:
            (folder / "new").touch()
            print("ready", flush=True)
            time.sleep(30)
run_app(app)
"""


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-c", APP, *arguments], capture_output=True, text=True, check=False, cwd=ROOT
    )


MEMORY = "the memory is not enough for this; take fewer --workers, smaller batches or fewer faces"
REMEDY = "free space or correct the permissions, then run the command again"


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("mine", "error: x.zip: truncated; download it again\n"),
        ("full", f"error: data/images.npy: No space left on device; {REMEDY}\n"),
        ("readonly", f"error: metrics: Read-only file system; {REMEDY}\n"),
        *[(fault, f"error: {MEMORY}\n") for fault in ("memory", "tensors", "threads", "library")],
        ("cache", "error: no folder for compiled code can be written to; name one by the variable NUMBA_CACHE_DIR\n"),
        ("nameless", f"error: disk: No space left on device; {REMEDY}\n"),
    ],
)
def test_a_fault_is_one_line_and_exit_code_2(fault, line):
    done = run(fault)
    assert (done.returncode, done.stderr, done.stdout) == (2, line, "")


@pytest.mark.parametrize("arguments", [("mine", "--debug"), ("--debug", "full")])
def test_debug_shows_the_traceback_wherever_it_stands(arguments):
    done = run(*arguments)
    assert "Traceback" in done.stderr
    assert done.returncode != 0


def test_a_bug_is_shown_whole():
    done = run("bug")
    assert "Traceback" in done.stderr
    assert "KeyError: 'cel_px'" in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [((), "fault"), (("fine", "--cuont", "2"), "--cuont"), (("fine", "--count", "many"), "--count")],
)
def test_wrong_usage_is_named_and_exits_with_2(arguments, named):
    done = run(*arguments)
    assert done.returncode == 2
    assert named in done.stderr.lower()
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("fault", "code"), [("none", 0), ("exit", 3)])
def test_other_ends_keep_their_code(fault, code):
    done = run(fault)
    assert (done.returncode, done.stderr) == (code, "")


def _heed_interrupts():
    """A shell's background jobs ignore Ctrl-C, and what they start does too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_one_line_and_exit_code_2_and_leaves_the_outputs(tmp_path, number):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    process = subprocess.Popen(
        [sys.executable, "-c", APP, "wait"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        preexec_fn=_heed_interrupts,  # noqa: PLW1509 (no threads here)
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert errors.strip().splitlines() == [
        "error: interrupted; earlier outputs are as they were, and the same command goes on from there"
    ]
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["out", "out/old"]


def commands_below(command, name):
    """A command and all within it, by name."""
    yield name, command
    for part, inner in getattr(command, "commands", {}).items():
        yield from commands_below(inner, f"{name} {part}")


ALL_COMMANDS = [
    pair
    for name in ["mmfer.cli", *(f"stages.{stage}" for stage in STAGES)]
    for pair in commands_below(click_command(importlib.import_module(name).app), name)
]


@pytest.mark.parametrize(("name", "command"), ALL_COMMANDS, ids=[name for name, _ in ALL_COMMANDS])
def test_help_shows_every_word_of_its_texts_and_debug(name, command, capsys):
    command.main(["--help"], name, standalone_mode=False)
    shown = " ".join(capsys.readouterr().out.split())
    texts = [command.help, command.epilog, *(param.help for param in command.params)]
    assert [text for text in texts if text and " ".join(text.split()) not in shown] == []
    assert "--debug" in shown


def test_help_keeps_what_stands_in_brackets():
    code = "import sys; from mmfer.cli import main; sys.argv = ['mmfer', 'demo', '--help']; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "pip install 'mmfer[demo]'" in " ".join(done.stdout.split())


@pytest.mark.parametrize("stage", STAGES)
def test_help_names_the_arguments_and_imports_nothing_heavy(stage):
    heavy = {"torch", "mlflow", "dlib", "matplotlib", "numba", "pandas", "sklearn", "cv2"}
    code = (
        f"import atexit, sys; sys.argv = ['{stage}', '--help']\n"
        f"atexit.register(lambda: print(sorted({heavy} & set(sys.modules)), file=sys.stderr))\n"
        f"from mmfer.errors import run_app; from stages.{stage} import app; run_app(app)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr.strip()) == (0, "[]")
    assert ("DATASET" in done.stdout) == (stage not in OF_ALL)
    assert ("SYSTEM" in done.stdout) == (stage in OF_A_SYSTEM)


@pytest.mark.parametrize("stage", sorted(set(STAGES) - OF_ALL))
def test_a_stage_refuses_an_unknown_data_set_in_one_line(stage):
    more = ["ours"] if stage in OF_A_SYSTEM else []
    done = subprocess.run(
        [sys.executable, "-m", f"stages.{stage}", "synthetc", *more],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    line = "error: params.yaml: datasets.synthetc: not there; did you mean synthetic?\n"
    assert (done.returncode, done.stderr) == (2, line)
