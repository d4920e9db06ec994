"""Weights averaged over the steps of a training (exponential moving average), which often do better than the last."""

from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


def update_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move averaged weights and batch norm statistics towards the present ones; `step` counts from 0.

    The decay is at most (1 + step) / (10 + step), so that the random start is soon forgotten. torch's AveragedModel has
    no such warm-up and waits for the device at every step to read how many it has averaged; the update is torch's.
    """
    pairs = zip(average.state_dict().values(), network.state_dict().values(), strict=True)
    averaged, present = zip(*[(old, new) for old, new in pairs if old.is_floating_point()], strict=True)
    get_ema_multi_avg_fn(min(decay, (1 + step) / (10 + step)))(averaged, present, step)
