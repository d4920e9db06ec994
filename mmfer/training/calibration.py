"""How far an answer can be taken at its word.

Temperature scaling and the reliability diagram (Guo et al., 2017), with a temperature that depends on the entropy of an
answer (after Balanya, Maroñas and Ramos, 2022) and is fitted to how often answers are right, too; sets of classes that
hold the true one as often as was promised (split conformal prediction with the least ambiguous sets of Sadinle, Lei and
Wasserman, 2019).
"""

import math
from typing import Any

import numpy as np

TERMS = ("temperature", "temperature_rise", "temperature_bend")
COVERAGE = 0.9  # how often the true class is to be among those of a set


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Probabilities (N, C) of faces outside training, labels (N,) -> the terms of `tempered` of least cross entropy.

    temperature       of an answer that is sure; more than 1: the model is too sure of itself
    temperature_rise  of its logarithm for each nat of an answer's entropy
    temperature_bend  of that logarithm for the square of the entropy

    It is the cross entropy of the classes and that of whether the most probable one is right, which is what people
    read off an answer: the former alone leaves it to the lesser classes how sure the first one is.
    """
    from scipy.optimize import minimize

    probabilities = probabilities.astype(np.float64)  # steps of float32 stop the search short of the least
    right, rows = probabilities.argmax(axis=1) == labels, np.arange(len(labels))

    def cross_entropy(terms: np.ndarray) -> float:
        values = tempered(probabilities, np.exp(terms[0]), *terms[1:])
        answers = values.max(axis=1)
        chances = np.stack([values[rows, labels], np.where(right, answers, 1 - answers)])
        return -np.log(np.maximum(chances, 1e-12)).mean()

    simplex = np.concatenate([np.zeros((1, 3)), np.eye(3)])  # of its own size, steps from 0 are too small to find it
    options = {"initial_simplex": simplex, "xatol": 1e-5, "fatol": 1e-9, "maxiter": 2000}
    found = minimize(
        cross_entropy, simplex[0], method="Nelder-Mead", bounds=[(-3, 3), (-5, 5), (-5, 5)], options=options
    ).x
    return dict(zip(TERMS, (round(float(term), 4) for term in (np.exp(found[0]), *found[1:])), strict=True))


def tempered(
    probabilities: np.ndarray, temperature: float = 1.0, temperature_rise: float = 0.0, temperature_bend: float = 0.0
) -> np.ndarray:
    """Softmax of each row's logits over its temperature, from the plain softmax (N, C); the order of classes stays.

    That temperature is `temperature` for a sure answer, times exp(`temperature_rise` H + `temperature_bend` H^2) for
    one of entropy H in nats.
    """
    if temperature == 1 and not temperature_rise and not temperature_bend:
        return probabilities
    logits = np.log(np.maximum(probabilities, 1e-30))
    entropy = -(probabilities * logits).sum(axis=1, keepdims=True)
    slope = np.float32(temperature_rise) + np.float32(temperature_bend) * entropy
    logits = logits / (np.float32(temperature) * np.exp(slope * entropy))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def terms_of(result: dict[str, Any]) -> dict[str, float]:
    """What `fit_temperature` found for a model, from `result` of its model.json; empty where nothing was fitted."""
    return {name: result[name] for name in TERMS if name in result}


def least_probability(probabilities: np.ndarray, labels: np.ndarray, coverage: float = COVERAGE) -> float:
    """Probabilities (N, C) of faces that training did not use, labels (N,) -> that from which on a class is in a set.

    Of a new face that is drawn as those were, the true class then is in its set with a chance of at least `coverage`,
    whatever the network: it is missed by as many of the N + 1 as lie below. 0, every class, where N is too small.
    """
    missed = math.floor(round((1 - coverage) * (len(labels) + 1), 9))
    of_truth = np.sort(probabilities[np.arange(len(labels)), labels])
    return float(of_truth[missed - 1]) if missed else 0.0


def class_sets(probabilities: np.ndarray, least: float) -> np.ndarray:
    """Probabilities (N, C) -> which classes (N, C) bool are in the set of each face: the most probable always is."""
    return (probabilities >= least) | (probabilities == probabilities.max(axis=1, keepdims=True))


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equal-width bins of confidence (Guo et al. 2017, eq. 3)."""
    place, confidence, right = _binned(probabilities, labels, bins)
    return float(np.abs(np.bincount(place, weights=right - confidence)).sum() / len(labels))


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> list[dict[str, float]]:
    """Probabilities (N, C), labels (N,) -> images, confidence and accuracy of each bin of confidence that has any."""
    place, confidence, right = _binned(probabilities, labels, bins)
    rows = []
    for chosen in (place == k for k in np.unique(place)):
        means = {"confidence": confidence[chosen].mean(), "accuracy": right[chosen].mean()}
        rows.append({"images": int(chosen.sum())} | {name: round(float(v), 4) for name, v in means.items()})
    return rows


def _binned(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bin, confidence and whether it is right (N,) of each row; bins are open below and closed above (Guo et al.)."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return place, confidence, probabilities.argmax(axis=1) == labels
