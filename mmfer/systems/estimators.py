"""What the systems that are scikit-learn estimators share: one fit, and scores from decision values."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from scipy.special import softmax


class EstimatorSystem(ABC):
    """A system around `estimator`, which is all that a model folder stores of it; a subclass says what that reads.

    `copies` is the number of augmented copies of each training face that it sees.
    """

    def __init__(self, estimator: Any, inputs: tuple[str, ...], copies: int, n_classes: int) -> None:
        self.estimator, self.inputs, self.copies, self.n_classes = estimator, inputs, copies, n_classes

    @abstractmethod
    def values(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Inputs as mmfer.face.prepare prepares them -> what the estimator reads, one face a row."""

    def fit(self, inputs: dict[str, np.ndarray], labels: np.ndarray) -> None:
        """Fit on inputs as mmfer.face.prepare prepares them."""
        self.estimator.fit(self.values(inputs), labels)

    def predict_proba(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Scores (n, C) that sum to one, the softmax of the decision values; a class absent from training gets none.

        They are good for ROC curves; those of a support vector machine are not calibrated.
        """
        values = self.estimator.decision_function(self.values(inputs))
        if values.ndim == 1:  # two classes
            values = np.stack([-values, values], axis=1)
        scores = np.zeros((len(values), self.n_classes), np.float32)
        scores[:, self.estimator.classes_] = softmax(values, axis=1)
        return scores
