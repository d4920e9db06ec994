"""One training over several processes, on one computer or many, started by torchrun: what they share and who writes.

Each process trains on its part of every batch, gradients are averaged, and process 0 alone writes. Where there is no
torchrun there is one process, and nothing here does anything.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed

from mmfer.errors import MmferError

TIMEOUT = timedelta(minutes=30)  # as long as the slowest may be behind, after which a process is lost


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Join the other processes while the block runs, if torchrun started this one; MmferError where one is lost."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or distributed.is_initialized():
        yield
        return
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if device == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield
    except (distributed.DistError, RuntimeError) as error:
        if not isinstance(error, distributed.DistError) and "peer" not in str(error):
            raise
        raise MmferError(
            f"process {rank()} of {count()} lost another one; start them again, and they go on from the last epoch"
        ) from error
    finally:
        distributed.destroy_process_group()


def count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """The number of this one; 0 writes."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def part(rows: Any) -> Any:
    """This process's part of the rows of a batch, (n,) -> about n / count(); parts may be uneven."""
    return rows[rank() * len(rows) // count() : (rank() + 1) * len(rows) // count()]


def summed(values: Tensor) -> Tensor:
    """The sum over all processes, in place."""
    if count() > 1:
        distributed.all_reduce(values)
    return values


def agreed(value: Any) -> Any:
    """What process 0 says, for all; they wait for it here."""
    if count() == 1:
        return value
    said = [value]
    distributed.broadcast_object_list(said)
    return said[0]
