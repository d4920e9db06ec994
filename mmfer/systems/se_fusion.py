"""System se_fusion: the three modalities and the fusion of compact, its image branch laid out stage by stage.

Few maps where the face is large and memory is what a CPU waits for, many where it is small; a wider network for half of
compact's operations. Squeeze-and-excitation (Hu et al., 2018) in the last stages alone, a choice of stem and of
pooling, a linear classifier on each branch that helps it learn for itself (deep supervision: Lee et al., 2015), and a
gate on each branch that weighs it by what of the face can be seen.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mmfer.config import Depth, Width
from mmfer.face.points import PARTS
from mmfer.systems import register
from mmfer.systems.fusion import BranchParams, Modality, ModalityFusion
from mmfer.systems.layers import residual_stages


class SeFusionParams(BranchParams):
    """Widths and depths of the branches."""

    stem: Literal["halved", "space_to_depth", "full"] = Field(
        "space_to_depth", description="3x3 of stride 2; or of 2x2 pixels as 4 channels; or full, of stride 1"
    )
    channels: list[Width] = Field([48, 96, 192, 320], min_length=1, max_length=4, description="of the residual stages")
    blocks: list[Depth] = Field([1, 2, 2, 1], description="residual blocks of each stage")
    squeezed: int = Field(2, ge=0, description="last stages with squeeze-and-excitation")
    squeeze: Width = Field(8, description="reduction of the squeeze-and-excitation layer")
    pooling: Literal["mean", "mean_max"] = Field("mean_max", description="of the last maps; mean and maximum joined")
    landmarks_hidden: list[Width] = Field([256, 128], min_length=1)
    hog_hidden: list[Width] = Field([512, 128], min_length=1)
    dropout: float = Field(0.4, ge=0, lt=1, description="after each branch")
    withhold: dict[Modality, Annotated[float, Field(ge=0, lt=1)]] = Field(
        {"landmarks": 0.3, "hog": 0.5}, description="share of training samples from which a branch is withheld"
    )
    heads: float = Field(0.0, ge=0, description="weight of the loss of a classifier on each branch; 0: none")
    gated: bool = Field(False, description="weigh each branch by its vector and the visibility of the face's parts")

    @model_validator(mode="after")
    def _stages_agree(self) -> "SeFusionParams":
        stages = len(self.channels)
        if len(self.blocks) != stages:
            raise ValueError(f"blocks: {len(self.blocks)} stages, channels has {stages}; give each stage its blocks")
        if self.squeezed > stages:
            raise ValueError(f"squeezed = {self.squeezed} is more than the {stages} stages")
        return self


class MeanAndMaximum(nn.Module):
    """The mean of each map, then the maximum of each."""

    def forward(self, maps: Tensor) -> Tensor:  # (N, C, H, W) -> (N, 2C)
        highest = nn.functional.max_pool2d(maps, maps.shape[2:])  # for the reasons of layers.ChannelGate
        return torch.cat([maps.mean(dim=(2, 3)), highest.flatten(1)], dim=1)


class ImageBranch(nn.Sequential):
    """Stem, residual stages that halve the map from the second on, pooling: (N, channels[-1]), or twice as many."""

    def __init__(self, params: SeFusionParams) -> None:
        first, plain = params.channels[0], len(params.channels) - params.squeezed
        unshuffle: list[nn.Module] = [nn.PixelUnshuffle(2)] if params.stem == "space_to_depth" else []
        stride = 2 if params.stem == "halved" else 1
        stem = [nn.Conv2d(4 if unshuffle else 1, first, 3, stride, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU()]
        stages = residual_stages(params.channels, params.blocks, params.squeeze, plain)
        mean = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        pooling = mean if params.pooling == "mean" else [MeanAndMaximum()]
        super().__init__(*unshuffle, *stem, *stages, *pooling, nn.Dropout(params.dropout))


class VisibilityGate(nn.Module):
    """A vector times a weight from 0 to 2 that depends on it and on which of PARTS can be seen; 1 before training."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width + len(PARTS), 1)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    def forward(self, vector: Tensor, visible: Tensor) -> Tensor:  # (N, W), (N, 5) -> (N, W)
        return vector * 2 * torch.sigmoid(self.score(torch.cat([vector, visible.to(vector.dtype)], dim=1)))


@register("se_fusion", params=SeFusionParams)
class SeFusion(ModalityFusion):
    """The fusion of three branches, and where `heads` asks for it what they would say alone, while it trains."""

    def __init__(self, params: SeFusionParams, n_classes: int, hog_length: int = 900) -> None:
        image = params.channels[-1] * (2 if params.pooling == "mean_max" else 1)
        super().__init__(params, lambda: ImageBranch(params), image, n_classes, hog_length, withhold=params.withhold)
        self.weight = params.heads
        widths = {"image": image, "landmarks": params.landmarks_hidden[-1], "hog": params.hog_hidden[-1]}
        headed, gated = (params.branches if asked else [] for asked in (params.heads, params.gated))
        self.heads = nn.ModuleDict({name: nn.Linear(widths[name], n_classes) for name in headed})
        self.gates = nn.ModuleDict({name: VisibilityGate(widths[name]) for name in gated})
        if gated:
            self.inputs = (*self.inputs, "visible")

    def forward(self, **inputs: Tensor) -> Tensor:  # as Fusion, and where it is gated visible (N, 5)
        vectors = {name: branch(inputs[name]) for name, branch in self.branches.items()}
        if self.training:  # for `loss`; not of vectors that are weighed, or withheld from the fusion
            self.branch_logits = [head(vectors[name]) for name, head in self.heads.items()]
        vectors |= {name: gate(vectors[name], inputs["visible"]) for name, gate in self.gates.items()}
        return self.head(self.fusion(torch.cat([self.gate(name, v) for name, v in vectors.items()], dim=1)))

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy for target probabilities (N, C), and `heads` times that of each branch, at the last forward."""
        own = (cross_entropy(scores.float(), targets) for scores in self.branch_logits)
        return cross_entropy(logits, targets) + self.weight * sum(own, logits.new_zeros(()))
