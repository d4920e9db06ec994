"""What a stage costs: wall time and peak anonymous memory. Pages of memmapped files do not count."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STATUS = Path("/proc/self/status")


@contextmanager
def measured() -> Iterator[dict[str, float]]:
    """Yield a dict that holds `seconds` and, where /proc has it (Linux), `peak_mib` once the block has ended."""
    cost: dict[str, float] = {}
    done = threading.Event()
    peaks = [0.0]

    def watch() -> None:
        while not done.wait(0.05):
            peaks[0] = max(peaks[0], _anonymous_mib())

    watcher = threading.Thread(target=watch, daemon=True)
    start = time.perf_counter()
    watcher.start()
    try:
        yield cost
    finally:
        done.set()
        watcher.join()
        cost["seconds"] = round(time.perf_counter() - start, 2)
        if STATUS.exists():
            cost["peak_mib"] = round(max(peaks[0], _anonymous_mib()), 1)


def _anonymous_mib() -> float:
    if not STATUS.exists():
        return 0.0
    for line in STATUS.read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return 0.0
