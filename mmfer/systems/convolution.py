"""nn.Conv2d that trains faster on the small maps of a face network where a CPU has Intel's matrix units (AMX).

oneDNN reaches 30 to 90 GFLOP/s in the gradient of the weights on maps of 6x6 and 3x3, and 130 forward on 3x3, where
one product of a matrix of all windows reaches hundreds (benchmarks/convolution.py).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear, pad

from mmfer.training.device import processor

SMALL = 6  # side of the results up to which the windows are worth copying
AMX = "amx_bf16" in processor()[1]
TINY = 3  # side of the maps up to which that is so of the values, and of the gradient of the maps, too


class Conv2d(nn.Conv2d):
    """As nn.Conv2d, for kernels and strides that are square, without dilation or groups: same weights, same results."""

    def forward(self, maps: Tensor) -> Tensor:  # (N, C, H, H) -> (N, D, O, O)
        stride, padding = self.stride[0], int(self.padding[0])
        by_windows = (
            maps.device.type == "cpu"
            and torch.is_grad_enabled()
            and torch.is_autocast_enabled("cpu")
            and AMX
            and maps.shape[2] <= SMALL * stride
        )
        if not by_windows:
            return super().forward(maps)
        return _Windowed.apply(maps, self.weight, self.bias, stride, padding)


class _Windowed(torch.autograd.Function):
    """Convolution whose weights get their gradient from one matrix product, in bfloat16."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(maps, weight)
        ctx.places = stride, padding
        return (conv2d if maps.shape[2] > TINY else _product)(maps, weight, bias, stride, padding)

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        maps, weight = ctx.saved_tensors
        (stride, padding), (outputs, inputs, kernel, _) = ctx.places, weight.shape
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        if maps.shape[2] <= TINY and stride == 1:  # a convolution with the kernel turned
            turned = weight.flip(2, 3).transpose(0, 1)
            of_maps = _product(gradient, turned, None, 1, kernel - 1 - padding)
        else:
            of_maps = torch.nn.grad.conv2d_input(maps.shape, weight, gradient, stride, padding)
        rows = gradient.permute(0, 2, 3, 1).reshape(-1, outputs)
        of_weight = rows.t() @ _windows(maps, kernel, stride, padding)
        of_bias = rows.sum(dim=0) if ctx.needs_input_grad[2] else None
        return of_maps, of_weight.view(outputs, kernel, kernel, inputs).permute(0, 3, 1, 2), of_bias, None, None


def _product(maps: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """A convolution as one product: (N, C, H, H), (D, C, K, K) -> (N, D, O, O), channels last."""
    kernel = weight.shape[2]
    side = (maps.shape[2] + 2 * padding - kernel) // stride + 1
    values = linear(_windows(maps, kernel, stride, padding), weight.permute(0, 2, 3, 1).flatten(1), bias)
    return values.view(len(maps), side, side, -1).permute(0, 3, 1, 2)


def _windows(maps: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """(N, C, H, H) -> what the kernel sees at each place (N O O, K K C)."""
    last = pad(maps, (padding,) * 4).permute(0, 2, 3, 1)
    seen = last.unfold(1, kernel, stride).unfold(2, kernel, stride)  # (N, O, O, C, K, K)
    return seen.permute(0, 1, 2, 4, 5, 3).flatten(3).flatten(0, 2)
