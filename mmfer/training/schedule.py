"""The learning rate over a training."""

import math


def learning_rate(first: float, schedule: str, progress: float) -> float:
    """The rate after a share `progress` (0 to 1) of the training's samples.

    constant: always `first`; cosine: half a wave from `first` down to zero (Loshchilov and Hutter, 2017, without
    restarts). The paper names neither.
    """
    if schedule == "constant":
        return first
    return first * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
