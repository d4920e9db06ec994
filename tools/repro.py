"""`dvc repro` with the number of each stage, the minutes so far and left, and at the end where the results are."""

import subprocess
import sys
import time

import typer

from mmfer.use.doctor import IN_USE, lock_is_torn

RESULTS = """
Results, after {minutes:.1f} minutes:
  metrics/report/report.html    open it in a browser: all data sets and systems beside the paper's claims
  dvc metrics show              the main figures
  mlflow ui --backend-store-uri sqlite:///mlflow.db    every run, its settings and curves
(first: source .venv/bin/activate)"""


def shown(line: str, stage: int, stages: int, minutes: float) -> str:
    """A line of DVC's output as it is printed: a stage with its number, and no advice to push where no remote is.

    The minutes left are those that the other stages take at the pace of the first ones: a guess.
    """
    if line.startswith("Use `dvc push`"):
        return ""
    if not line.startswith(("Running stage ", "Stage ")):
        return line
    done = stage - 1
    left = f", about {minutes / done * (stages - done):.0f} left" if done else ""
    return f"[{stage}/{stages}, {minutes:.1f} min{left}] {line}"


def clear_torn_lock() -> None:
    """Remove DVC's list of files in use where a kill left half of it, at which every later run would fail."""
    if lock_is_torn():
        time.sleep(1)  # another DVC may be writing it
    if lock_is_torn():
        IN_USE.unlink()
        print(f"{IN_USE}: half written by a DVC that was killed; removed", flush=True)


def main() -> None:
    """Rebuild everything that params.yaml names."""
    clear_torn_lock()
    dvc, start, stage = [sys.executable, "-m", "dvc"], time.monotonic(), 0
    names = subprocess.run([*dvc, "stage", "list", "--name-only"], capture_output=True, text=True, check=True)
    stages = len(names.stdout.split())
    with subprocess.Popen([*dvc, "repro"], stdout=subprocess.PIPE, text=True, bufsize=1) as run:
        for line in run.stdout or ():
            stage += line.startswith(("Running stage ", "Stage "))
            print(shown(line, stage, stages, (time.monotonic() - start) / 60), end="", flush=True)
    if run.returncode == 0:
        print(RESULTS.format(minutes=(time.monotonic() - start) / 60))
    raise typer.Exit(run.returncode)


if __name__ == "__main__":
    typer.run(main)
