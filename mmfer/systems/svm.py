"""System svm: a support vector machine on the HOG or the pixels (paper, table 2; features and kernel not stated)."""

from typing import Literal

import numpy as np
from pydantic import Field

from mmfer.config import Block
from mmfer.systems import register
from mmfer.systems.estimators import EstimatorSystem


class SvmParams(Block):
    """Our reconstruction: RBF kernel, principal components first where there are many samples."""

    input: Literal["hog", "image"] = "hog"
    components: int | None = Field(128, ge=1, description="principal components kept; empty: all values as they are")
    c: float = Field(10.0, gt=0)
    copies: int = Field(1, ge=1, description="copies of each training face that it sees; the fit grows with the square")


@register("svm", params=SvmParams)
class Svm(EstimatorSystem):
    """Scores come from the one-vs-rest decision values."""

    def __init__(self, params: SvmParams, n_classes: int, hog_length: int = 900) -> None:
        from sklearn.decomposition import PCA
        from sklearn.pipeline import make_pipeline
        from sklearn.svm import SVC

        reduce = [PCA(params.components, random_state=0)] if params.components else []
        estimator = make_pipeline(*reduce, SVC(C=params.c, gamma="scale", cache_size=500))
        super().__init__(estimator, (params.input,), params.copies, n_classes)

    def values(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """The HOG as it is, (n, 900), or the pixels, (n, 2304)."""
        values = inputs[self.inputs[0]]
        return values.reshape(len(values), -1)
