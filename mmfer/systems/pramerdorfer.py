"""Systems pramerdorfer, pramerdorfer_ensemble: a network of Pramerdorfer & Kampel (2016), and eight of them averaged.

Our reconstruction: order of layers, depths and parameter counts are known from secondary sources; widths, dropout rates
and the members of the ensemble are ours, the widths found by matching the counts. Histogram equalisation is theirs.
"""

import math
from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mmfer.config import Block, Depth
from mmfer.systems import register
from mmfer.systems.layers import Chain, Equalise, Network, conv_norm, residual_stages

Net = Literal["vgg", "inception", "resnet"]


class PramerdorferParams(Block):
    """One of the three networks."""

    net: Net = "vgg"
    equalise: bool = Field(True, description="equalise the histogram; not stated whether every network of theirs did")


class EnsembleParams(Block):
    """Eight networks in the paper; which ones is not stated."""

    members: dict[Net, Depth] = Field(
        {"vgg": 3, "inception": 2, "resnet": 3}, min_length=1, description="how many of each"
    )
    equalise: bool = Field(True, description="equalise the histogram; not stated whether every network of theirs did")


@register("pramerdorfer", params=PramerdorferParams)
class Pramerdorfer(Chain):
    """One network."""

    def __init__(self, params: PramerdorferParams, n_classes: int, hog_length: int = 900) -> None:
        super().__init__([*first(params.equalise), *LAYERS[params.net](n_classes)], n_classes)


@register("pramerdorfer_ensemble", params=EnsembleParams)
class PramerdorferEnsemble(Network):
    """Networks that learn side by side, each from its own loss alone; the mean of their probabilities predicts."""

    inputs = ("image",)

    def __init__(self, params: EnsembleParams, n_classes: int, hog_length: int = 900) -> None:
        super().__init__()
        nets = [net for net, count in params.members.items() for _ in range(count)]
        self.first = nn.Sequential(*first(params.equalise))
        self.members = nn.ModuleList(nn.Sequential(*LAYERS[net](n_classes)) for net in nets)
        self.n_classes = n_classes

    def forward(self, image: Tensor) -> Tensor:  # (N, 1, 48, 48) -> log of the mean probabilities (N, n_classes)
        image = self.first(image)
        # `loss` needs what the mean hides: trained on the mean, members would lean on each other.
        self.member_logits = torch.stack([member(image) for member in self.members])  # (M, N, n_classes)
        return self.member_logits.log_softmax(dim=2).logsumexp(dim=0) - math.log(len(self.members))

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Sum of the members' cross entropies for target probabilities (N, n_classes), at the last forward pass."""
        losses = (cross_entropy(member.float(), targets) for member in self.member_logits)
        return sum(losses, logits.new_zeros(()))


def first(equalise: bool) -> list[nn.Module]:
    """What stands before the layers that learn."""
    return [Equalise()] if equalise else []


def vgg(n_classes: int) -> list[nn.Module]:
    """Four times two convolutions, max pooling and dropout; two fully connected layers. 1.77 million weights."""
    widths, rates = [1, 32, 64, 128, 256], [0.2, 0.2, 0.3, 0.3]
    stages = [
        nn.Sequential(conv_norm(a, b), conv_norm(b, b), nn.MaxPool2d(2), nn.Dropout(rate))
        for (a, b), rate in zip(pairwise(widths), rates, strict=True)
    ]
    hidden = [nn.Linear(256 * 3 * 3, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Dropout(0.5)]
    return [*stages, nn.Flatten(), *hidden, nn.Linear(256, n_classes)]


def inception(n_classes: int) -> list[nn.Module]:
    """A convolution and seven inception layers, the side halved before every other one. 1.19 million weights."""
    a = 64
    layers: list[nn.Module] = [conv_norm(1, a, bias=False)]
    for n in range(32, 225, 32):
        layers += [nn.MaxPool2d(2)] if n % 64 == 0 else []
        layers.append(Inception(a, n))
        a = 9 * n // 4
    return [*layers, *pooled(a, n_classes)]


def resnet(n_classes: int) -> list[nn.Module]:
    """A convolution and sixteen basic blocks of two. 5.33 million weights."""
    stages = residual_stages([32, 64, 128, 256], [3, 4, 6, 3])
    return [conv_norm(1, 32, bias=False), *stages, *pooled(256, n_classes)]


def pooled(a: int, n_classes: int) -> list[nn.Module]:
    """Global average of a maps, dropout, classes."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(a, n_classes)]


class Inception(nn.Module):
    """Four branches side by side, every convolution with batch norm and ReLU; 9/4 n maps out."""

    def __init__(self, a: int, n: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                conv_norm(a, 3 * n // 4, 1, bias=False),
                nn.Sequential(conv_norm(a, n // 2, 1, bias=False), conv_norm(n // 2, n, 3, bias=False)),
                nn.Sequential(conv_norm(a, n // 8, 1, bias=False), conv_norm(n // 8, n // 4, 5, bias=False)),
                nn.Sequential(nn.MaxPool2d(3, 1, 1), conv_norm(a, n // 4, 1, bias=False)),
            ]
        )

    def forward(self, maps: Tensor) -> Tensor:  # (N, a, H, W) -> (N, 9n/4, H, W)
        return torch.cat([branch(maps) for branch in self.branches], dim=1)


LAYERS = {"vgg": vgg, "inception": inception, "resnet": resnet}
