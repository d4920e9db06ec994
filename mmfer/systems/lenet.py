"""System lenet: LeNet-5 with cross connections (Li, Lin, Jiang, 2018).

Our reconstruction: known is that low-level features join the high-level ones before the classifier; which layers are
joined is ours, after a sister network, and so are ReLU and max pooling.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import interpolate

from mmfer.config import Block, each_once
from mmfer.systems import register
from mmfer.systems.layers import Network


class LenetParams(Block):
    """The defaults are LeNet's geometry."""

    size: Literal[32, 48] = Field(32, description="side to which the face is resized")
    joined: Annotated[list[Literal["p1", "p2"]], each_once] = Field(
        ["p1", "p2"], description="poolings whose maps go to the classifier beside C3; []: plain LeNet-5"
    )


@register("lenet", params=LenetParams)
class Lenet(Network):
    """Convolution and pooling twice, a convolution to a single point, a hidden layer over all that is joined."""

    inputs = ("image",)

    def __init__(self, params: LenetParams, n_classes: int, hog_length: int = 900) -> None:
        super().__init__()
        sides = {"p1": (params.size - 4) // 2, "p2": ((params.size - 4) // 2 - 4) // 2}
        widths = {"p1": 6 * sides["p1"] ** 2, "p2": 16 * sides["p2"] ** 2}
        self.size, self.joined, self.n_classes = params.size, params.joined, n_classes
        self.p1 = nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2))
        self.p2 = nn.Sequential(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2))
        self.c3 = nn.Sequential(nn.Conv2d(16, 120, sides["p2"]), nn.ReLU())
        self.hidden = nn.Sequential(nn.Linear(sum(widths[name] for name in self.joined) + 120, 84), nn.ReLU())
        self.head = nn.Linear(84, n_classes)

    def forward(self, image: Tensor) -> Tensor:  # (N, 1, 48, 48) -> logits (N, n_classes)
        maps = {"p1": self.p1(interpolate(image, (self.size, self.size), mode="bilinear"))}
        maps["p2"] = self.p2(maps["p1"])
        maps["c3"] = self.c3(maps["p2"])
        return self.head(self.hidden(torch.cat([maps[name].flatten(1) for name in [*self.joined, "c3"]], dim=1)))
