"""Layers that several systems share: the paper's fully connected stack, its fusion of branches, and CBAM."""

import math
from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType

import torch
from torch import Tensor, nn

from mmfer.face.prepare import standard_image


def stack(sizes: list[int], dropout: float) -> nn.Sequential:
    """Linear, batch norm, ReLU for each pair of sizes (paper, 3.2: the norm comes first); one dropout at the end."""
    blocks = [nn.Sequential(nn.Linear(a, b, bias=False), nn.BatchNorm1d(b), nn.ReLU()) for a, b in pairwise(sizes)]
    return nn.Sequential(*blocks, nn.Dropout(dropout))


def fusion(level: str, widths: list[int], n_classes: int) -> tuple[nn.Module, nn.Module]:
    """What comes after the concatenated branch vectors: the fusion itself, then the head that ends in classes.

    feature      one fully connected layer of the same width, then one of classes (paper, 3.1)
    class_fc     scores of the classes for each branch; the scores together are classified again (paper, 1.2)
    class_mean   scores of the classes for each branch; the mean of their probabilities
    """
    wide = sum(widths)
    build = {
        "feature": lambda: (stack([wide, wide], dropout=0.0), nn.Linear(wide, n_classes)),
        "class_fc": lambda: (BranchScores(widths, n_classes), nn.Linear(len(widths) * n_classes, n_classes)),
        "class_mean": lambda: (BranchScores(widths, n_classes), MeanProbability(n_classes)),
    }
    return build[level]()


class BranchScores(nn.Module):
    """Each branch's own linear layer of classes, over its part of the concatenated vectors."""

    def __init__(self, widths: list[int], n_classes: int) -> None:
        super().__init__()
        self.widths = widths
        self.heads = nn.ModuleList(nn.Linear(width, n_classes) for width in widths)

    def forward(self, vectors: Tensor) -> Tensor:  # (N, sum of widths) -> (N, branches * C)
        parts = vectors.split(self.widths, dim=1)
        return torch.cat([head(part) for head, part in zip(self.heads, parts, strict=True)], dim=1)


class MeanProbability(nn.Module):
    """Logarithm of the mean of the branches' probabilities, which serves as logits: its softmax is that mean."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.n_classes = n_classes

    def forward(self, scores: Tensor) -> Tensor:  # (N, branches * C) -> (N, C)
        by_branch = scores.unflatten(1, (-1, self.n_classes)).log_softmax(dim=2)
        return by_branch.logsumexp(dim=1) - math.log(by_branch.shape[1])


class Fusion(nn.Module):
    """Each branch makes a vector of its input; they are concatenated and fused, at feature level in the paper's network
    (1.2 and 3.1); `level` is one of those of the function `fusion`.

    Equation 6 averages all features to one number, yet calls the result a vector of 384. Global average pooling of a
    branch that ends in a vector is the identity, so the vectors are concatenated as they are.

    `withhold` maps branches to the share of training samples from which their vector is withheld (set to zero, the
    others scaled up, as dropout does), so that a branch that overfits early cannot keep the others from learning.
    """

    def __init__(
        self,
        branches: dict[str, nn.Module],
        widths: list[int],
        n_classes: int,
        withhold: Mapping[str, float] = MappingProxyType({}),
        level: str = "feature",
    ) -> None:
        super().__init__()
        self.withhold, self.n_classes = withhold, n_classes
        self.inputs = tuple(branches)
        self.branches = nn.ModuleDict(branches)
        self.fusion, self.head = fusion(level, widths, n_classes)

    def forward(self, **inputs: Tensor) -> Tensor:  # image (N,1,48,48), landmarks (N,136), hog (N,900) -> logits (N,C)
        features = [self.gate(name, branch(inputs[name])) for name, branch in self.branches.items()]
        return self.head(self.fusion(torch.cat(features, dim=1)))

    def gate(self, name: str, vector: Tensor) -> Tensor:  # (N, W) -> (N, W), some rows zero
        """Withhold the vector of one branch from some samples."""
        share = self.withhold.get(name, 0.0)
        return vector * nn.functional.dropout(vector.new_ones(vector.shape[0], 1), share, self.training)


class ChannelGate(nn.Module):
    """CBAM's channel attention (paper, eq. 8): one MLP over average and maximum of each map, summed, sigmoid."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))

    def forward(self, maps: Tensor) -> Tensor:  # (N, C, H, W) -> (N, C, H, W)
        gate = self.mlp(maps.mean(dim=(2, 3))) + self.mlp(maps.amax(dim=(2, 3)))
        return maps * torch.sigmoid(gate)[:, :, None, None]


