"""Averaged weights: an exponential moving average with a warm-up, batch norm statistics too."""

import copy

import pytest
import torch
from torch import nn

from mmfer.training.ema import update_average


@pytest.mark.parametrize(("decay", "step", "expected"), [(0.5, 100, 0.5), (0.999, 0, 0.1), (0.999, 10, 0.55)])
def test_the_average_moves_by_the_decay_or_less_at_the_start(decay, step, expected):
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = copy.deepcopy(network)
    for value in network.state_dict().values():
        value.add_(1)
    before = copy.deepcopy(average.state_dict())
    update_average(average, network, decay, step)
    for name, value in average.state_dict().items():
        moved = 1 - expected if value.is_floating_point() else 0
        torch.testing.assert_close(value, before[name] + moved if moved else before[name])
