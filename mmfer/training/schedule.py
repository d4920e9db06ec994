"""The learning rate over a training."""

import math


def learning_rate(first: float, schedule: str, progress: float, warmup: float = 0.0) -> float:
    """The rate after a share `progress` (0 to 1) of the training's samples.

    It rises from zero to `first` over the share `warmup` (Goyal et al., 2017, gradual warm-up). Over the others it is
    constant: always `first`; linear: a line down to zero; cosine: half a wave down to zero (Loshchilov and Hutter,
    2017, without restarts). The paper names none.
    """
    if progress < warmup:
        return first * progress / warmup
    if schedule == "constant":
        return first
    after = min((progress - warmup) / (1 - warmup), 1.0)
    return first * (1 - after if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * after)))