class SpatialGate(nn.Module):
    """CBAM's spatial attention (paper, eq. 9): 7x7 convolution over maximum and mean of the channels, norm, sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, maps: Tensor) -> Tensor:  # (N, C, H, W) -> (N, C, H, W)
        views = torch.cat([maps.amax(dim=1, keepdim=True), maps.mean(dim=1, keepdim=True)], dim=1)
        return maps * torch.sigmoid(self.norm(self.conv(views)))


def attention(kind: str, channels: int, reduction: int) -> nn.Module:
    """CBAM (Woo et al., 2018): channel gate, then spatial gate; or one of the two, or neither."""
    gates = {
        "cbam": lambda: nn.Sequential(ChannelGate(channels, reduction), SpatialGate()),
        "channel": lambda: ChannelGate(channels, reduction),
        "spatial": SpatialGate,
        "none": nn.Identity,
    }
    return gates[kind]()


class Chain(nn.Module):
    """A system that reads one input through layers in a row, the last of which makes the logits."""

    inputs: tuple[str] = ("image",)

    def __init__(self, layers: list[nn.Module], n_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.n_classes = n_classes

    def forward(
        self, **inputs: Tensor
    ) -> Tensor:  # image (N, 1, 48, 48), or whatever it reads -> logits (N, n_classes)
        return self.layers(inputs[self.inputs[0]])


class Equalise(nn.Module):
    """Histogram equalisation of each face, then zero mean and unit deviation again.

    A standardised face has the order and the ties of the grey levels it was made of, and equalisation looks at nothing
    else: the result is that of cv2.equalizeHist on the picture itself.
    """

    def forward(self, image: Tensor) -> Tensor:  # (N, 1, H, W) -> (N, 1, H, W)
        pixels = image.flatten(1)
        ordered = pixels.sort(dim=1).values
        up_to = torch.searchsorted(ordered, pixels, right=True)  # how many pixels are no lighter than this one
        darkest = (ordered == ordered[:, :1]).sum(dim=1, keepdim=True)  # their level becomes 0, as in OpenCV
        scale = 255 / (pixels.shape[1] - darkest).clamp(min=1)  # an even picture stays zero
        return standard_image(((up_to - darkest) * scale).round().view_as(image)[:, 0])


def conv_norm(a: int, b: int, kernel: int = 3, bias: bool = True) -> nn.Sequential:
    """Convolution that keeps the side, batch norm, ReLU: a maps in, b maps out."""
    return nn.Sequential(nn.Conv2d(a, b, kernel, padding=kernel // 2, bias=bias), nn.BatchNorm2d(b), nn.ReLU())


class BasicBlock(nn.Module):
    """ResNet's block of two 3x3 convolutions (He et al., 2016); where the shape changes, the shortcut is a 1x1 one."""

    def __init__(self, a: int, b: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(a, b, 3, stride, 1, bias=False),
            nn.BatchNorm2d(b),
            nn.ReLU(),
            nn.Conv2d(b, b, 3, 1, 1, bias=False),
            nn.BatchNorm2d(b),
        )
        plain = a == b and stride == 1
        self.shortcut = (
            nn.Identity() if plain else nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b))
        )

    def forward(self, maps: Tensor) -> Tensor:  # (N, a, H, W) -> (N, b, H / stride, W / stride)
        return torch.relu(self.body(maps) + self.shortcut(maps))


def residual_stages(widths: list[int], blocks: list[int]) -> list[nn.Sequential]:
    """Stages of basic blocks on widths[0] maps; each but the first one halves the side."""
    stages = []
    for i, ((a, b), count) in enumerate(zip(pairwise([widths[0], *widths]), blocks, strict=True)):
        first = BasicBlock(a, b, stride=2 if i else 1)
        stages.append(nn.Sequential(first, *(BasicBlock(b, b, 1) for _ in range(count - 1))))
    return stages
