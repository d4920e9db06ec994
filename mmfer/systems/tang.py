"""System tang: a convolutional network with an L2-SVM in place of softmax (Tang, 2013), first of the FER2013 challenge.

After the author's competition code (ebigelow/deep-learning-faces, matlab/). He trains on 42x42 crops out of random
warps; here the faces come warped by the augmentation, and whole. Not his initial weights (normal, deviation 0.01,
0.001, last layer 0) but torch's are used: from his, 500 updates of SGD at his rate (of 50,000) or 150 of Adam, batches
of 32 rendered faces, learnt nothing, where 500 of Adam from torch's got 9 of 10 of those faces right.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mmfer.config import FACE_PX, Block
from mmfer.systems import register
from mmfer.systems.layers import Chain

COST = 2.0  # of the margins, against the weights
DECAY = 1e-4  # lambda of all weights but the last layer's
LAST_DECAY = {"l2svm": 0.02, "softmax": 0.002}


class TangParams(Block):
    """The defaults are the author's."""

    objective: Literal["l2svm", "softmax"] = Field("l2svm", description="softmax: the twin that he compares with")
    dropout: float = Field(0.2, ge=0, lt=1, description="of the hidden layer's output")


@register("tang", params=TangParams)
class Tang(Chain):
    """Three convolutions and a hidden layer without batch norm; the scores of one-vs-rest support vector machines.

    The image comes without its mean; he also scales it to norm 150, which for a standardised face is a fixed factor.
    Then each pixel is standardised by its own mean and variance over training faces: batch norm without weights, so in
    training the statistics are the batch's and later their running mean, where he takes all training faces at once.
    """

    def __init__(self, params: TangParams, n_classes: int, hog_length: int = 900) -> None:
        pixels = FACE_PX * FACE_PX
        # His variances get 0.01 squared added at norm 150; the norm of our faces is their side.
        each_pixel = nn.BatchNorm1d(pixels, eps=(0.01 * FACE_PX / 150) ** 2, affine=False)
        maps = [
            *(nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)),
            *(nn.Conv2d(32, 32, 4, padding=1), nn.ReLU(), nn.AvgPool2d(3, 2, ceil_mode=True)),
            *(nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.AvgPool2d(3, 2, ceil_mode=True)),
        ]
        vectors = [nn.Flatten(), nn.Linear(64 * 5 * 5, 3072), nn.ReLU(), nn.Dropout(params.dropout)]
        standard = [nn.Flatten(), each_pixel, nn.Unflatten(1, (1, FACE_PX, FACE_PX))]
        super().__init__([*standard, *maps, *vectors, nn.Linear(3072, n_classes)], n_classes)
        self.objective = params.objective
        self.weighted = [layer for layer in self.layers if isinstance(layer, nn.Conv2d | nn.Linear)]

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The author's objective for target probabilities (N, n_classes), a mean over the images.

        Squared hinge of each class, sign 1 for the true one and -1 else (between the two where labels are mixed), or
        cross entropy; plus lambda/2 of the squared weights, so that train.weight_decay is to be 0.
        """
        *others, last = [layer.weight.square().sum() for layer in self.weighted]
        decay = 0.5 * (DECAY * sum(others) + LAST_DECAY[self.objective] * last)
        if self.objective == "softmax":
            return cross_entropy(logits, targets) + decay
        margins = torch.relu(1 - (2 * targets - 1) * logits)
        return COST * margins.square().sum(dim=1).mean() + decay
