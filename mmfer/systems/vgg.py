"""System vgg: VGG with batch norm (Simonyan & Zisserman, 2015) as it is used on FER2013.

vgg13, vgg16, vgg19: WuJie1010, Facial-Expression-Recognition.Pytorch, models/vgg.py; their last map is a single point
and goes to a linear head. vgg8_fer: usef-kh/fer, models/vgg.py (Khaireddin & Chen, 2021), hidden layers as in the
original.
"""

from itertools import pairwise
from typing import Literal

from pydantic import Field
from torch import nn

from mmfer.config import FACE_PX, Block
from mmfer.systems import register
from mmfer.systems.layers import Chain, conv_norm

WIDTHS = [64, 128, 256, 512, 512]  # maps of each stage
CONVOLUTIONS = {  # of each stage
    "vgg13": [2, 2, 2, 2, 2],
    "vgg16": [2, 2, 3, 3, 3],
    "vgg19": [2, 2, 4, 4, 4],
    "vgg8_fer": [2, 2, 2, 2],
}


class VggParams(Block):
    """The defaults are the repository's with results on both FER2013 and CK+."""

    depth: Literal["vgg13", "vgg16", "vgg19", "vgg8_fer"] = "vgg19"
    dropout: float = Field(0.5, ge=0, lt=1, description="published: 0.5 before the linear head, 0.2 in vgg8_fer's")


@register("vgg", params=VggParams)
class Vgg(Chain):
    """Stages of 3x3 convolutions, each followed by 2x2 max pooling; then the head."""

    def __init__(self, params: VggParams, n_classes: int, hog_length: int = 900) -> None:
        counts = CONVOLUTIONS[params.depth]
        widths = WIDTHS[: len(counts)]
        stages = [stage(a, b, count) for (a, b), count in zip(pairwise([1, *widths]), counts, strict=True)]
        flat = widths[-1] * (FACE_PX // 2 ** len(counts)) ** 2
        super().__init__([*stages, nn.Flatten(), *head(flat, params, n_classes)], n_classes)


def stage(a: int, b: int, count: int) -> nn.Sequential:
    """Convolutions from a to b maps, then half the side."""
    return nn.Sequential(conv_norm(a, b), *(conv_norm(b, b) for _ in range(count - 1)), nn.MaxPool2d(2))


def head(flat: int, params: VggParams, n_classes: int) -> list[nn.Module]:
    """From the last map to logits; the hidden layers have dropout before the activation, and no batch norm."""
    if params.depth != "vgg8_fer":
        return [nn.Dropout(params.dropout), nn.Linear(flat, n_classes)]
    hidden = [[nn.Linear(a, 4096), nn.Dropout(params.dropout), nn.ReLU()] for a in (flat, 4096)]
    return [*hidden[0], *hidden[1], nn.Linear(4096, n_classes)]
