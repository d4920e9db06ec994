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


def test_linear_is_that_of_torch_and_ends_at_nothing():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=10)
    for step in range(11):
        assert learning_rate(0.3, "linear", step / 10) == pytest.approx(schedule.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        schedule.step()
    assert learning_rate(0.3, "linear", 1.2) == pytest.approx(0)


@pytest.mark.parametrize(("schedule", "middle"), [("constant", 0.3), ("linear", 0.15), ("cosine", 0.15)])
def test_a_warm_up_rises_to_the_first_rate_and_leaves_the_rest_to_the_schedule(schedule, middle):
    rates = [learning_rate(0.3, schedule, progress, 0.2) for progress in (0, 0.05, 0.1, 0.2, 0.6)]
    assert rates == pytest.approx([0, 0.075, 0.15, 0.3, middle])


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_without_a_warm_up_the_first_step_has_the_first_rate(schedule):
    assert learning_rate(0.3, schedule, 0.0) == 0.3


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_constant_stays(progress):
    assert learning_rate(0.3, "constant", progress) == 0.3
