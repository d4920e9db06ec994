"""System svm: a support vector machine on the HOG or the pixels (paper, table 2; features and kernel not stated)."""

from typing import Literal

import numpy as np
from pydantic import Field
from scipy.special import softmax

from mmfer.config import Block
from mmfer.systems import register


class SvmParams(Block):
    """Our reconstruction: RBF kernel, principal components first where there are many samples."""

    input: Literal["hog", "image"] = "hog"
    components: int | None = Field(128, ge=1, description="principal components kept; null: all values as they are")
    c: float = Field(10.0, gt=0)
    copies: int = Field(1, ge=1, description="copies of each training face that it sees; the fit grows with the square")


@register("svm", params=SvmParams)
class Svm:
    """Scores are the softmax of the one-vs-rest decision values: good for ROC curves, not calibrated."""

    def __init__(self, params: SvmParams, n_classes: int, hog_length: int = 900) -> None:
        from sklearn.decomposition import PCA
        from sklearn.pipeline import make_pipeline
        from sklearn.svm import SVC

        self.inputs = (params.input,)
        self.copies = params.copies
        reduce = [PCA(params.components, random_state=0)] if params.components else []
        self.estimator = make_pipeline(*reduce, SVC(C=params.c, gamma="scale", cache_size=500))
        self.n_classes = n_classes

    def fit(self, inputs: dict[str, np.ndarray], labels: np.ndarray) -> None:
        """Fit on inputs as mmfer.inputs prepares them."""
        self.estimator.fit(self._flat(inputs), labels)

    def predict_proba(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Scores (n, C) that sum to one; a class absent from training gets none."""
        values = self.estimator.decision_function(self._flat(inputs))
        if values.ndim == 1:  # two classes
            values = np.stack([-values, values], axis=1)
        scores = np.zeros((len(values), self.n_classes), np.float32)
        scores[:, self.estimator.classes_] = softmax(values, axis=1)
        return scores

    def _flat(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        values = inputs[self.inputs[0]]
        return values.reshape(len(values), -1)
