"""Commands of Python whose processes have imported already what takes seconds: a server forks one for each of them.

It has imported packages, and nothing of mmfer, which each process reads where it is told to.
"""

import functools
import importlib
import json
import multiprocessing
import os
import runpy
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple, TextIO

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = [
    *("torch.distributed.run", "torch._dynamo", "torch.utils.flop_counter", "numba", "cv2", "dlib", "PIL.Image"),
    *("pandas", "pyarrow.parquet", "scipy.stats", "scipy.ndimage", "joblib", "sklearn.metrics", "sklearn.svm"),
    *("sklearn.decomposition", "sklearn.pipeline", "safetensors.torch", "skops.io", "matplotlib.pyplot", "jinja2"),
    *("mlflow", "mlflow.pyfunc", "pydantic", "typer", "yaml", "tqdm", "dvc.cli", "dvc.repo"),
]
COMMAND = """#!{python} -ES
import json, os, socket, sys
link = socket.socket(socket.AF_UNIX)
link.connect({address!r})
message = json.dumps([{before} + sys.argv[1:], os.getcwd(), dict(os.environ)])
socket.send_fds(link, [message.encode()], [0, 1, 2])
_, code = link.makefile()
sys.exit(int(code) % 256)
"""


class Job(NamedTuple):
    """A process; what it prints, to be read as it comes; and its exit code, which comes last."""

    pid: int
    out: TextIO
    err: TextIO
    code: TextIO

    def ended(self) -> tuple[int, str, str]:
        """Its exit code, the rest of its output, its errors, which are so few that they do not wait to be read."""
        said, errors = self.out.read(), self.err.read()
        return int(self.code.readline()), said, errors


def start(*arguments: object, folder: Path = ROOT, **surroundings: str) -> Job:
    """Python with arguments, `-m module ...` or `-c code ...`, in a folder; mmfer is that of this tree."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | surroundings
    link, pipes = socket.socket(socket.AF_UNIX), (os.pipe(), os.pipe())
    link.connect(server())
    message = json.dumps([[*map(str, arguments)], str(folder), environment])
    with open(os.devnull) as nothing:
        socket.send_fds(link, [message.encode()], [nothing.fileno(), *(writer for _, writer in pipes)])
    for _, writer in pipes:
        os.close(writer)
    answers = link.makefile()
    return Job(int(answers.readline()), *(os.fdopen(reader) for reader, _ in pipes), answers)


def write_commands(folder: Path) -> Path:
    """Write `python` and `dvc` as the server runs them into a folder, which may stand first in PATH."""
    for name, before in {"python": [], "dvc": ["-m", "dvc"]}.items():
        (folder / name).write_text(COMMAND.format(python=sys.executable, address=server(), before=before))
        (folder / name).chmod(0o755)
    return folder


@functools.cache
def server() -> str:
    """The address of the server; it ends with this process."""
    from mmfer.tracking.store import ENVIRONMENT  # some of it is read as MLflow is imported

    address = str(Path(tempfile.mkdtemp(), "python"))
    environment = os.environ | ENVIRONMENT | {"OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    started = subprocess.Popen([sys.executable, __file__, address], env=environment, stdin=pipe, stdout=pipe)
    assert started.stdout.readline() == b"ready\n"
    _kept.append(started)
    return address


_kept: list[subprocess.Popen] = []  # the pipe by whose end the server sees that of this process


def _serve(address: str) -> None:
    for name in PACKAGES:
        importlib.import_module(name)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        print("ready", flush=True)
        while sys.stdin not in select.select([listening, sys.stdin], [], [])[0]:
            link, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                _answer(link)
            link.close()
    shutil.rmtree(Path(address).parent)


def _answer(link: socket.socket) -> None:
    """Fork the process that is asked for, and tell its number and its exit code."""
    message, files, *_ = socket.recv_fds(link, 1 << 20, 3)
    process = multiprocessing.get_context("fork").Process(target=_run, args=(files, *json.loads(message)))
    process.start()
    for file in files:
        os.close(file)
    link.sendall(f"{process.pid}\n".encode())
    process.join()
    link.sendall(f"{process.exitcode}\n".encode())
    os._exit(0)  # to end as Python does takes it seconds, with so many modules


def _run(files: list[int], arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdout.reconfigure(line_buffering=True)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:1] = ["", *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    (kind, what), sys.argv = arguments[:2], arguments[1:]
    if kind == "-c":
        exec(what, {"__name__": "__main__"})
    else:
        runpy.run_module(what, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _serve(sys.argv[1])
