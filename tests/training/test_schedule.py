"""The learning rate: constant, or the cosine of torch."""

import pytest
import torch

from mmfer.training.schedule import learning_rate


def test_cosine_is_that_of_torch():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    for step in range(11):
        assert learning_rate(0.3, "cosine", step / 10) == pytest.approx(schedule.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        schedule.step()
    assert learning_rate(0.3, "cosine", 1.2) == pytest.approx(0)


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_constant_stays(progress):
    assert learning_rate(0.3, "constant", progress) == 0.3
