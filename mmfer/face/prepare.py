"""From the stored arrays to what a system reads, in torch, on whatever device they lie: one place for training and use.

image       (n, 48, 48) uint8     -> (n, 1, 48, 48) float32, zero mean and unit deviation for each face
landmarks   (n, 68, 2) pixels     -> (n, 136) float32, centred on their mean, divided by their RMS radius
hog         (n, 900) float16      -> (n, 900) float32
"""

from __future__ import annotations  # torch is imported by those who have tensors: using an ONNX graph needs none

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def standard_image(images: Tensor) -> Tensor:
    """Grey levels to zero mean, unit deviation for each face, so that light and contrast of the picture drop out."""
    grey = images.float()
    mean, deviation = grey.mean(dim=(1, 2), keepdim=True), grey.std(dim=(1, 2), keepdim=True, correction=0)
    return ((grey - mean) / deviation.clamp(min=1.0))[:, None]  # an even picture stays zero


def landmark_vector(landmarks: Tensor) -> Tensor:
    """Landmarks (N, 68, 2) -> (N, 136): position and size of the face drop out, its turn stays.

    The RMS radius and not the distance of the eyes: that one goes to zero as the head turns.
    """
    centred = landmarks.float() - landmarks.float().mean(dim=1, keepdim=True)
    radius = centred.square().sum(dim=2).mean(dim=1).sqrt().clamp(min=1e-6)
    return (centred / radius[:, None, None]).flatten(1)


_PREPARE: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "image": ("images", standard_image),
    "landmarks": ("landmarks", landmark_vector),
    "hog": ("hog", lambda values: values.float()),
}


def stored_names(inputs: tuple[str, ...]) -> list[str]:
    """The stored arrays that hold these inputs: image -> images."""
    return [_PREPARE[name][0] for name in inputs]


def prepare(stored: dict[str, Tensor], inputs: tuple[str, ...]) -> dict[str, Tensor]:
    """Rows of stored arrays, by their names, -> the inputs, by theirs."""
    return {name: _PREPARE[name][1](stored[_PREPARE[name][0]]) for name in inputs}
