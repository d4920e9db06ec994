"""Layers that several systems share: CBAM, residual blocks, convolution with norm, histogram equalisation."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from mmfer.face.prepare import standard_image
from mmfer.systems.convolution import Conv2d


class ChannelGate(nn.Module):
    """CBAM's channel attention (paper, eq. 8): one MLP over average and maximum of each map, summed, sigmoid."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))

    def forward(self, maps: Tensor) -> Tensor:  # (N, C, H, W) -> (N, C, H, W)
        # Not amax, which shares a gradient among equal maxima and takes longer, nor adaptive_max_pool2d: compiled for a
        # CPU in bfloat16, it has gradients that are not numbers (PyTorch 2.13).
        highest = nn.functional.max_pool2d(maps, maps.shape[2:]).flatten(1)
        gate = self.mlp(maps.mean(dim=(2, 3))) + self.mlp(highest)
        return maps * torch.sigmoid(gate)[:, :, None, None]


class SpatialGate(nn.Module):
    """CBAM's spatial attention (paper, eq. 9): 7x7 convolution over maximum and mean of the channels, norm, sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, maps: Tensor) -> Tensor:  # (N, C, H, W) -> (N, C, H, W)
        last = maps.permute(0, 2, 3, 1)  # so that gradients, too, lie channels last: sums of two layouts take long
        views = torch.stack([last.max(dim=3).values, last.mean(dim=3)], dim=1)
        return maps * torch.sigmoid(self.norm(self.conv(views)))


def attention(kind: str, channels: int, reduction: int) -> nn.Module:
    """CBAM (Woo et al., 2018, as in Jongchan/attention-module): channel gate, then spatial gate; or one, or neither."""
    gates: dict[str, Callable[[], nn.Module]] = {
        "cbam": lambda: nn.Sequential(ChannelGate(channels, reduction), SpatialGate()),
        "channel": lambda: ChannelGate(channels, reduction),
        "spatial": SpatialGate,
        "none": nn.Identity,
    }
    return gates[kind]()


class Network(nn.Module):
    """What training asks of a system that is a torch module."""

    inputs: tuple[str, ...]  # of image, landmarks, hog, visible
    n_classes: int


class Chain(Network):
    """A system that reads one input through layers in a row, the last of which makes the logits."""

    inputs = ("image",)

    def __init__(self, layers: list[nn.Module], n_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.n_classes = n_classes

    def forward(self, **inputs: Tensor) -> Tensor:  # image (N, 1, 48, 48), or what else it reads -> logits (N, C)
        return self.layers(inputs[self.inputs[0]])


class Equalise(nn.Module):
    """Histogram equalisation of each face, then zero mean and unit deviation again.

    A standardised face has the order and the ties of the grey levels it was made of, and equalisation looks at nothing
    else: the result is that of cv2.equalizeHist on the picture itself.
    """

    def forward(self, image: Tensor) -> Tensor:  # (N, 1, H, W) -> (N, 1, H, W)
        pixels = image.flatten(1)
        ordered = pixels.sort(dim=1).values
        up_to = torch.searchsorted(ordered, pixels, right=True)  # how many pixels are no lighter than this one
        darkest = (ordered == ordered[:, :1]).sum(dim=1, keepdim=True)  # their level becomes 0, as in OpenCV
        scale = 255 / (pixels.shape[1] - darkest).clamp(min=1)  # an even picture stays zero
        return standard_image(((up_to - darkest) * scale).round().view_as(image)[:, 0])


def conv_norm(a: int, b: int, kernel: int = 3, bias: bool = True) -> nn.Sequential:
    """Convolution that keeps the side, batch norm, ReLU: a maps in, b maps out."""
    return nn.Sequential(Conv2d(a, b, kernel, padding=kernel // 2, bias=bias), nn.BatchNorm2d(b), nn.ReLU())


class SqueezeExcite(nn.Sequential):
    """Channels weighted by what their means say (Hu et al., 2018): two linear layers and a sigmoid."""

    def __init__(self, channels: int, reduction: int) -> None:
        hidden = max(channels // reduction, 1)
        super().__init__(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid())

    def forward(self, maps: Tensor) -> Tensor:  # (N, C, H, W) -> (N, C, H, W)
        return maps * super().forward(maps.mean(dim=(2, 3)))[:, :, None, None]


class BasicBlock(nn.Module):
    """ResNet's block of two 3x3 convolutions (He et al., 2016); where the shape changes, the shortcut is a 1x1 one.

    With `squeeze`, squeeze-and-excitation of that reduction stands before the sum.
    """

    def __init__(self, a: int, b: int, stride: int, squeeze: int | None = None) -> None:
        super().__init__()
        self.body = nn.Sequential(
            Conv2d(a, b, 3, stride, 1, bias=False),
            nn.BatchNorm2d(b),
            nn.ReLU(),
            Conv2d(b, b, 3, 1, 1, bias=False),
            nn.BatchNorm2d(b),
        )
        self.gate = SqueezeExcite(b, squeeze) if squeeze else nn.Identity()
        plain = a == b and stride == 1
        self.shortcut = (
            nn.Identity() if plain else nn.Sequential(Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b))
        )

    def forward(self, maps: Tensor) -> Tensor:  # (N, a, H, W) -> (N, b, H / stride, W / stride)
        return torch.relu(self.gate(self.body(maps)) + self.shortcut(maps))


def residual_stages(
    widths: list[int], blocks: list[int], squeeze: int | None = None, plain: int = 0
) -> list[nn.Sequential]:
    """Stages of basic blocks on widths[0] maps; each but the first one halves the side, the first `plain` ones do not
    squeeze."""
    stages = []
    for i, ((a, b), count) in enumerate(zip(pairwise([widths[0], *widths]), blocks, strict=True)):
        reduction = None if i < plain else squeeze
        first = BasicBlock(a, b, 2 if i else 1, reduction)
        stages.append(nn.Sequential(first, *(BasicBlock(b, b, 1, reduction) for _ in range(count - 1))))
    return stages
