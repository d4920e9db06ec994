"""What a batch is trained towards: smoothed labels, and samples mixed in pairs (mixup: Zhang et al., 2018)."""

import numpy as np
import torch
from torch import Tensor, nn


def smooth_targets(labels: Tensor, n_classes: int, smoothing: float) -> Tensor:
    """Labels (n,) int64 -> target probabilities (n, C): the share `smoothing` is spread over all classes alike."""
    targets = nn.functional.one_hot(labels, n_classes).float()
    return targets * (1 - smoothing) + smoothing / n_classes


def mix(
    inputs: dict[str, Tensor], targets: Tensor, alpha: float, rng: np.random.Generator
) -> tuple[dict[str, Tensor], Tensor]:
    """Each sample mixed with another of its batch: inputs and targets (n, C) in one proportion from Beta(alpha, alpha).

    The larger share is the sample's own. Alpha 0 mixes nothing.
    """
    if alpha == 0:
        return inputs, targets
    share = float(rng.beta(alpha, alpha))
    share = max(share, 1 - share)
    other = torch.from_numpy(rng.permutation(len(targets))).to(targets.device)
    return {k: v.lerp(v[other], 1 - share) for k, v in inputs.items()}, targets.lerp(targets[other], 1 - share)
