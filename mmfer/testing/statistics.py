"""Metrics, intervals and paired tests over arrays: labels and predictions (N,) are class numbers, rows are images.

Shares are between 0 and 1. A class that does not occur among the labels has no recall; it is left out of every mean.
"""

import numpy as np

from mmfer.errors import MmferError
from mmfer.training.calibration import expected_calibration_error


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts (C, C), int64, of true class (rows) and predicted class (columns)."""
    # int64 first: the index holds labels as int8, in which 12 * 12 overflows.
    cells = np.asarray(labels, dtype=np.int64) * n_classes + np.asarray(predicted, dtype=np.int64)
    return np.bincount(cells, minlength=n_classes**2).reshape(n_classes, n_classes).astype(np.int64)


def accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Share of images whose class is predicted right."""
    return float(np.mean(labels == predicted))


def class_recalls(labels: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Share of each true class that is predicted right (C,), float64; NaN for classes that do not occur."""
    matrix = confusion_matrix(labels, predicted, n_classes)
    return _divide(np.diagonal(matrix), matrix.sum(axis=1))


def macro_accuracy(labels: np.ndarray, predicted: np.ndarray, n_classes: int) -> float:
    """Mean of the recalls of the classes that occur: the paper's "mean of classes"."""
    return float(np.nanmean(class_recalls(labels, predicted, n_classes)))


def roc_curve(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates, one point per distinct score, from (0, 0) to (1, 1).

    scores (N,) are higher for positives, positive (N,) is bool and holds both values. Images of equal score enter
    together, so a tie is a slanted step and its order never matters.
    """
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    true_positives = np.cumsum(positive[order])[last_of_tie]
    false_positives = last_of_tie + 1 - true_positives
    fpr, tpr = (np.concatenate([[0.0], counts / counts[-1]]) for counts in (false_positives, true_positives))
    return fpr, tpr


def auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve of scores (N,): how often a positive outscores a negative, a tie being half a win."""
    return _area(*roc_curve(scores, positive))


def _area(fpr: np.ndarray, tpr: np.ndarray) -> float:
    return float(np.sum(np.diff(fpr) * (tpr[1:] + tpr[:-1])) / 2)


def class_roc_curves(
    probabilities: np.ndarray, labels: np.ndarray, classes: list[str]
) -> dict[str, tuple[np.ndarray, np.ndarray, float]]:
    """{class: (fpr, tpr, auc)}, each class against the rest; without classes that no image or that every image has."""
    curves = {}
    for label, name in enumerate(classes):
        positive = labels == label
        if positive.any() and not positive.all():
            fpr, tpr = roc_curve(probabilities[:, label], positive)
            curves[name] = fpr, tpr, _area(fpr, tpr)
    return curves


def macro_auc(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean one-against-rest AUC over the classes that occur; NaN where fewer than two occur."""
    classes = [str(label) for label in range(probabilities.shape[1])]
    areas = [area for _, _, area in class_roc_curves(probabilities, labels, classes).values()]
    return float(np.mean(areas)) if areas else float("nan")


def bootstrap_interval(
    labels: np.ndarray,
    predicted: np.ndarray,
    statistic: str,
    groups: np.ndarray | None = None,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval (low, high) of the "accuracy" or the "macro" accuracy.

    Images are drawn with replacement or, where groups (N,) are given, whole groups: frames of one person are not
    independent, and drawing them singly would give an interval that is too narrow.
    """
    hits, totals, share, draws = _units(labels, labels == predicted, groups)
    counts = np.random.default_rng(seed).multinomial(draws, share, size=resamples)  # (resamples, units)
    hits, totals = counts @ hits, counts @ totals  # (resamples, classes)
    if statistic == "accuracy":
        values = hits.sum(axis=1) / totals.sum(axis=1)
    else:
        values = np.nanmean(_divide(hits, totals), axis=1)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _units(
    labels: np.ndarray, correct: np.ndarray, groups: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """What the bootstrap draws: hits and totals of each unit (units, classes), its probability, and how many draws.

    Images that share class and correctness are the same to the statistic, so without groups the units are those kinds:
    a multinomial draw over two kinds per class is the bootstrap over images at a thousandth of the cost.
    """
    present, row_class = np.unique(labels, return_inverse=True)
    if groups is None:
        row_unit, size, draws = 2 * row_class + correct, 2 * len(present), len(labels)
    else:
        names, row_unit = np.unique(groups, return_inverse=True)
        size = draws = len(names)
    shape = (size, len(present))
    cells = row_unit * len(present) + row_class
    hits, totals = (np.bincount(cells[rows], minlength=size * len(present)).reshape(shape) for rows in (correct, ...))
    if groups is not None:
        return hits, totals, np.full(size, 1 / size), draws
    rows = totals.sum(axis=1)
    return (hits > 0).astype(np.int64), (totals > 0).astype(np.int64), rows / rows.sum(), draws


def mcnemar_exact(correct_a: np.ndarray, correct_b: np.ndarray) -> float:
    """Two-sided exact p value of McNemar's test: do systems a and b err equally often on the same images?

    correct_a, correct_b: bool (N,). Only images on which one is right and the other wrong count; under the null
    hypothesis each of them favours either side with probability one half.
    """
    only_a, only_b = int(np.sum(correct_a & ~correct_b)), int(np.sum(~correct_a & correct_b))
    discordant = only_a + only_b
    term = tail = 1  # exact integers: a thousand discordant pairs are beyond float64
    for k in range(min(only_a, only_b)):
        term = term * (discordant - k) // (k + 1)
        tail += term
    return min(1.0, 2 * tail / 2**discordant)


def sign_flip_exact(correct_a: np.ndarray, correct_b: np.ndarray, groups: np.ndarray) -> float:
    """Two-sided exact p value of McNemar's test where the images of a group, a person's, are not independent.

    correct_a, correct_b: bool (N,), groups (N,). Under the null hypothesis the two systems could change places on all
    images of a person at once, so each person's difference of right answers has either sign with probability one half;
    p is how often the sum is as far from zero as it is. With one image a group it is `mcnemar_exact`.
    """
    _, rows = np.unique(groups, return_inverse=True)
    difference = np.bincount(rows, weights=correct_a.astype(int) - correct_b.astype(int)).astype(int)
    chance = np.ones(1)  # of each sum of the persons so far; the middle is zero
    for step in np.abs(difference[difference != 0]):
        wider = np.zeros(len(chance) + 2 * step)
        wider[: len(chance)] += chance / 2
        wider[2 * step :] += chance / 2
        chance = wider
    far = np.abs(np.arange(len(chance)) - len(chance) // 2) >= abs(difference.sum())
    return min(1.0, float(chance[far].sum()))


def holm(p_values: np.ndarray) -> np.ndarray:
    """P values adjusted for their number by Holm's step-down method (Holm 1979), float64, in the order given."""
    p_values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1)
    return adjusted


def summarise(
    probabilities: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray | None = None,
    resamples: int = 1000,
    seed: int = 0,
    *,
    classes: list[str],
) -> dict[str, object]:
    """All metrics of probabilities (N, C) against labels (N,), ready for JSON: what is undefined is None, never NaN.

    Keys: images, accuracy and macro with _low and _high (95 %, bootstrap over `groups` where given), macro_auc, ece,
    per_class {class: recall}. Raises MmferError where there are no images or a probability is not finite.
    """
    labels = np.asarray(labels, dtype=np.int64)
    _check(probabilities, labels)
    predicted = probabilities.argmax(axis=1)
    recalls = class_recalls(labels, predicted, len(classes))
    summary: dict[str, object] = {"images": len(labels)}
    for name, value in (("accuracy", accuracy(labels, predicted)), ("macro", float(np.nanmean(recalls)))):
        low, high = bootstrap_interval(labels, predicted, name, groups, resamples, seed)
        summary |= {name: value, f"{name}_low": low, f"{name}_high": high}
    summary["macro_auc"] = _or_none(macro_auc(probabilities, labels))
    summary["ece"] = expected_calibration_error(probabilities, labels)
    return summary | {"per_class": dict(zip(classes, map(_or_none, recalls), strict=True))}


def _check(probabilities: np.ndarray, labels: np.ndarray) -> None:
    if not len(labels):
        raise MmferError("metrics: there are no images to measure; lower clean.threshold so that some faces are kept")
    broken = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if broken.size:
        raise MmferError(
            f"metrics: the probabilities of row {broken[0]} are {probabilities[broken[0]].tolist()}; "
            "the training diverged: lower train.learning_rate"
        )


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotient as float64, NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
