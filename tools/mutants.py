"""Break one line at a time and see whether the tests notice: `python -m tools.mutants`, or `make mutants`.

tests/mutants.yaml lists the mutants: a file, its tests, and the text that each mutant puts in the place of another. It
is applied to a copy of the tracked files, never to the tree itself. It is killed where its tests fail or do not end in
time, and has survived where they pass. docs/mutants.md is the result.
"""

import hashlib
import json
import multiprocessing
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
import yaml

from mmfer.config import Block
from mmfer.errors import OWN, MmferError, run_app
from mmfer.files import write_json, write_text

ROOT = Path(__file__).resolve().parents[1]
LIST, TABLE = Path("tests/mutants.yaml"), Path("docs/mutants.md")
RESULTS = Path(".mutants.json")  # ignored by git: what is known, so that some mutants can be run again
PASSED, FAILED, TIMED_OUT = 0, 1, 124  # exit codes of pytest, and of `timeout`
PRELOADED = [
    *("pytest", "hypothesis.strategies", "hypothesis.extra.numpy", "torch._dynamo", "torch.utils.flop_counter"),
    *("pandas", "pyarrow.parquet", "numba", "cv2", "dlib", "PIL.Image", "scipy.stats", "scipy.ndimage"),
    *("sklearn.metrics", "sklearn.svm", "sklearn.decomposition", "skimage.feature", "safetensors.torch", "skops.io"),
    *("pydantic", "typer.testing", "yaml", "tqdm", "scipy.optimize", "matplotlib.pyplot"),
]
app = typer.Typer(add_completion=False)


class Entry(Block):
    """A mutant as tests/mutants.yaml has it."""

    means: str
    old: str
    new: str
    tests: str | None = None  # in place of those of the file
    equivalent: str | None = None  # why no test can notice it


class Group(Block):
    """The mutants of a file."""

    tests: str  # arguments of pytest
    mutants: list[Entry]


@dataclass(frozen=True)
class Mutant:
    """One change of one file."""

    file: str
    tests: str
    entry: Entry

    @property
    def key(self) -> str:
        """Names the change in the file of results."""
        return hashlib.sha256(f"{self.file}\0{self.entry.old}\0{self.entry.new}".encode()).hexdigest()[:12]


def read_mutants(root: Path = ROOT) -> list[Mutant]:
    """The mutants of the list; MmferError where the old text of some is not exactly once in its file."""
    groups = yaml.safe_load((root / LIST).read_text(encoding="utf-8"))
    mutants = [
        Mutant(file, entry.tests or group.tests, entry)
        for file, group in ((file, Group(**values)) for file, values in groups.items())
        for entry in group.mutants
    ]
    faults = [fault for mutant in mutants if (fault := stale(mutant, root))]
    if faults:
        raise MmferError(f"{LIST}: {'; '.join(faults)}; bring the list up to date")
    return mutants


def stale(mutant: Mutant, root: Path) -> str | None:
    """What is wrong with a mutant, if anything."""
    path = root / mutant.file
    if not path.exists():
        return f"{mutant.file} is not there ({mutant.entry.means})"
    found = path.read_text(encoding="utf-8").count(mutant.entry.old)
    if found != 1:
        return f"{mutant.file} has {found} times {mutant.entry.old!r} ({mutant.entry.means})"
    if mutant.entry.old == mutant.entry.new:
        return f"{mutant.file}: {mutant.entry.old!r} is not changed ({mutant.entry.means})"
    return None


def copy_tree(target: Path) -> Path:
    """Copy the files that git knows, and those that it does not ignore, to a new folder."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def run_tests(tree: Path, tests: str, seconds: float, compiled: Path) -> tuple[int, str]:
    """The exit code of pytest in a copy of the tree, TIMED_OUT where it takes longer; and the end of what it printed.

    It runs in a fork of a process that has imported what most tests need: that takes longer than the tests do.
    """
    printed = tree.with_suffix(".log")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=_run_pytest, args=(tree, tests, compiled, printed))
    process.start()
    process.join(seconds)
    code = process.exitcode
    if code is None:
        process.kill()
        process.join()
        return TIMED_OUT, ""
    return code, printed.read_text(encoding="utf-8", errors="replace")


def _run_pytest(tree: Path, tests: str, compiled: Path, printed: Path) -> None:
    """Run pytest in a tree, its modules and no others' imported, and exit with its code."""
    with printed.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    for name in [name for name in sys.modules if name.split(".")[0] in OWN]:
        del sys.modules[name]
    sys.path[:] = [str(tree), *(place for place in sys.path if place not in {"", str(ROOT)})]
    # Python would take a module for unchanged that has the same length and second.
    sys.dont_write_bytecode = True
    os.environ |= {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "NUMBA_CACHE_DIR": str(compiled)}
    if "numba" in sys.modules:  # it has read the variable already
        sys.modules["numba"].config.CACHE_DIR = str(compiled)
    os.chdir(tree)
    import pytest

    arguments = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", f"--rootdir={tree}", *tests.split()]
    code = int(pytest.main(arguments))
    sys.stdout.flush()
    os._exit(code)


def judge(mutant: Mutant, tree: Path, seconds: float) -> str:
    """Apply a mutant to a copy of the tree, run its tests, put the file back: killed, timed out, survived or broken.

    Broken: its tests could not run, which says nothing; the list is at fault.
    """
    path, entry = tree / mutant.file, mutant.entry
    original, stamp = path.read_text(encoding="utf-8"), path.stat()
    path.write_text(original.replace(entry.old, entry.new), encoding="utf-8")
    with tempfile.TemporaryDirectory(dir=tree.parent) as compiled:
        # Kernels of other files need not be compiled again; what a mutant leaves behind is forgotten.
        shutil.copytree(compiled_kernels(tree), compiled, dirs_exist_ok=True)
        code, printed = run_tests(tree, mutant.tests, seconds, Path(compiled))
    path.write_text(original, encoding="utf-8")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # by which Numba knows a file
    if code not in {PASSED, FAILED, TIMED_OUT}:
        typer.echo(printed[-600:])
    return {PASSED: "survived", FAILED: "killed", TIMED_OUT: "timed out"}.get(code, "broken")


