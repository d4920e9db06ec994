"""One training over several processes, on one computer or many, started by torchrun: what they share and who writes.

Each process trains on its part of every batch, gradients are averaged, and process 0 alone writes. Where there is no
torchrun there is one process, and nothing here does anything.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from mmfer.errors import MmferError

TIMEOUT = timedelta(minutes=30)  # as long as the slowest may be behind, after which a process is lost


class Paused(MmferError):
    """A training that stopped before its end, in all processes at once; it goes on from there when it is run again."""


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Join the other processes while the block runs, if torchrun started this one; MmferError where one is lost.

    Process 0 alone prints, and ends with the error of a pause; the others end as if all was done, for at the first
    error torchrun ends all, also one that still writes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or distributed.is_initialized():
        yield
        return
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if device == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere) if rank() else nullcontext():
            yield
    except Paused:
        if rank():
            sys.exit(0)
        raise
    except RuntimeError as error:
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


def kept_equal(network: nn.Module) -> nn.Module:
    """The network as it is called in training: itself, or what averages its gradients over the processes.

    Batch norm takes its statistics of the batches of all processes on CUDA; elsewhere torch has no way to, each process
    takes those of its part, and `average_buffers` makes one of them.
    """
    if count() == 1:
        return network
    if next(network.parameters()).is_cuda:
        nn.SyncBatchNorm.convert_sync_batchnorm(network)
    parallel = DistributedDataParallel(network, gradient_as_bucket_view=True)
    parallel.broadcast_buffers = False  # not the argument: deprecated by torch 2.13, whose heir 2.6 lacks
    return parallel


def average_buffers(network: nn.Module) -> None:
    """Make the running statistics of a network the means over all processes, so that each measures the same one."""
    for buffer in network.buffers():
        if count() > 1 and buffer.is_floating_point():
            summed(buffer).div_(count())


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
