"""What tests of training share: a linear network and its options, the block of a small one, an open data folder."""

import torch
from torch import nn

from mmfer.config import TrainParams
from mmfer.data.faceset import open_faceset

N, CLASSES, BATCH = 24, 3, 8
BLOCK = {"kind": "compact", "channels": [4], "blocks": 1, "landmarks_hidden": [8], "branches": ["landmarks"]}
SHORT = {"epochs": 1, "batch_size": 16, "device": "cpu", "precision": "float32"}


class Line(nn.Module):
    """A linear classifier of landmarks; it notes whether it was in training mode each time that it was called."""

    inputs, n_classes = ("landmarks",), CLASSES

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.line, self.modes = nn.Linear(136, CLASSES), []

    def forward(self, landmarks):
        self.modes.append(self.training)
        return self.line(landmarks)


def train_params(**changes):
    return TrainParams(**{"epochs": 3, "batch_size": BATCH, "device": "cpu", "precision": "float32"} | changes)


def of(folder):
    return open_faceset(folder / "features", needs=("landmarks", "hog", "visible"))
