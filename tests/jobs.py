"""Work for tests of workers, in a module that imports quickly: each new process reads it."""

import os
import signal
import time
from pathlib import Path

from mmfer.errors import MmferError


def where(number: int) -> int:
    """The process that does it."""
    time.sleep(0.02)  # so that nobody does all of them
    return os.getpid()


def dies_once(marker: Path, number: int) -> int:
    """The number; whoever is the first to do this with the marker is killed."""
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def dies(number: int) -> None:
    """Whoever does it is killed."""
    os.kill(os.getpid(), signal.SIGKILL)


def fails(number: int) -> None:
    """A fault in the data of a row."""
    raise MmferError(f"row {number}: damaged")
