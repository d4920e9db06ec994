"""System compact: the paper's three modalities and fusion in a network that a CPU can train.

The image branch is a residual network with squeeze-and-excitation (Hu et al., 2018) that halves the face at once, about
a fortieth of the paper's parameters; landmarks and HOG go through narrower stacks.
"""

from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from mmfer.config import Depth, Width
from mmfer.systems import register
from mmfer.systems.fusion import BranchParams, Modality, ModalityFusion
from mmfer.systems.layers import residual_stages


class CompactParams(BranchParams):
    """Widths of the branches."""

    channels: list[Width] = Field([40, 80, 160], min_length=1, max_length=4, description="of the residual stages")
    blocks: Depth = Field(2, description="residual blocks of each stage")
    stem_stride: Literal[1, 2] = Field(2, description="2: the face is halved at once, several times cheaper")
    squeeze: Width = Field(8, description="reduction of the squeeze-and-excitation layer")
    landmarks_hidden: list[Width] = Field([256, 128], min_length=1)
    hog_hidden: list[Width] = Field([512, 128], min_length=1)
    dropout: float = Field(0.3, ge=0, lt=1, description="after each branch")
    withhold: dict[Modality, Annotated[float, Field(ge=0, lt=1)]] = Field(
        {"landmarks": 0.3, "hog": 0.5}, description="share of training samples from which a branch is withheld"
    )


class ImageBranch(nn.Sequential):
    """Stem, residual stages that halve the map from the second on, global average: (N, channels[-1])."""

    def __init__(self, params: CompactParams) -> None:
        first, count = params.channels[0], len(params.channels)
        stem = [nn.Conv2d(1, first, 3, params.stem_stride, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU()]
        stages = residual_stages(params.channels, [params.blocks] * count, params.squeeze)
        super().__init__(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(params.dropout))


@register("compact", params=CompactParams)
class Compact(ModalityFusion):
    """The same three modalities and the same fusion in less room."""

    def __init__(self, params: CompactParams, n_classes: int, hog_length: int = 900) -> None:
        width, withhold = params.channels[-1], params.withhold
        super().__init__(params, lambda: ImageBranch(params), width, n_classes, hog_length, withhold=withhold)
