"""Convolutions of small maps in bfloat16: ours beside PyTorch's, forward and backward, batches of 128.

`python -m benchmarks.convolution`. Seconds of a step of a layer (side of its maps, maps in and out, stride), and of a
fusion of three modalities whose layers they are. Without AMX ours are PyTorch's, and every ratio is one.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.common import Times, interleaved, medians, ratio, run
from mmfer.systems.convolution import Conv2d
from mmfer.systems.se_fusion import SeFusion, SeFusionParams

BATCH = 128
LAYERS = [(12, 96, 192, 2), (6, 192, 192, 1), (6, 192, 320, 2), (3, 320, 320, 1), (6, 256, 256, 1), (3, 512, 512, 1)]


def step(forward: Callable[[], torch.Tensor]) -> None:
    """A forward and a backward pass."""
    with torch.autocast("cpu", torch.bfloat16):
        values = forward()
    values.float().sum().backward()


def plain(network: nn.Module) -> nn.Module:
    """The same network whose convolutions are PyTorch's own."""
    for module in network.modules():
        if isinstance(module, Conv2d):
            module.__class__ = nn.Conv2d
    return network


def measure(quick: bool) -> dict[str, Any]:
    """Each layer, then the network, by turns."""
    batch, turns = (2, 2) if quick else (BATCH, 15)
    found: Times = {}
    ratios: dict[str, float] = {}

    def compare(name: str, ours: Callable[[], torch.Tensor], pytorch: Callable[[], torch.Tensor]) -> None:
        ways = {"ours": lambda: step(ours), "pytorch": lambda: step(pytorch)}
        for way in ways.values():
            way()
        times = interleaved(ways, turns)
        found.update({f"{name}: {way}": taken for way, taken in times.items()})
        ratios[f"pytorch_to_ours, {name}"] = ratio(times, "pytorch", "ours")

    for side, a, b, stride in LAYERS:
        maps = torch.randn(batch, a, side, side).to(memory_format=torch.channels_last).requires_grad_()
        ours, pytorch = (
            kind(a, b, 3, stride, 1, bias=False).to(memory_format=torch.channels_last) for kind in (Conv2d, nn.Conv2d)
        )
        compare(f"{side} px, {a} to {b} maps, stride {stride}", partial(ours, maps), partial(pytorch, maps))
    whole, other = (SeFusion(SeFusionParams(stem="halved"), 7).to(memory_format=torch.channels_last) for _ in range(2))
    shapes = {"image": (1, 48, 48), "landmarks": (136,), "hog": (900,)}
    inputs = {name: torch.randn(batch, *shape) for name, shape in shapes.items()}
    compare("se_fusion, halved stem", partial(whole, **inputs), partial(plain(other), **inputs))
    return {"batch": batch, "threads": torch.get_num_threads(), "times": medians(found), "ratios": ratios}


if __name__ == "__main__":
    run(measure, __doc__)
