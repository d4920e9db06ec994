"""What the benchmarks share: timings that take turns, their ratios, facts of the machine, and one JSON for a script."""

import argparse
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable
from typing import Any

import numpy as np

LIBRARIES = ("numpy", "numba", "opencv-python-headless", "dlib-bin", "scikit-image", "torch", "onnxruntime", "dvc")
MADE_BY: dict[str, Any] = {"stage": "made", "params": {}}  # of FaceSets that no stage made
Ways = dict[str, Callable[[], object]]
Times = dict[str, np.ndarray]  # (turns, 2) seconds: on the clock, of the processor


def interleaved(ways: Ways, turns: int, items: dict[str, int] | None = None) -> Times:
    """Seconds of some functions that take turns, so that other load falls on all; of one item where `items` says how
    many a function handles.
    """
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            clock, processor = time.perf_counter(), time.process_time()
            way()
            times[name].append((time.perf_counter() - clock, time.process_time() - processor))
    return {name: np.array(taken) / (items or {}).get(name, 1) for name, taken in times.items()}


def ratio(times: Times, one: str, other: str, of: str = "clock") -> float:
    """How many times as long one way takes as another: the median over turns, whose parts ran under the same load.

    `of`: the clock, or the processor, which other load hardly changes and which says nothing about threads.
    """
    column = ("clock", "processor").index(of)
    return round(float(np.median(times[one][:, column] / times[other][:, column])), 3)


def medians(times: Times) -> dict[str, dict[str, float]]:
    """Median and least seconds on the clock, and median seconds of the processor."""
    columns = {"median_s": (np.median, 0), "least_s": (np.min, 0), "processor_s": (np.median, 1)}
    return {
        name: {key: float(f"{how(taken[:, column]):.4g}") for key, (how, column) in columns.items()}
        for name, taken in times.items()
    }


def machine() -> dict[str, Any]:
    """Processor, cores, memory, versions; the mean number of processes that ran or waited in the last minute."""
    from mmfer.training.device import BFLOAT16, processor

    name, flags = processor()
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "bfloat16": sorted(flags & BFLOAT16),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in LIBRARIES},
        "load_before": round(os.getloadavg()[0], 2),
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def run(measure: Callable[[bool], dict[str, Any]], title: str | None) -> None:
    """The command of a script: measure (quick: at toy size, which shows nothing but that it works), print JSON."""
    parser = argparse.ArgumentParser(description=title, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="toy sizes, in seconds: the figures mean nothing")
    quick = parser.parse_args().quick
    print_result(lambda: measure(quick), quick)


def print_result(measure: Callable[[], dict[str, Any]], quick: bool) -> None:
    """Measure, and print what was found as JSON, after where, when and for how long."""
    facts, start = machine(), time.time()
    result = measure()
    when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(start))
    spent = {"when_utc": when, "seconds": round(time.time() - start, 1), "quick": quick}
    print(json.dumps({"machine": facts} | spent | result, indent=1))
