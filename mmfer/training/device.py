"""Where networks run, at which precision, and how rows of stored arrays get there."""

import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmfer.errors import MmferError


def choose_device(wanted: str) -> str:
    """auto: CUDA, else MPS, else CPU. MmferError if a named device is absent."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return next(device for device, there in present.items() if there)
    if not present[wanted]:
        raise MmferError(f"params.yaml: train.device: {wanted} is not available on this machine; take auto or cpu")
    return wanted


def uses_bfloat16(precision: str, device: str) -> bool:
    """Whether networks run under bfloat16 autocast."""
    return precision == "bfloat16" or (precision == "auto" and device == "cuda")


def conditions(device: str, dtype: str) -> dict[str, Any]:
    """What the bits of a result depend on beside its run: device, processor, threads and type of the numbers."""
    name = torch.cuda.get_device_name() if device == "cuda" else _processor()
    return {"device": device, "processor": name, "threads": torch.get_num_threads(), "dtype": dtype}


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # Linux; elsewhere Python knows as much
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def resident(source: dict[str, np.ndarray], device: str) -> dict[str, Any]:
    """The arrays as tensors in the GPU's memory, where they take less than 60 % of what is free; else as they are."""
    if device == "cuda" and sum(a.nbytes for a in source.values()) < 0.6 * torch.cuda.mem_get_info()[0]:
        return {name: torch.from_numpy(np.array(array)).to(device) for name, array in source.items()}
    return source


def fetch(source: dict[str, Any], rows: np.ndarray, device: torch.device) -> dict[str, Tensor]:
    """Rows of every array as tensors on the device."""
    if isinstance(source["labels"], Tensor):
        wanted = torch.from_numpy(rows).to(device)
        return {name: tensor[wanted] for name, tensor in source.items()}
    pinned = device.type == "cuda"
    batch = {name: torch.from_numpy(array[rows]) for name, array in source.items()}
    return {name: (t.pin_memory() if pinned else t).to(device, non_blocking=pinned) for name, t in batch.items()}
