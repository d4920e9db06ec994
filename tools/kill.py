"""Kill `dvc repro` at seeded moments; a second one, without help, must end with the results of an undisturbed one.

`python -m tools.kill OUT --count 200 --seed 0` works below OUT with a small pipeline of rendered faces: the very first
run, or one after all of whose data change. OUT/attacks.csv has a row for each attack; those that it has are not done
again. What failed stays below OUT/failed, the output of all below OUT/logs.
"""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import psutil
import typer

from mmfer.errors import run_app
from tools.small import (
    COMMAND,
    VARIES,
    WRITES,
    Undisturbed,
    change_data,
    copy,
    differences,
    pause,
    results,
    started,
    undisturbed,
    varying,
    write_project,
    writes,
)

STARTS = ("first", "later")  # a project without results; one with those of other data
SIGNALS = ("KILL", "TERM", "INT", "STOP")
TARGETS = ("group", "worker")
WIDEST_S = 0.03  # from a write that is seen to the signal, drawn up to this
ENDS_S = 60  # within which all processes have to be gone after the first command has ended
app = typer.Typer(add_completion=False)


class Attack(NamedTuple):
    """What is done to a run."""

    number: int
    start: str  # of STARTS
    moment: str  # random, or one of WRITES
    place: float  # in [0, 1): of the time, or of the writes, that the undisturbed run took
    wait_s: float
    signal: str
    target: str
    worker: float  # in [0, 1): which of the processes below the command


def drawn(seed: int, number: int) -> Attack:
    """The attack of a number, whatever the others are."""
    rng = np.random.default_rng((seed, number))
    moment = str(rng.choice(["random", "random", *WRITES]))
    start, name, target = (str(rng.choice(kinds)) for kinds in (STARTS, SIGNALS, TARGETS))
    return Attack(number, start, moment, rng.random(), WIDEST_S * rng.random(), name, target, rng.random())


def reached(attack: Attack, calm: Undisturbed, project: Path, process: subprocess.Popen) -> bool:
    """Wait for the moment of an attack; False if the command has ended before."""
    kind = attack.moment
    if kind == "random":
        with suppress(subprocess.TimeoutExpired):
            process.wait(attack.place * calm.seconds)
        return process.poll() is None
    states = writes(project, kind)
    goal = len(states) + 1 + int(attack.place * calm.writes[kind])
    while process.poll() is None:
        began = time.thread_time()
        states |= writes(project, kind)
        if len(states) >= goal:
            time.sleep(attack.wait_s)
            return process.poll() is None
        pause(began)
    return False


def send(attack: Attack, process: subprocess.Popen, stop_s: float) -> None:
    """Send the signal; who is stopped goes on after `stop_s` seconds."""
    number, workers = getattr(signal, f"SIG{attack.signal}"), []
    with suppress(psutil.NoSuchProcess):  # it may end by itself
        workers = psutil.Process(process.pid).children(recursive=True)
    worker = workers[int(attack.worker * len(workers))].pid if workers else process.pid
    for step in (number, signal.SIGCONT) if attack.signal == "STOP" else (number,):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, step) if attack.target == "group" else os.kill(worker, step)
        if step == signal.SIGSTOP:
            time.sleep(stop_s)


