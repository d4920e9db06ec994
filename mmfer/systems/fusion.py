"""Branches of the three modalities, and how they are fused (paper, 1.2, 3.1 and 3.2): shared by ours and compact."""

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mmfer.config import Block, Width, each_once
from mmfer.systems.layers import Network

Modality = Literal["image", "landmarks", "hog"]


class BranchParams(Block):
    """What the parameters of systems with these branches have in common; each has widths of its own."""

    branches: Annotated[list[Modality], each_once] = Field(["image", "landmarks", "hog"], min_length=1)
    landmarks_hidden: list[Width] = Field(min_length=1)
    hog_hidden: list[Width] = Field(min_length=1)
    dropout: float = Field(ge=0, lt=1)


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
    build: dict[str, Callable[[], tuple[nn.Module, nn.Module]]] = {
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


class Fusion(Network):
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
        withhold: Mapping[Modality, float] | None = None,
        level: str = "feature",
    ) -> None:
        super().__init__()
        self.withhold: dict[str, float] = {name: share for name, share in (withhold or {}).items()}
        self.n_classes = n_classes
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


class ModalityFusion(Fusion):
    """The branches that params name, in that order: `image` makes that of the image; the others are stacks."""

    def __init__(
        self,
        params: BranchParams,
        image: Callable[[], nn.Module],
        image_width: int,
        n_classes: int,
        hog_length: int,
        withhold: Mapping[Modality, float] | None = None,
        level: str = "feature",
    ) -> None:
        landmarks, hog = params.landmarks_hidden, params.hog_hidden
        build: dict[str, Callable[[], nn.Module]] = {
            "image": image,
            "landmarks": lambda: stack([136, *landmarks], params.dropout),
            "hog": lambda: stack([hog_length, *hog], params.dropout),
        }
        widths = {"image": image_width, "landmarks": landmarks[-1], "hog": hog[-1]}
        branches: dict[str, nn.Module] = {name: build[name]() for name in params.branches}
        super().__init__(branches, [widths[name] for name in branches], n_classes, withhold, level)
