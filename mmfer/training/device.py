"""Where networks run, at which precision, and how fast that device could be."""

import functools
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mmfer.errors import MmferError

BFLOAT16 = frozenset({"amx_bf16", "avx512_bf16"})  # flags of processors that multiply in it


def choose_device(wanted: str) -> str:
    """auto: CUDA, else MPS, else CPU. MmferError if a named device is absent."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return next(device for device, there in present.items() if there)
    if not present[wanted]:
        raise MmferError(f"params.yaml: train.device: {wanted} is not available on this machine; take auto or cpu")
    return wanted


def uses_bfloat16(precision: str, device: str) -> bool:
    """Whether networks run under bfloat16 autocast: auto means on CUDA, and on CPUs that multiply in it."""
    multiplies = device == "cuda" or (device == "cpu" and bool(BFLOAT16 & processor()[1]))
    return precision == "bfloat16" or (precision == "auto" and multiplies)


def conditions(device: str, bfloat16: bool) -> dict[str, Any]:
    """What the bits of a result depend on beside its run: device, processor, threads and type of the numbers."""
    name = torch.cuda.get_device_name() if device == "cuda" else processor()[0]
    dtype = "bfloat16" if bfloat16 else "float32"
    return {"device": device, "processor": name, "threads": torch.get_num_threads(), "dtype": dtype}


@functools.cache
def matmul_tflops(device: str, bfloat16: bool, threads: int) -> float:
    """What a product of two large square matrices reaches there: TFLOP/s, the best of some; `threads` have torch's CPU.

    The measure of what a training could reach. The size grows until one takes a twentieth of a second.
    """
    size, seconds = 512, 0.0
    while seconds < 0.05:
        size *= 2
        matrix = torch.ones((size, size), device=device, dtype=torch.bfloat16 if bfloat16 else torch.float32)
        seconds = min(_seconds(lambda m=matrix: m @ m, device) for _ in range(3))  # type: ignore[misc]
    return 2 * size**3 / seconds / 1e12


def _seconds(work: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


@functools.cache
def processor() -> tuple[str, frozenset[str]]:
    """Name and instruction set flags of the processor."""
    cpuinfo = Path("/proc/cpuinfo")  # Linux; elsewhere Python knows the name alone
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    values = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = values.get("model name") or platform.processor() or platform.machine()
    return name, frozenset(values.get("flags", "").split())
