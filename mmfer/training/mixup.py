"""What a batch is trained towards: smoothed labels or votes, and samples mixed in pairs (mixup: Zhang et al., 2018)."""

import numpy as np
import torch
from torch import Tensor, nn


def smooth_targets(labels: Tensor, n_classes: int, smoothing: float) -> Tensor:
    """Labels (n,) int64, or shares of votes (n, C), -> target probabilities (n, C).

    The share `smoothing` is spread over all classes alike.
    """
    targets = labels if labels.dim() == 2 else nn.functional.one_hot(labels, n_classes).float()
    return targets * (1 - smoothing) + smoothing / n_classes


def draw_mixes(
    rng: np.random.Generator, alpha: float, steps: int, size: int, by: str = "batch"
) -> tuple[Tensor, Tensor]:
    """For each of `steps` batches of `size` samples: the partner of each sample, (steps, size) int64, and its share.

    The share, float32, (steps,) or `by` sample (steps, size), is from Beta(alpha, alpha), at most a half: the larger
    part is the sample's own.
    """
    each = size if by == "sample" else None
    partners, shares = np.empty((steps, size), np.int64), np.empty((steps, size) if each else steps, np.float32)
    for step in range(steps):
        share = rng.beta(alpha, alpha, each)
        partners[step], shares[step] = rng.permutation(size), np.minimum(share, 1 - share)
    return torch.from_numpy(partners), torch.from_numpy(shares)


def mix(inputs: dict[str, Tensor], targets: Tensor, partner: Tensor, share: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Each sample mixed with its partner: inputs and targets (n, C) in one proportion, `share` () or (n,)."""

    def mixed(values: Tensor) -> Tensor:
        return values.lerp(values[partner], share.view(-1, *[1] * (values.dim() - 1)) if share.dim() else share)

    return {name: mixed(values) for name, values in inputs.items()}, mixed(targets)
