"""The pipeline at toy size in a folder of its own, how it runs there, and what a run leaves: for tools.kill, tests."""

import csv
import hashlib
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from mmfer.errors import MmferError
from mmfer.files import OURS

ROOT = Path(__file__).resolve().parents[1]
COMMAND = (sys.executable, "-m", "dvc", "repro")
WRITES = {  # by whom: the files that change as they write
    "mlflow": ("mlflow.db*", ".*.mlflow.db*", "mlartifacts/*"),
    "dvc": ("dvc.lock", ".dvc/tmp/*", ".dvc/cache/files/md5/*"),
    "figures": ("metrics/**/.*.png", "metrics/**/.*.svg", "data/*/**/*.png", "metrics/study/*/.*/*"),
}
SETTINGS = """\
[core]
    no_scm = true
    analytics = false
    check_update = false
[cache]
    type = hardlink,copy
"""
POLLING = 0.1  # share of the time that looking for writes takes
TIMED = ("minutes", "seconds", "samples_per_second", "tflops", "matmul_share", "latency_ms", "peak_mib")
NAMED = re.compile(  # what may differ from run to run: by its name, by its unit, or the digest of files with such
    rf'"(?:{"|".join(TIMED)}|files)": ("\w+"|[-+.\deE]+)' + r"|[\d.]+ (?:minutes|ms)\b|md5: \w+|size: \d+"
)
VARIES = "varies"  # in place of a digest: of a file that two undisturbed runs wrote differently all the same


class Undisturbed(NamedTuple):
    """A run that nobody disturbed."""

    seconds: float
    writes: dict[str, int]  # by the names of WRITES
    results: dict[str, str]  # see `results`, `varying`


def small_params() -> dict[str, Any]:
    """params.yaml of this tree with a data set so small that the pipeline takes a minute."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    tiny = params["datasets"]["synthetic"]
    tiny["source"] |= {"faces": 140, "identities": 20}
    tiny["augment"] |= {"copies": 2}
    tiny["train"] |= {"epochs": 2, "samples_per_epoch": 64, "batch_size": 32, "seeds": [0]}
    tiny["evaluate"] |= {"runs": 2, "bootstrap": 100}
    tiny["perturb"] |= {"images": 10, "severities": [3]}
    params["systems"]["svm"]["components"] = 8
    return params


def write_project(root: Path) -> None:
    """Write a DVC repository (without git) of this tree's pipeline with `small_params`."""
    root.mkdir(parents=True)
    for name in ("mmfer", "stages"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", root)
    write_yaml(root / "params.yaml", small_params())
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=root, check=True)
    (root / ".dvc/config").write_text(SETTINGS, encoding="utf-8")


def change_data(root: Path) -> None:
    """Let the next run render other faces."""
    params = small_params()
    params["datasets"]["synthetic"]["source"]["seed"] += 1
    write_yaml(root / "params.yaml", params)


def write_yaml(file: Path, content: dict[str, Any]) -> None:
    """Write parameters in their order."""
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def copy(source: Path, target: Path) -> None:
    """Copy a folder with its links and times; what was there is gone."""
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


@contextmanager
def started(project: Path, log: Path, command: tuple[str, ...]) -> Iterator[subprocess.Popen]:
    """A command in a process group of its own, which is killed at the end; what it says goes to a file."""
    surroundings = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(project),
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        "DVC_SITE_CACHE_DIR": str(project.parent / "site"),
        "NUMBA_CACHE_DIR": str(project.parent / "numba"),  # compiled once, not for each attack
    }
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"} | surroundings
    with log.open("wb") as said:
        process = subprocess.Popen(
            command, cwd=project, env=environment, stdout=said, stderr=said, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def undisturbed(project: Path, log: Path, command: tuple[str, ...]) -> Undisturbed:
    """Run a command, count what it writes, and keep its results; MmferError if it fails."""
    seen: dict[str, set[tuple[str, int]]] = {kind: writes(project, kind) for kind in WRITES}
    before, start = {kind: len(states) for kind, states in seen.items()}, time.monotonic()
    with started(project, log, command) as process:
        while process.poll() is None:
            began = time.thread_time()
            for kind in WRITES:
                seen[kind] |= writes(project, kind)
            pause(began)
    if process.returncode:
        raise MmferError(f"{log}: an undisturbed run failed; mend that first")
    counts = {kind: len(states) - before[kind] for kind, states in seen.items()}
    return Undisturbed(time.monotonic() - start, counts, results(project))


def pause(start: float) -> None:
    """Wait, so that what was done since `start` took POLLING of the time: who looks on must not take the core."""
    time.sleep(max(0.001, (time.thread_time() - start) / POLLING))


def writes(project: Path, kind: str) -> set[tuple[str, int]]:
    """The states of what a kind of WRITES changes: paths with their times."""
    states = set()
    for pattern in WRITES[kind]:
        for path in project.glob(pattern):
            with suppress(FileNotFoundError):
                states.add((str(path), path.stat().st_mtime_ns))
    return states


def results(project: Path) -> dict[str, str]:
    """What a run leaves: every file below data/ and metrics/, dvc.lock, checkpoints and finished runs of MLflow.

    Files are told by digests, see `without_times`. A stray of a killed process is a file like any other.
    """
    found = {}
    files = [path for folder in ("data", "metrics", ".checkpoints") for path in (project / folder).rglob("*")]
    for path in [*files, *project.glob("dvc.lock"), *project.glob(f"{OURS}*")]:
        if path.is_file():
            found[path.relative_to(project).as_posix()] = without_times(path)
    return found | {
        f"MLflow: {name}, {number}": "" for name, times in finished(project).items() for number in range(times)
    }


def without_times(path: Path) -> str:
    """The SHA-256 of a file, or of what a zip holds, without what is named a time."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return _digest(b"".join(_timeless(name, archive.read(name)) for name in sorted(archive.namelist())))
    return _digest(_timeless(path.name, path.read_bytes()))


def _timeless(name: str, content: bytes) -> bytes:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return content
    if name.endswith(".csv"):
        rows = list(csv.reader(text.splitlines()))
        kept = [column for column, title in enumerate(rows[0] if rows else []) if title not in TIMED]
        return repr([[row[column] for column in kept] for row in rows]).encode()
    return NAMED.sub("...", text).encode()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def finished(project: Path) -> Counter[str]:
    """How many of MLflow's runs of each name are finished, and the registered models."""
    file = project / "mlflow.db"
    if not file.exists():
        return Counter()
    with closing(sqlite3.connect(file)) as database:
        runs = database.execute("SELECT name FROM runs WHERE status = 'FINISHED'").fetchall()
        return Counter(name for (name,) in runs + database.execute("SELECT name FROM registered_models").fetchall())


def varying(one: dict[str, str], other: dict[str, str]) -> dict[str, str]:
    """Results of two undisturbed runs -> those of one, where what differs in the other is said to vary."""
    return {name: content if other.get(name) == content else VARIES for name, content in one.items()}


def differences(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    """What is missing, what is there beside it (further runs of MLflow may), and what has other content."""
    missing = [f"{name} is missing" for name in expected.keys() - found.keys()]
    beside = [f"{name} is left over" for name in found.keys() - expected.keys() if not name.startswith("MLflow")]
    both = found.keys() & expected.keys()
    changed = [f"{name} differs" for name in both if expected[name] not in (VARIES, found[name])]
    return sorted(missing + beside + changed)