def compiled_kernels(tree: Path) -> Path:
    """Where Numba keeps the kernels of a tree without mutants."""
    folder = tree.with_suffix(".numba")
    folder.mkdir(exist_ok=True)
    return folder


def time_limit(tree: Path, tests: str) -> float:
    """Seconds for some tests: 300, or five times what they take without a mutant; MmferError where they fail then."""
    start = time.perf_counter()
    code, printed = run_tests(tree, tests, 1800, compiled_kernels(tree))
    if code != PASSED:
        raise MmferError(f"{tests}: fails without any mutant: {printed[-600:]}")
    seconds = time.perf_counter() - start
    typer.echo(f"{seconds:8.1f} s {tests}")
    return max(300.0, 5 * seconds)


def run_mutants(mutants: list[Mutant], processes: int, keep: Callable[[Mutant, str], None]) -> list[str]:
    """The verdict on each mutant; `processes` of them at a time, each in a copy of the tree of its own.

    `keep` gets each as it is known.
    """
    limits = {mutant.tests: 0.0 for mutant in mutants}
    locks = {tests: threading.Lock() for tests in limits}
    with tempfile.TemporaryDirectory() as folder:
        trees: queue.Queue[Path] = queue.Queue()
        for number in range(processes):
            trees.put(copy_tree(Path(folder, f"tree{number}")))

        def verdict(mutant: Mutant) -> str:
            tree = trees.get()
            try:
                with locks[mutant.tests]:
                    limits[mutant.tests] = limits[mutant.tests] or time_limit(tree, mutant.tests)
                result = judge(mutant, tree, limits[mutant.tests])
            finally:
                trees.put(tree)
            typer.echo(f"{result:<10} {mutant.file}: {mutant.entry.means}")
            keep(mutant, result)
            return result

        with ThreadPoolExecutor(processes) as pool:
            return list(pool.map(verdict, mutants))


def page(mutants: list[Mutant], results: dict[str, dict[str, str]]) -> str:
    """docs/mutants.md: counts, survivors and why, every mutant."""
    known = [(mutant, results[mutant.key]) for mutant in mutants if mutant.key in results]
    survivors = [mutant for mutant, result in known if result["verdict"] == "survived"]
    runs = sorted({(result["date"], result["commit"]) for _, result in known})
    lines = [
        "# Do the tests notice?",
        "",
        f"{len(known)} of {len(mutants)} one-line mutants of the code that makes the numbers were run, each with the "
        f"tests of its module; {len(survivors)} survived. `make mutants` runs them again (see `tools/mutants.py`; the "
        "list is `tests/mutants.yaml`). Run " + ", ".join(f"on {date} at {commit}" for date, commit in runs) + ".",
        "",
        "| module | mutants | killed | survived |",
        "|---|---:|---:|---:|",
    ]
    for file in dict.fromkeys(mutant.file for mutant, _ in known):
        verdicts = [result["verdict"] for mutant, result in known if mutant.file == file]
        lived = verdicts.count("survived")
        lines.append(f"| `{file}` | {len(verdicts)} | {len(verdicts) - lived} | {lived} |")
    lines += ["", "## Survivors", ""]
    reason = "not explained yet: a test is missing"
    lines += [f"- `{one.file}`, {one.entry.means}: {one.entry.equivalent or reason}." for one in survivors] or ["None."]
    lines += ["", "## All", "", "| module | mutant | verdict |", "|---|---|---|"]
    lines += [f"| `{mutant.file}` | {mutant.entry.means} | {result['verdict']} |" for mutant, result in known]
    return "\n".join(lines) + "\n"


@app.command()
def main(
    processes: Annotated[int, typer.Option(min=1, help="Mutants at a time.")] = 2,
    only: Annotated[str, typer.Option(help="Run those again whose file or meaning holds this text.")] = "",
    missing: Annotated[bool, typer.Option("--missing", help="Run those that no run has reached yet.")] = False,
) -> None:
    """Run the mutants and write docs/mutants.md, after each of them; Ctrl-C keeps what is known."""
    mutants = read_mutants()
    again = only or missing
    results = json.loads((ROOT / RESULTS).read_text()) if again and (ROOT / RESULTS).exists() else {}
    chosen = [mutant for mutant in mutants if only in f"{mutant.file} {mutant.entry.means}"]
    chosen = [mutant for mutant in chosen if not (missing and mutant.key in results)]
    if not chosen:
        raise MmferError(f"{LIST}: no mutant is left to run; correct --only or leave out --missing")
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    stamp = {"date": time.strftime("%Y-%m-%d"), "commit": commit}
    lock = threading.Lock()

    def keep(mutant: Mutant, verdict: str) -> None:
        with lock:
            results[mutant.key] = {"verdict": verdict, **stamp}
            write_json(ROOT / RESULTS, results)
            write_text(ROOT / TABLE, page(mutants, results))

    verdicts = run_mutants(chosen, processes, keep)
    if "broken" in verdicts:
        raise MmferError(f"{LIST}: the tests of {verdicts.count('broken')} mutants cannot run; see above")
    typer.echo(f"{verdicts.count('survived')} of {len(verdicts)} survived; see {TABLE}")


if __name__ == "__main__":
    run_app(app)
