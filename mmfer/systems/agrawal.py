"""System agrawal: the fully convolutional network of Agrawal & Mittal (2020).

Our reconstruction: known are constituents of two convolutions, the second of which halves the side in place of pooling,
kernels of 8, no fully connected layer and no dropout; filters, batch norm and the head are ours.
"""

from itertools import pairwise

from pydantic import Field
from torch import nn

from mmfer.config import Block, Width
from mmfer.systems import register
from mmfer.systems.layers import Chain


class AgrawalParams(Block):
    """The defaults are their Model1; 32, 64, 128, 128 filters make Model2."""

    filters: list[Width] = Field([32, 32, 32, 32], min_length=1, max_length=5, description="of each constituent")
    norm: bool = Field(True, description="batch norm after each convolution")


@register("agrawal", params=AgrawalParams)
class Agrawal(Chain):
    """Constituents in a row, a 1x1 convolution to a map for each class, its average."""

    def __init__(self, params: AgrawalParams, n_classes: int, hog_length: int = 900) -> None:
        constituents = [constituent(a, b, params.norm) for a, b in pairwise([1, *params.filters])]
        scores = nn.Conv2d(params.filters[-1], n_classes, 1)
        super().__init__([*constituents, scores, nn.AdaptiveAvgPool2d(1), nn.Flatten()], n_classes)


def constituent(a: int, b: int, norm: bool) -> nn.Sequential:
    """Two 8x8 convolutions, a maps in, b maps of half the side out."""
    same = nn.ZeroPad2d((3, 4, 3, 4))  # an even kernel keeps the side with one more row and column at the far edges
    first, second = nn.Conv2d(a, b, 8, bias=not norm), nn.Conv2d(b, b, 8, 2, 3, bias=not norm)
    return nn.Sequential(same, first, *ending(b, norm), second, *ending(b, norm))


def ending(b: int, norm: bool) -> list[nn.Module]:
    """What follows a convolution."""
    return [nn.BatchNorm2d(b), nn.ReLU()] if norm else [nn.ReLU()]
