"""Damaged inputs by the thousand: each is answered, or refused in one line, within bounds of time and memory.

`python -m tools.fuzz --kind packs --seed 0 --count 1000` makes an intact input of each kind, damages copies of it
(tools.damage) and reads them in a process of its own, so that a hang or a crash of the interpreter is seen too. What
fails is kept below --out. Kinds whose files have digests are sealed: what they answer is the answer of the intact
input. Of the others each part whose file was not damaged is answered as before.
"""

import json
import multiprocessing
import os
import shutil
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import typer

from mmfer.errors import MmferError, run_app
from tools.damage import damage_folder
from tools.inputs import KINDS, Refused

HANG_S = 10.0  # of the processor, for one input
WAIT_S = 600.0  # on the clock, where others may have the cores
MEMORY_MIB = 1024  # beyond what the process had before
OUTCOMES = ("succeeded", "refused", "failed")
app = typer.Typer(add_completion=False)


def read_damaged(kind: str, intact: Path, seed: int, number: int, place: Path) -> str:
    """Damage a copy of an intact input at `place` and read it: 'succeeded', 'refused', or what went wrong."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(intact, place)
    answer = json.loads((intact.parent / f"{kind}.json").read_text())
    changed = damage_folder(place, np.random.default_rng((seed, zlib.crc32(kind.encode()), number)))
    before = peak_mib(reset=True)
    start = time.process_time()
    said = attempt(kind, place, answer, changed)
    seconds, mebibytes = time.process_time() - start, peak_mib() - before
    if seconds > HANG_S:
        return f"{seconds:.0f} s of the processor; {said}"
    return said if mebibytes <= MEMORY_MIB else f"{mebibytes:.0f} MiB; {said}"


def attempt(kind: str, place: Path, answer: dict[str, str], changed: set[str]) -> str:
    """Read an input whose files of these names were changed, and compare the answer with that of the intact one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = KINDS[kind].read(place)
    except (MmferError, Refused):
        return "refused"
    except BaseException:
        return traceback.format_exc()
    free = KINDS[kind].free
    if free is None:
        wrong = {part for part in found.keys() & answer.keys() - changed if found[part] != answer[part]}
    else:
        wrong = set() if changed & free else {part for part in answer if found.get(part) != answer[part]}
    return f"wrong answer in silence: {', '.join(sorted(wrong)[:3])}" if wrong else "succeeded"


def peak_mib(reset: bool = False) -> float:
    """The most memory that this process has had since the last reset; then what it has now."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def work(link: Connection, kind: str, intact: Path) -> None:
    """Read the intact input, which imports; then what is asked for, until nobody asks."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):  # libraries in C say what they think of damaged files
        os.dup2(quiet, number)
    KINDS[kind].read(intact)
    link.send("ready")
    while True:
        link.send(read_damaged(kind, intact, *link.recv()))


class Reader:
    """A process that reads inputs of a kind; a new one where it hangs or dies."""

    def __init__(self, kind: str, intact: Path) -> None:
        self._of, self._process = (kind, intact), self._started(kind, intact)

    def _started(self, kind: str, intact: Path) -> Any:
        self._link, other = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=work, args=(other, kind, intact), daemon=True)
        process.start()
        other.close()
        self._link.recv()
        return process

    def read(self, seed: int, number: int, place: Path) -> str:
        """What becomes of an input."""
        if not self._process.is_alive():
            self._process = self._started(*self._of)
        before, end = self._seconds(), time.monotonic() + WAIT_S
        try:
            self._link.send((seed, number, place))
            while not self._link.poll(0.2):
                if self._seconds() - before > 2 * HANG_S or time.monotonic() > end:
                    self._process.kill()
                    self._process.join()
                    return "it hangs"
            return self._link.recv()
        except (EOFError, OSError, psutil.Error):
            self._process.join()
            return f"the interpreter crashed, exit code {self._process.exitcode}"

    def _seconds(self) -> float:
        return sum(psutil.Process(self._process.pid).cpu_times()[:2])


@app.command()
def fuzz(
    kind: Annotated[
        list[str] | None, typer.Option(help=f"Of {', '.join(KINDS)}; may be repeated. Without: all.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Inputs of each kind.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Draws the damage.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for inputs that fail.")] = Path("fuzzed"),
) -> None:
    """Damage inputs, read them, and say what became of them."""
    kinds = kind or list(KINDS)
    unknown = set(kinds) - set(KINDS)
    if unknown:
        raise MmferError(f"--kind {min(unknown)}: not there; known: {', '.join(KINDS)}")
    failed = 0
    typer.echo("| kind | inputs | refused | succeeded | failed |\n|---|---:|---:|---:|---:|")
    for name in kinds:
        outcomes = fuzzed(name, seed, count, out)
        failed += outcomes["failed"]
        typer.echo(f"| {name} | {count} | {outcomes['refused']} | {outcomes['succeeded']} | {outcomes['failed']} |")
    if failed:
        typer.echo(f"what failed is below {out}")
        raise typer.Exit(1)


def fuzzed(kind: str, seed: int, count: int, out: Path) -> Counter[str]:
    """How many inputs of a kind came to each of OUTCOMES; those that failed are kept."""
    outcomes = Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        intact, place = Path(folder, "intact"), Path(folder, "damaged")
        intact.mkdir()
        KINDS[kind].make(intact)
        (intact.parent / f"{kind}.json").write_text(json.dumps(KINDS[kind].read(intact)))
        reader = Reader(kind, intact)
        for number in range(count):
            said = reader.read(seed, number, place)
            outcome = said if said in OUTCOMES else "failed"
            outcomes[outcome] += 1
            if outcome == "failed":
                kept = out / f"{kind}-{seed}-{number}"
                shutil.rmtree(kept, ignore_errors=True)
                shutil.copytree(place, kept)
                (out / f"{kept.name}.txt").write_text(said)
                typer.echo(f"{kept}: {said.strip().splitlines()[-1]}", err=True)
    return outcomes


if __name__ == "__main__":
    run_app(app)
