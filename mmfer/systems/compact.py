"""System compact: the paper's three modalities and fusion in a network that a CPU can train.

The image branch is a residual network with squeeze-and-excitation (Hu et al., 2018) that halves the face at once, about
a fortieth of the paper's parameters; landmarks and HOG go through narrower stacks.
"""

from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mmfer.config import Block
from mmfer.systems import register
from mmfer.systems.layers import Fusion, stack


class CompactParams(Block):
    """Widths of the branches."""

    branches: list[Literal["image", "landmarks", "hog"]] = Field(["image", "landmarks", "hog"], min_length=1)
    channels: list[int] = Field([40, 80, 160], min_length=1, max_length=4, description="of the residual stages")
    blocks: int = Field(2, ge=1, description="residual blocks of each stage")
    stem_stride: Literal[1, 2] = Field(2, description="2: the face is halved at once, several times cheaper")
    squeeze: int = Field(8, ge=1, description="reduction of the squeeze-and-excitation layer")
    landmarks_hidden: list[int] = Field([256, 128], min_length=1)
    hog_hidden: list[int] = Field([512, 128], min_length=1)
    dropout: float = Field(0.3, ge=0, lt=1, description="after each branch")
    withhold: dict[Literal["image", "landmarks", "hog"], Annotated[float, Field(ge=0, lt=1)]] = Field(
        {"landmarks": 0.3, "hog": 0.5}, description="share of training samples from which a branch is withheld"
    )


class ResidualBlock(nn.Module):
    """Two convolutions 3x3 with batch norm, the channels weighted by squeeze-and-excitation, added to the input."""

    def __init__(self, a: int, b: int, stride: int, squeeze: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(a, b, 3, stride, 1, bias=False),
            nn.BatchNorm2d(b),
            nn.ReLU(),
            nn.Conv2d(b, b, 3, 1, 1, bias=False),
            nn.BatchNorm2d(b),
        )
        self.gate = nn.Sequential(nn.Linear(b, b // squeeze), nn.ReLU(), nn.Linear(b // squeeze, b), nn.Sigmoid())
        plain = a == b and stride == 1
        self.shortcut = (
            nn.Identity() if plain else nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b))
        )

    def forward(self, maps: Tensor) -> Tensor:  # (N, a, H, W) -> (N, b, H / stride, W / stride)
        new = self.body(maps)
        new = new * self.gate(new.mean(dim=(2, 3)))[:, :, None, None]
        return torch.relu(new + self.shortcut(maps))


class ImageBranch(nn.Sequential):
    """Stem, residual stages that halve the map from the second on, global average: (N, channels[-1])."""

    def __init__(self, params: CompactParams) -> None:
        first = params.channels[0]
        stem = [nn.Conv2d(1, first, 3, params.stem_stride, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU()]
        widths = [first, *params.channels]
        stages = [self.stage(a, b, 1 if i == 0 else 2, params) for i, (a, b) in enumerate(pairwise(widths))]
        super().__init__(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(params.dropout))

    @staticmethod
    def stage(a: int, b: int, stride: int, params: CompactParams) -> nn.Sequential:
        """Residual blocks of one width; the first one changes width and side."""
        first = ResidualBlock(a, b, stride, params.squeeze)
        return nn.Sequential(first, *(ResidualBlock(b, b, 1, params.squeeze) for _ in range(params.blocks - 1)))


@register("compact", params=CompactParams)
class Compact(Fusion):
    """The same three modalities and the same fusion in less room."""

    def __init__(self, params: CompactParams, n_classes: int, hog_length: int = 900) -> None:
        build = {
            "image": lambda: ImageBranch(params),
            "landmarks": lambda: stack([136, *params.landmarks_hidden], params.dropout),
            "hog": lambda: stack([hog_length, *params.hog_hidden], params.dropout),
        }
        widths = {
            "image": params.channels[-1],
            "landmarks": params.landmarks_hidden[-1],
            "hog": params.hog_hidden[-1],
        }
        chosen = params.branches
        super().__init__(
            {b: build[b]() for b in chosen}, [widths[b] for b in chosen], n_classes, withhold=params.withhold
        )
