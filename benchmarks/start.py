"""How long one waits before anything happens: help, imports, and a pipeline in which nothing is to be done.

`python -m benchmarks.start`. Each is a process from its start to its end. `dvc status` and `dvc repro` run in a copy of
the project whose stages have run, with commands that only write a line into each output.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from benchmarks.common import interleaved, medians, ratio, run
from tests.hollow import ROOT, hollow, write_hollow


def write_project(root: Path) -> None:
    """The project with its code, on which its hollow stages depend as the real ones do; they have run."""
    write_hollow(root, (ROOT / "params.yaml").read_text(encoding="utf-8"))
    for name in ("mmfer", "stages"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for name, definition in stages.items():
        command = hollow(definition)
        definition.get("do", definition)["cmd"] = command.get("do", command)["cmd"]
        stages[name] = definition
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}), encoding="utf-8")
    quiet(root, "-m", "dvc", "repro")


def quiet(root: Path, *arguments: str) -> None:
    """A Python process in a folder; what it prints is dropped."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, *arguments], cwd=root, env=environment, check=True, capture_output=True)


def measure(quick: bool) -> dict[str, Any]:
    """All by turns."""
    with tempfile.TemporaryDirectory() as name:
        project = Path(name)
        write_project(project)
        commands = {
            "python": ("-c", "pass"),
            "import_mmfer": ("-c", "import mmfer"),
            "mmfer_help": ("-c", "from mmfer.cli import main; main()", "--help"),
            "train_help": ("-m", "stages.train", "--help"),
            "dvc_status": ("-m", "dvc", "status"),
            "dvc_repro": ("-m", "dvc", "repro"),
        }
        ways = {key: partial(quiet, project, *command) for key, command in commands.items()}
        times = interleaved(ways, 1 if quick else 9)
    ratios = {
        "repro_to_status": ratio(times, "dvc_repro", "dvc_status"),
        "mmfer_help_to_python": ratio(times, "mmfer_help", "python"),
    }
    shown = medians(times)
    for row in shown.values():
        del row["processor_s"]  # that of the process which waits
    return {"times": shown, "ratios": ratios}


if __name__ == "__main__":
    run(measure, __doc__)
