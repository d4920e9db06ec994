"""System shan: the recognition module of Shan et al. (2017), a small convolutional network.

Our reconstruction: the layers are ours, for none were found. Of their pre-processing, Haar detection and cropping are
not done here, since the pipeline's faces come found and aligned; histogram equalisation is.
"""

from pydantic import Field
from torch import nn

from mmfer.config import Block
from mmfer.systems import register
from mmfer.systems.layers import Chain, Equalise


class ShanParams(Block):
    """What is left to choose."""

    dropout: float = Field(0.5, ge=0, lt=1, description="after the hidden layer")


@register("shan", params=ShanParams)
class Shan(Chain):
    """Equalisation, two 5x5 convolutions with 2x2 max pooling, a hidden layer of 256."""

    def __init__(self, params: ShanParams, n_classes: int, hog_length: int = 900) -> None:
        maps = [
            nn.Sequential(nn.Conv2d(a, b, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)) for a, b in [(1, 32), (32, 64)]
        ]
        hidden = [nn.Linear(64 * 12 * 12, 256), nn.ReLU(), nn.Dropout(params.dropout)]
        super().__init__([Equalise(), *maps, nn.Flatten(), *hidden, nn.Linear(256, n_classes)], n_classes)
