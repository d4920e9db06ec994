"""Where networks run, at which precision, and how rows of stored arrays get there."""

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
