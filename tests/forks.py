"""Commands as processes of their own, forked from one that has imported torch and mmfer, which takes seconds."""

import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple, TextIO

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONTEXT = multiprocessing.get_context("forkserver")
PRELOADED = ["torch.distributed.run", "torch._dynamo", "mmfer.cli", "mmfer.training.campaign", "mlflow", "stages.train"]


class Job(NamedTuple):
    """A process, and what it prints, to be read as it comes."""

    process: BaseProcess
    out: TextIO
    err: TextIO

    def ended(self) -> tuple[int | None, str, str]:
        """Its exit code, the rest of its output, its errors; so few that none waits to be read."""
        said, errors = self.out.read(), self.err.read()
        self.process.join(60)
        return self.process.exitcode, said, errors


def start(
    main: Callable[[], None], *arguments: object, folder: Path = ROOT, first: str = "", **surroundings: str
) -> Job:
    """The main function of a command in a folder, after some lines of Python."""
    pipes = [CONTEXT.Pipe(duplex=False) for _ in range(2)]
    writers = [writer for _, writer in pipes]
    process = CONTEXT.Process(target=_run, args=(main, [*map(str, arguments)], folder, first, surroundings, writers))
    with pytest.MonkeyPatch.context() as patch:  # for the process that is forked, if this is the first
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("OMP_NUM_THREADS", "1")
        CONTEXT.set_forkserver_preload(PRELOADED)
        process.start()
    for writer in writers:
        writer.close()
    return Job(process, *(os.fdopen(os.dup(reader.fileno())) for reader, _ in pipes))


def _run(
    main: Callable[[], None],
    arguments: list[str],
    folder: Path,
    first: str,
    surroundings: dict[str, str],
    writers: list[Connection],
) -> None:
    for number, writer in enumerate(writers, 1):
        os.dup2(writer.fileno(), number)
        writer.close()
    sys.stdout.reconfigure(line_buffering=True)
    sys.argv = ["command", *arguments]
    os.environ.update(surroundings)
    os.chdir(folder)
    exec(first)
    main()