def all_gone(process: subprocess.Popen, limit_s: float) -> bool:
    """Whether the command ends, and all of its group soon after it."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(limit_s)
    end = time.monotonic() + ENDS_S
    while process.poll() is not None and time.monotonic() < end:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def outcome(
    attack: Attack, calm: Undisturbed, project: Path, logs: Path, stop_s: float, command: tuple[str, ...]
) -> str:
    """Do an attack and run the command again: 'survived', 'ended before', or what went wrong."""
    limit_s = 600 + 5 * calm.seconds
    first, second = (logs / f"{attack.number}.{name}.log" for name in ("first", "second"))
    with started(project, first, command) as process:
        hit = reached(attack, calm, project, process)
        if hit:
            send(attack, process, stop_s)
        if not all_gone(process, limit_s):
            return "the first command hangs"
    with started(project, second, command) as process:
        if not all_gone(process, limit_s):
            return "the second command hangs"
    said = second.read_text(encoding="utf-8", errors="replace")
    if process.returncode:
        return f"the second command failed: {said.strip().splitlines()[-1:]}"
    faults = [line for line in said.splitlines() if line.startswith(("Traceback", "warning: MLflow"))]
    faults += differences(results(project), calm.results)
    return "; ".join(faults[:5]) or ("survived" if hit else "ended before")


def prepare(out: Path, command: tuple[str, ...]) -> dict[str, Undisturbed]:
    """Make the projects from which attacks start, and run each twice without one; kept for the next call."""
    calm, known = {}, out / "undisturbed.json"
    if known.exists():
        return {start: Undisturbed(*facts) for start, facts in json.loads(known.read_text()).items()}
    project = out / "project"
    shutil.rmtree(project, ignore_errors=True)
    write_project(project)
    for start in STARTS:
        copy(project, out / start)
        typer.echo(f"{start}: two undisturbed runs ...")
        twice = []
        for number in (1, 2):
            copy(out / start, project)
            twice.append(undisturbed(project, out / "logs" / f"{start}.{number}.log", command))
        calm[start] = twice[1]._replace(results=varying(*(run.results for run in twice)))
        not_compared = [name for name, content in calm[start].results.items() if content == VARIES]
        typer.echo(f"differ in these as well, and are not compared: {', '.join(not_compared) or 'none'}")
        change_data(project)
    known.write_text(json.dumps(calm))
    return calm


def stage_at(log: Path) -> str:
    """The stage that DVC said last that it runs."""
    return (re.findall(r"Running stage '(.+?)'", log.read_text(encoding="utf-8", errors="replace")) or ["-"])[-1]


@app.command()
def kill(
    out: Annotated[Path, typer.Argument(help="Folder to work in; it goes on where it was.")],
    count: Annotated[int, typer.Option(min=1, help="Attacks.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Draws them.")] = 0,
    stop_seconds: Annotated[float, typer.Option(min=0, help="How long STOP lasts.")] = 60,
    until: Annotated[str | None, typer.Option(help="A stage such as clean@synthetic, to stop there: a trial.")] = None,
) -> None:
    """Attack a small pipeline COUNT times, and say what it survived."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and their children
    out = out.resolve()
    (out / "logs").mkdir(parents=True, exist_ok=True)
    command = (*COMMAND, until) if until else COMMAND
    table, calm = out / "attacks.csv", prepare(out, command)
    rows = list(csv.DictReader(table.open())) if table.exists() else []
    done = {int(row["number"]) for row in rows if row["seed"] == str(seed)}
    for attack in (drawn(seed, number) for number in range(count) if number not in done):
        if calm[attack.start].writes.get(attack.moment) == 0:  # with --until: the moment never comes
            continue
        row = attacked(attack, calm[attack.start], out, stop_seconds, command) | {"seed": seed}
        rows.append(row)
        with table.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(row)
        typer.echo(" | ".join(f"{value}" for value in row.values()))
    summarise([row for row in rows if row["seed"] in (seed, str(seed))])


def attacked(attack: Attack, calm: Undisturbed, out: Path, stop_s: float, command: tuple[str, ...]) -> dict[str, Any]:
    """A row of the table; the project of an attack that failed is kept."""
    project, start = out / "project", time.monotonic()
    copy(out / attack.start, project)
    said = outcome(attack, calm, project, out / "logs", stop_s, command)
    if said not in ("survived", "ended before"):
        (out / "failed").mkdir(exist_ok=True)
        copy(project, out / "failed" / str(attack.number))
    facts = {name: getattr(attack, name) for name in ("number", "start", "moment", "place", "signal", "target")}
    stage = stage_at(out / "logs" / f"{attack.number}.first.log")
    return facts | {"stage": stage, "seconds": round(time.monotonic() - start), "outcome": said}


def summarise(rows: list[dict[str, Any]]) -> None:
    """Print how many of each moment, signal and target were tried and survived; exit code 1 where one was not."""
    tried, survived, late = Counter(), Counter(), Counter()
    for row in rows:
        key = row["moment"], row["signal"], row["target"]
        tried[key] += 1
        survived[key] += row["outcome"] == "survived"
        late[key] += row["outcome"] == "ended before"
    typer.echo(
        "\n| moment | signal | target | tried | survived | ended before | failed |\n|---|---|---|---:|---:|---:|---:|"
    )
    for key in sorted(tried):
        failed = tried[key] - survived[key] - late[key]
        typer.echo(f"| {' | '.join(key)} | {tried[key]} | {survived[key]} | {late[key]} | {failed} |")
    if tried.total() - survived.total() - late.total():
        raise typer.Exit(1)


if __name__ == "__main__":
    run_app(app)
