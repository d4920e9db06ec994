"""Metrics, intervals and paired tests over arrays: labels and predictions (N,) are class numbers, rows are images.

Shares are between 0 and 1. A class that does not occur among the labels has no recall; it is left out of every mean.
"""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy import stats
from sklearn import metrics

from mmfer.errors import MmferError
from mmfer.training.calibration import expected_calibration_error

LEVEL = 0.95  # of every interval
FEWEST_GROUPS = 5  # of people, over which a bootstrap is taken for an interval


def person_groups(subjects: pd.Series) -> np.ndarray | None:
    """Subject of each image (N,), null where unknown -> a number for each image (N,): images of one person share it.

    An image without a name has a number of its own. None where nobody is known.
    """
    numbers, names = pd.factorize(subjects)
    if not len(names):
        return None
    unknown = numbers < 0
    numbers[unknown] = len(names) + np.arange(unknown.sum())
    return numbers


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts (C, C), int64, of true class (rows) and predicted class (columns)."""
    return metrics.confusion_matrix(labels, predicted, labels=np.arange(n_classes))


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


def class_roc_curves(
    probabilities: np.ndarray, labels: np.ndarray, classes: list[str]
) -> dict[str, tuple[np.ndarray, np.ndarray, float]]:
    """{class: (fpr, tpr, auc)}, each class against the rest; without classes that no image or that every image has."""
    curves = {}
    for label, name in enumerate(classes):
        positive = labels == label
        if positive.any() and not positive.all():
            fpr, tpr, _ = metrics.roc_curve(positive, probabilities[:, label], drop_intermediate=True)
            curves[name] = fpr, tpr, float(metrics.auc(fpr, tpr))
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
    level: float = LEVEL,
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


def above_chance(
    labels: np.ndarray,
    predicted: np.ndarray,
    n_classes: int,
    groups: np.ndarray | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, float | bool]:
    """Whether predictions are shown to be better than the best constant answer and than guessing.

    `floor` is the share of the most frequent true class, at least 1 / n_classes; `low` the lower end of the accuracy's
    95 % interval, exact (Clopper and Pearson) over images or, where groups (N,) are given, by bootstrap over these;
    `above` whether it is over the floor. Of fewer than FEWEST_GROUPS people no interval says anything. Of a system that
    is not above, no comparison does.
    """
    hits, images = int((labels == predicted).sum()), len(labels)
    floor = max(np.bincount(labels).max() / images, 1 / n_classes)
    if groups is None:
        low = stats.binomtest(hits, images).proportion_ci(LEVEL, method="exact").low
    else:
        low, _ = bootstrap_interval(labels, predicted, "accuracy", groups, resamples, seed)
    enough = groups is None or len(np.unique(groups)) >= FEWEST_GROUPS
    return {"floor": round(float(floor), 4), "low": round(float(low), 4), "above": bool(enough and low > floor)}


@dataclass(frozen=True)
class Difference:
    """Accuracy of system a minus that of b, a share, its 95 % interval, and the two-sided p value of no difference."""

    difference: float
    low: float
    high: float
    p: float

    def to_json(self) -> dict[str, float]:
        """As a plain dictionary."""
        return asdict(self)


def compare_trainings(right_a: np.ndarray, right_b: np.ndarray, groups: np.ndarray | None = None) -> Difference:
    """Two systems over their trainings and the test images together.

    right_a (A, N), right_b (B, N), bool: which images each training gets right; a single row stands for a system
    without a random start. groups (N,): who is on an image, or None where images are independent.

    Trainings and people are both samples. The variance of the difference is the sum of that of the trainings' mean
    accuracy, for each system by itself, and that of the people's difference averaged over trainings (a ratio estimate,
    for people have different numbers of images); the t distribution has Satterthwaite's degrees of freedom. This is
    the analysis of readers and cases (Obuchowski and Rockette 1995, Hillis 2007) with trainings for readers, each
    nested in its system. What trainings and images do together counts on both sides, so that the test errs on the safe
    side. In cross-validation a training is that of all folds; that folds share training images is left out of account.
    """
    accuracies = right_a.mean(axis=1), right_b.mean(axis=1)
    difference = float(accuracies[0].mean() - accuracies[1].mean())
    by_image = right_a.mean(axis=0) - right_b.mean(axis=0)
    group = np.arange(len(by_image)) if groups is None else np.unique(groups, return_inverse=True)[1]
    residuals = np.bincount(group, weights=by_image - difference)
    n = len(residuals)
    if n < 2:
        return Difference(difference, -1.0, 1.0, 1.0)  # one person: nothing is known of how others differ
    parts = [(n / (n - 1) * np.square(residuals).sum() / len(by_image) ** 2, n - 1)]
    parts += [(values.var(ddof=1) / len(values), len(values) - 1) for values in accuracies if len(values) > 1]
    variance = sum(part for part, _ in parts)
    if variance < 1e-15:  # every person and every training shows the same difference: a sign test is what is left
        return Difference(difference, difference, difference, 1.0 if abs(difference) < 1e-9 else 2.0 ** (1 - n))
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    deviation = np.sqrt(variance)
    reach = float(stats.t.ppf((1 + LEVEL) / 2, freedom) * deviation)
    p = float(2 * stats.t.sf(abs(difference) / deviation, freedom))
    return Difference(difference, difference - reach, difference + reach, p)


def mcnemar_exact(correct_a: np.ndarray, correct_b: np.ndarray) -> float:
    """Two-sided exact p value of McNemar's test: do networks a and b err equally often on the same images?

    correct_a, correct_b: bool (N,). Only images on which one is right and the other wrong count; under the null
    hypothesis each of them favours either side with probability one half. It is about these two networks; another
    training of the same systems is another pair.
    """
    only_a, only_b = int(np.sum(correct_a & ~correct_b)), int(np.sum(~correct_a & correct_b))
    return float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


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
