"""Convolutions of small maps in bfloat16 against PyTorch's own in float64, and where they are used."""

import pytest
import torch
from torch import nn

from mmfer.systems import convolution
from mmfer.systems.convolution import Conv2d

SHAPES = [  # maps in and out, side, kernel, stride, padding, whether there is a bias
    (8, 16, 6, 3, 1, 1, True),
    (8, 16, 12, 3, 2, 1, False),
    (8, 16, 6, 1, 2, 0, False),
    (8, 16, 3, 3, 1, 1, True),
    (8, 8, 3, 3, 2, 1, True),
    (8, 8, 3, 3, 1, 0, False),
]


@pytest.fixture(autouse=True)
def amx(monkeypatch):
    """A processor with AMX."""
    monkeypatch.setattr(convolution, "AMX", True)


def passed(layer, maps, autocast=True):
    """Values of a layer, then the gradients of their weighted sum, of the maps and of the parameters."""
    maps = maps.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        values = layer(maps)
    shares = torch.linspace(-1, 1, values.numel(), dtype=maps.dtype).view(values.shape)
    (values.to(maps.dtype) * shares).sum().backward()
    return values, [values.detach(), maps.grad, *(p.grad for p in layer.parameters())]


@pytest.mark.parametrize(("a", "b", "side", "kernel", "stride", "padding", "bias"), SHAPES)
def test_values_and_gradients_are_those_of_pytorch(a, b, side, kernel, stride, padding, bias):
    torch.manual_seed(0)
    layer = Conv2d(a, b, kernel, stride, padding, bias=bias).to(memory_format=torch.channels_last)
    exact = nn.Conv2d(a, b, kernel, stride, padding, bias=bias).double()
    exact.load_state_dict(layer.state_dict())
    maps = torch.randn(5, a, side, side)
    values, found = passed(layer, maps)
    assert "Windowed" in type(values.grad_fn).__name__
    assert values.is_contiguous(memory_format=torch.channels_last)
    _, wanted = passed(exact, maps.double(), autocast=False)
    for mine, true in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine.double(), true, rtol=0, atol=0.01 * float(true.abs().max()))


@pytest.mark.parametrize(("side", "autocast"), [(7, True), (6, False)])
def test_larger_maps_and_float32_go_to_pytorch(side, autocast):
    values, _ = passed(Conv2d(4, 4, 3, 1, 1), torch.randn(2, 4, side, side), autocast)
    assert "Windowed" not in type(values.grad_fn).__name__


def test_processors_without_amx_take_pytorchs(monkeypatch):
    monkeypatch.setattr(convolution, "AMX", False)
    values, _ = passed(Conv2d(4, 4, 3, 1, 1), torch.randn(2, 4, 3, 3))
    assert "Windowed" not in type(values.grad_fn).__name__


def test_without_gradients_the_layer_is_pytorchs_own():
    layer, maps = Conv2d(4, 4, 3, 1, 1), torch.randn(2, 4, 3, 3)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(maps), nn.Conv2d.forward(layer, maps))
