"""System resnet: ResNet-18 and -34 (He et al., 2016) for small images, as they are used on FER2013.

WuJie1010, Facial-Expression-Recognition.Pytorch, models/resnet.py. Its fixed 4x4 average pooling drops the border of a
6x6 map; ours is global.
"""

from typing import Literal

from pydantic import Field
from torch import nn

from mmfer.config import Block
from mmfer.systems import register
from mmfer.systems.layers import Chain, conv_norm, residual_stages

BLOCKS = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3]}  # of each stage


class ResnetParams(Block):
    """The defaults are the repository's."""

    depth: Literal[18, 34] = 18
    dropout: float = Field(0.5, ge=0, lt=1, description="before the head")


@register("resnet", params=ResnetParams)
class Resnet(Chain):
    """A 3x3 stem that keeps the side, no max pooling; four stages of basic blocks; global average."""

    def __init__(self, params: ResnetParams, n_classes: int, hog_length: int = 900) -> None:
        stages = residual_stages([64, 128, 256, 512], BLOCKS[params.depth])
        pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(params.dropout)]
        super().__init__([conv_norm(1, 64, bias=False), *stages, *pooled, nn.Linear(512, n_classes)], n_classes)
