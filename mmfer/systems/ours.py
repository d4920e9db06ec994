"""System ours: the paper's network (3 and figures 3, 4). CNN with CBAM, LNN and HNN, fused at feature level.

The paper gives the fully connected layers and the order of a block. Our choice: the channels, those of its closest open
precedent (amineHorseman/facial-expression-recognition-using-cnn, model B, whose fully connected widths are the same),
the gate's reduction (CBAM's 16), the dropout, and the width of the fusion layer.
"""

from itertools import pairwise
from typing import Literal

from pydantic import Field
from torch import nn

from mmfer.config import FACE_PX, Width
from mmfer.systems import register
from mmfer.systems.fusion import BranchParams, ModalityFusion, stack
from mmfer.systems.layers import attention


class OursParams(BranchParams):
    """The defaults are the paper's, where it gives a value."""

    channels: list[Width] = Field(
        [64, 128, 256], min_length=1, max_length=5, description="paper: three, widths not given"
    )
    attention: Literal["cbam", "channel", "spatial", "none"] = "cbam"
    reduction: Width = Field(16, description="of the channel gate's hidden layer; paper: not given")
    image_hidden: list[Width] = Field([4096, 1024, 128], min_length=1)
    landmarks_hidden: list[Width] = Field([1024, 128], min_length=1)
    hog_hidden: list[Width] = Field([4096, 1024, 128], min_length=1)
    dropout: float = Field(0.2, ge=0, lt=1, description="after each branch; paper: 'particularly reduced'")
    fusion: Literal["feature", "class_fc", "class_mean"] = Field(
        "feature", description="of the branches' vectors, or of their class scores (ablation)"
    )


class ImageBranch(nn.Sequential):
    """Blocks of convolution 3x3, batch norm, ReLU, CBAM, 2x2 pooling; then the fully connected stack."""

    def __init__(self, params: OursParams) -> None:
        blocks = [self.block(a, b, params) for a, b in pairwise([1, *params.channels])]
        side = FACE_PX // 2 ** len(params.channels)
        flat = params.channels[-1] * side * side
        super().__init__(*blocks, nn.Flatten(), stack([flat, *params.image_hidden], params.dropout))

    @staticmethod
    def block(a: int, b: int, params: OursParams) -> nn.Sequential:
        """One of the three blocks: a maps in, b maps of half the side out."""
        convolution = nn.Conv2d(a, b, 3, padding=1, bias=False)
        gate = attention(params.attention, b, params.reduction)
        return nn.Sequential(convolution, nn.BatchNorm2d(b), nn.ReLU(), gate, nn.MaxPool2d(2))


@register("ours", params=OursParams)
class Ours(ModalityFusion):
    """The three sub-networks side by side, fused at feature level; at class level as an ablation."""

    def __init__(self, params: OursParams, n_classes: int, hog_length: int = 900) -> None:
        width = params.image_hidden[-1]
        super().__init__(params, lambda: ImageBranch(params), width, n_classes, hog_length, level=params.fusion)
