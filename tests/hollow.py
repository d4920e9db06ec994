"""The pipeline of dvc.yaml with commands that write a new line into each output: its graph runs in seconds."""

import re
import subprocess
from pathlib import Path

import yaml
from dvc.repo import Repo

from tests.forks import start

ROOT = Path(__file__).resolve().parents[1]
WRITE = """
for out; do
  case "$out" in *.*) file="$out" ;; *) file="$out/file" ;; esac
  mkdir -p "$(dirname "$file")" && date +%s%N > "$file"
done
"""


def write_hollow(root, params):
    """Write a git and DVC repository of the hollow pipeline below `root`; `params` is the text of params.yaml."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    pipeline = {"stages": {name: hollow(definition) for name, definition in stages.items()}}
    (root / "dvc.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
    (root / "params.yaml").write_text(params)
    (root / "write.sh").write_text(WRITE)
    (root / ".gitignore").write_text("/data\n")
    run(root, "git", "init", "-q")
    run(root, "git", "config", "user.name", "test")
    run(root, "git", "config", "user.email", "test@example.org")
    Repo.init(str(root)).close()
    (root / ".dvc/config").write_text("[core]\nanalytics = false\n")


def hollow(definition):
    """A stage that depends on data and parameters as the real one does, and writes a new line into each output."""
    stage = dict(definition.get("do", definition))
    outs = [path for key in ("outs", "metrics", "plots") for path in paths(stage, key)]
    stage["cmd"] = "sh write.sh " + " ".join(f"'{out}'" for out in outs)
    stage["deps"] = [dep for dep in stage["deps"] if not dep.startswith(("mmfer/", "stages/"))]
    return definition | {"do": stage} if "do" in definition else stage


def paths(definition, key):
    """The paths of a stage's deps or outs, without their options."""
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in definition.get(key, [])]


def run(root, *command):
    """What a command prints; it must end well."""
    if command[0] == "dvc":
        code, said, errors = start("-m", *command, folder=root).ended()
    else:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        code, said, errors = done.returncode, done.stdout, done.stderr
    assert code == 0, said[-3000:] + errors[-3000:]
    return said


def ran(root, *command) -> set[str]:
    """The stages that a DVC command runs."""
    return set(re.findall(r"Running stage '(.+?)'", run(root, "dvc", *command)))
