"""Figures and tests of them against scikit-learn, SciPy and cases counted by hand."""

import itertools
import json
import time

import numpy as np
import pandas as pd
import pytest
import scipy.special
import scipy.stats
import sklearn.metrics as sk

from mmfer.errors import MmferError
from mmfer.testing import statistics


@pytest.fixture
def labels(rng):
    return rng.integers(0, 7, 500).astype(np.int8)


@pytest.fixture
def predicted(rng, labels):
    return np.where(rng.random(500) < 0.6, labels, rng.integers(0, 7, 500)).astype(np.int8)


@pytest.fixture
def probabilities(rng, labels):
    logits = rng.normal(size=(500, 7)) + 1.5 * np.eye(7)[labels]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_confusion_matrix_has_true_classes_in_rows():
    matrix = statistics.confusion_matrix(np.array([0, 0, 1]), np.array([1, 1, 0]), 3)
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix, [[0, 2, 0], [1, 0, 0], [0, 0, 0]])


def test_confusion_matrix_accuracy_and_recalls_are_those_of_sklearn(labels, predicted):
    matrix = statistics.confusion_matrix(labels, predicted, 7)
    np.testing.assert_array_equal(matrix, sk.confusion_matrix(labels, predicted))
    assert statistics.accuracy(labels, predicted) == pytest.approx(sk.accuracy_score(labels, predicted))
    macro, recalls = statistics.macro_accuracy(labels, predicted, 7), statistics.class_recalls(labels, predicted, 7)
    assert macro == pytest.approx(sk.balanced_accuracy_score(labels, predicted))
    np.testing.assert_allclose(recalls, sk.recall_score(labels, predicted, average=None))


def test_small_integer_labels_do_not_overflow_with_many_classes():
    labels = np.full(3, 20, dtype=np.int8)
    assert statistics.confusion_matrix(labels, labels, 21)[20, 20] == 3


def test_an_absent_class_has_no_recall_and_leaves_the_mean_alone():
    labels, predicted = np.array([0, 0, 0, 0, 2, 2]), np.array([0, 0, 0, 1, 0, 2])
    np.testing.assert_array_equal(statistics.class_recalls(labels, predicted, 3), [0.75, np.nan, 0.5])
    assert statistics.macro_accuracy(labels, predicted, 3) == 0.625


def test_roc_curves_are_of_each_class_against_the_rest(probabilities, labels):
    curves = statistics.class_roc_curves(probabilities, labels, list("abcdefg"))
    for label, (fpr, tpr, area) in enumerate(curves.values()):
        expected_fpr, expected_tpr, _ = sk.roc_curve(labels == label, probabilities[:, label])
        np.testing.assert_allclose(fpr, expected_fpr)
        np.testing.assert_allclose(tpr, expected_tpr)
        assert area == pytest.approx(sk.roc_auc_score(labels == label, probabilities[:, label]))


def test_equal_scores_give_the_diagonal():
    (curve,) = {statistics.class_roc_curves(np.full((4, 1), 0.5), np.array([0, 0, 1, 1]), ["a"])["a"][2]}
    assert curve == 0.5


def test_auc_is_the_share_of_pairs_in_the_right_order():
    # Positives 0.9 and 0.4 against negatives 0.4 and 0.1: three pairs right, one tie.
    scores = np.array([[0.9], [0.4], [0.4], [0.1]])
    assert statistics.class_roc_curves(scores, np.array([0, 0, 1, 1]), ["a"])["a"][2] == 3.5 / 4


def test_macro_auc_is_that_of_sklearn(probabilities, labels):
    expected = sk.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    assert statistics.macro_auc(probabilities, labels) == pytest.approx(expected)


def test_class_roc_curves_leave_out_absent_classes(probabilities, labels):
    rows, classes = labels < 3, list("abcdefg")
    curves = statistics.class_roc_curves(probabilities[rows], labels[rows], classes)
    assert list(curves) == ["a", "b", "c"]
    expected = np.mean([sk.roc_auc_score(labels[rows] == c, probabilities[rows, c]) for c in range(3)])
    assert statistics.macro_auc(probabilities[rows], labels[rows]) == pytest.approx(expected)


def test_macro_auc_of_a_single_class_is_undefined(probabilities):
    assert np.isnan(statistics.macro_auc(probabilities, np.zeros(500, dtype=int)))


def _resampled(labels, predicted, statistic, rng):
    rows = rng.integers(0, len(labels), (4000, len(labels)))
    if statistic == "accuracy":
        return (labels == predicted)[rows].mean(axis=1)
    return [np.mean([(predicted[r] == c)[labels[r] == c].mean() for c in np.unique(labels[r])]) for r in rows]


@pytest.mark.parametrize("statistic", ["accuracy", "macro"])
def test_bootstrap_interval_is_that_of_drawing_the_images_one_by_one(labels, predicted, rng, statistic):
    expected = np.quantile(_resampled(labels[:80], predicted[:80], statistic, rng), [0.025, 0.975])
    interval = statistics.bootstrap_interval(labels[:80], predicted[:80], statistic, resamples=20_000)
    np.testing.assert_allclose(interval, expected, atol=0.013)  # an image is 0.0125 of the accuracy


def test_bootstrap_interval_covers_the_true_accuracy_in_95_of_100_samples(rng):
    covered = 0
    for seed in range(400):
        predicted = (rng.random(300) < 0.7).astype(int)
        low, high = statistics.bootstrap_interval(np.ones(300, dtype=int), predicted, "accuracy", seed=seed)
        covered += low <= 0.7 <= high
    assert 0.92 <= covered / 400 <= 0.98


def test_bootstrap_interval_narrows_with_the_level(labels, predicted):
    low, high = statistics.bootstrap_interval(labels, predicted, "accuracy", level=0.95)
    inner_low, inner_high = statistics.bootstrap_interval(labels, predicted, "accuracy", level=0.5)
    assert low < inner_low < (labels == predicted).mean() < inner_high < high


@pytest.mark.parametrize("statistic", ["accuracy", "macro"])
def test_groups_of_copies_give_the_interval_of_the_originals(labels, predicted, statistic):
    copies, copied, people = np.repeat(labels, 4), np.repeat(predicted, 4), np.repeat(np.arange(500), 4).astype(str)
    alone = statistics.bootstrap_interval(labels, predicted, statistic, resamples=4000)
    naive = statistics.bootstrap_interval(copies, copied, statistic, resamples=4000)
    grouped = statistics.bootstrap_interval(copies, copied, statistic, people, resamples=4000)
    np.testing.assert_allclose(grouped, alone, atol=0.006)
    assert np.diff(grouped) == pytest.approx(2 * np.diff(naive), rel=0.1)  # four times the rows: half the width


def test_groups_of_unequal_size_are_drawn_whole():
    # One person of three right images, one of one wrong image: a resample holds two, one or none of the first.
    labels, predicted, people = np.zeros(4, dtype=int), np.array([0, 0, 0, 1]), np.array(["a", "a", "a", "b"])
    quartiles = statistics.bootstrap_interval(labels, predicted, "accuracy", people, level=0.4)
    assert quartiles == (0.75, 0.75)
    assert statistics.bootstrap_interval(labels, predicted, "accuracy", people) == (0, 1)


def test_macro_bootstrap_is_of_the_mean_of_classes():
    # The majority class alone: every resample that holds both classes has a macro accuracy of one half.
    labels = np.array([0] * 90 + [1] * 10)
    assert statistics.bootstrap_interval(labels, np.zeros(100, int), "macro") == (0.5, 0.5)
    low, high = statistics.bootstrap_interval(labels, np.zeros(100, int), "accuracy")
    assert 0.8 < low < 0.9 < high


def test_macro_bootstrap_leaves_out_a_class_that_a_resample_misses():
    labels = np.array([0] * 50 + [1])
    assert statistics.bootstrap_interval(labels, labels, "macro") == (1, 1)


def test_bootstrap_of_the_fer2013_test_set_is_repeatable_and_quick(rng):
    labels = rng.integers(0, 7, 3589)
    predicted = np.where(rng.random(3589) < 0.6, labels, 0)
    start = time.process_time()
    first = statistics.bootstrap_interval(labels, predicted, "macro", seed=3)
    assert time.process_time() - start < 2  # one image at a time takes half a minute
    assert first == statistics.bootstrap_interval(labels, predicted, "macro", seed=3)
    assert first != statistics.bootstrap_interval(labels, predicted, "macro", seed=4)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (5, 5), (1, 9), (12, 3), (700, 620)])
def test_mcnemar_is_the_binomial_test_of_the_discordant_pairs(only_a, only_b):
    correct_a = np.array([True] * (40 + only_a) + [False] * (only_b + 7))
    correct_b = np.array([True] * 40 + [False] * only_a + [True] * only_b + [False] * 7)
    expected = scipy.stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1
    assert statistics.mcnemar_exact(correct_a, correct_b) == pytest.approx(expected)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (5, 0), (7, 3), (4, 4), (60, 20)])
def test_the_test_by_person_is_mcnemars_where_each_person_has_one_image(only_a, only_b):
    correct_a = np.array([True] * (9 + only_a) + [False] * (only_b + 2))
    correct_b = np.array([True] * 9 + [False] * only_a + [True] * only_b + [False] * 2)
    expected = statistics.mcnemar_exact(correct_a, correct_b)
    people = np.arange(len(correct_a))
    assert statistics.sign_flip_exact(correct_a, correct_b, people) == pytest.approx(expected)


def test_the_test_by_person_flips_people_as_a_whole():
    # Differences of the three people: +2, +3, -1. Of the eight sign patterns 4 reach |sum| >= 4: +++ ++- and mirrored.
    people = np.repeat(["a", "b", "c"], 3)
    correct_a = np.array([1, 1, 0, 1, 1, 1, 0, 0, 0], dtype=bool)
    correct_b = np.array([0, 0, 0, 0, 0, 0, 1, 0, 0], dtype=bool)
    assert statistics.sign_flip_exact(correct_a, correct_b, people) == pytest.approx(4 / 8)


def test_the_test_by_person_is_a_permutation_test_of_their_sums(rng):
    people = rng.integers(0, 12, 60)
    correct_a, correct_b = rng.random(60) < 0.8, rng.random(60) < 0.5
    sums = np.bincount(people, weights=correct_a.astype(int) - correct_b, minlength=12)
    expected = scipy.stats.permutation_test(
        (sums,), np.sum, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    assert statistics.sign_flip_exact(correct_a, correct_b, people) == pytest.approx(expected.pvalue)


@pytest.mark.parametrize(
    "test", [statistics.mcnemar_exact, lambda a, b: statistics.sign_flip_exact(a, b, np.arange(30))]
)
def test_paired_tests_are_two_sided(test):
    better, worse = np.arange(30) < 28, np.arange(30) < 18
    assert test(better, worse) == pytest.approx(test(worse, better)) == pytest.approx(2 * 0.5**10)


def test_people_without_a_name_are_groups_of_their_own():
    groups = statistics.person_groups(pd.Series(["a", None, "b", "a", None], dtype="string"))
    assert groups[0] == groups[3]
    assert len(set(groups)) == 4
    assert statistics.person_groups(pd.Series([None, None], dtype="string")) is None


def test_one_person_without_a_name_leaves_the_test_by_person_as_it_is():
    # Twelve wins of one person are a single coin, whoever else is not known.
    people = pd.Series(["a"] * 12 + ["b"] * 12 + [None], dtype="string")
    correct_a, correct_b = np.ones(25, dtype=bool), np.arange(25) >= 12
    assert statistics.sign_flip_exact(correct_a, correct_b, statistics.person_groups(people)) == pytest.approx(1.0)


def test_chance_is_the_exact_bound_of_the_binomial_over_the_largest_class():
    labels, hits = np.array([0] * 60 + [1] * 40), 70
    predicted = np.where(np.arange(100) < hits, labels, 2)
    found = statistics.above_chance(labels, predicted, 3)
    bound = scipy.stats.beta.ppf(0.025, hits, 100 - hits + 1)  # Clopper and Pearson
    assert found == {"floor": 0.6, "low": pytest.approx(bound, abs=1e-4), "above": bool(bound > 0.6)}
    assert found["above"] == (scipy.stats.binomtest(hits, 100, 0.6, alternative="greater").pvalue < 0.025)


def test_the_majority_class_alone_is_not_above_chance():
    labels = np.array([0] * 70 + [1] * 30)
    assert not statistics.above_chance(labels, np.zeros(100, int), 2)["above"]
    assert statistics.above_chance(labels, labels, 2)["above"]
    assert statistics.above_chance(np.zeros(9, int), np.zeros(9, int), 7)["floor"] == 1.0
    assert statistics.above_chance(np.arange(70) % 7, np.zeros(70, int), 5)["floor"] == 0.2


def test_chance_is_judged_by_person():
    # 60 % right where half is the floor: enough for 400 images, not for 20 people who are right or wrong as a whole.
    labels = np.tile([0, 1], 200)
    predicted = np.where(np.arange(400) < 240, labels, 1 - labels)
    assert statistics.above_chance(labels, predicted, 2)["above"]
    assert not statistics.above_chance(labels, predicted, 2, np.arange(400) // 20)["above"]


def test_a_few_people_do_not_show_that_a_system_is_above_chance():
    labels, people = np.arange(28) % 7, np.arange(28) % 4
    assert statistics.above_chance(labels, labels, 7)["above"]
    assert not statistics.above_chance(labels, labels, 7, people)["above"]
    assert statistics.above_chance(labels, labels, 7, np.arange(28) % 5)["above"]


def test_two_single_trainings_differ_as_paired_images_do(rng):
    a, b = rng.random((2, 1, 200)) < [[[0.8]], [[0.7]]]
    found = statistics.compare_trainings(a, b)
    expected = scipy.stats.ttest_rel(a[0].astype(float), b[0])
    assert found.difference == pytest.approx(a.mean() - b.mean())
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(expected.confidence_interval(0.95))


def test_trainings_that_differ_alone_are_compared_by_welchs_test():
    # Every person has the same right answers in each training, so that people add no variance.
    def trainings(rights):
        return np.array([np.tile(np.arange(10) < right, 50) for right in rights])

    a, b, people = trainings([7, 8, 9]), trainings([5, 6, 9, 6]), np.repeat(np.arange(50), 10)
    found = statistics.compare_trainings(a, b, people)
    expected = scipy.stats.ttest_ind(a.mean(axis=1), b.mean(axis=1), equal_var=False)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(expected.confidence_interval(0.95))


def test_people_of_unequal_size_count_by_their_images():
    # Linearised ratio: residual sums +0.5, +0.5, -1 of eight images; the difference is 1/4.
    people = np.array([0, 0, 1, 1, 2, 2, 2, 2])
    a, b = np.array([[1, 0, 0, 1, 0, 0, 0, 0]], dtype=bool), np.zeros((1, 8), dtype=bool)
    found = statistics.compare_trainings(a, b, people)
    deviation = np.sqrt(3 / 2 * (0.5**2 + 0.5**2 + 1)) / 8
    assert found.difference == 0.25
    assert found.p == pytest.approx(2 * scipy.stats.t.sf(0.25 / deviation, 2))


def test_where_nothing_varies_the_difference_is_sure_or_none():
    a, none = np.tile(np.arange(10) < 7, (3, 1)), np.zeros((1, 10), dtype=bool)
    assert statistics.compare_trainings(a, a) == statistics.Difference(0.0, 0.0, 0.0, 1.0)
    always = statistics.compare_trainings(~none, none)
    assert (always.difference, always.low, always.high) == (1.0, 1.0, 1.0)
    assert always.p == scipy.stats.binomtest(10, 10).pvalue  # ten signs that agree


def test_a_single_person_says_nothing_of_others():
    a, none = np.ones((3, 10), dtype=bool), np.zeros((1, 10), dtype=bool)
    found = statistics.compare_trainings(a, none, np.zeros(10))
    assert found == statistics.Difference(1.0, -1.0, 1.0, 1.0)


def simulated(rng, seeds, spread, hard, people=40, each=4):
    """Right answers (seeds, images) of a system; its trainings differ, and people and images are hard or easy."""
    own = 0.8 * hard + 0.6 * np.repeat(rng.normal(0, 0.7, people), each)
    effect = rng.normal(0, spread, (seeds, 1)) + 0.5 * rng.normal(size=(seeds, people * each))
    return rng.random((seeds, people * each)) < scipy.special.expit(1.5 + own + effect)


@pytest.mark.parametrize(("seeds", "spread"), [((3, 3), 0.0), ((3, 3), 0.5), ((10, 3), 0.5)])
def test_systems_that_are_alike_are_told_apart_in_one_of_twenty_studies_at_most(rng, seeds, spread):
    people, studies, wrong, wrong_of_one = np.repeat(np.arange(40), 4), 400, 0, 0
    for _ in range(studies):
        hard = np.repeat(rng.normal(0, 0.7, 40), 4) + rng.normal(0, 1.2, 160)
        a, b = (simulated(rng, n, spread, hard) for n in seeds)
        wrong += statistics.compare_trainings(a, b, people).p < 0.05
        wrong_of_one += spread > 0 and statistics.mcnemar_exact(a[0], b[0]) < 0.05
    assert wrong / studies <= 0.06
    assert spread == 0 or wrong_of_one / studies > 0.15  # McNemar's test takes a seed for a system


def test_systems_that_differ_are_told_apart(rng):
    hard, people = np.zeros(160), np.repeat(np.arange(40), 4)
    found = [
        statistics.compare_trainings(simulated(rng, 5, 0.1, hard), simulated(rng, 5, 0.1, hard - 1.5), people)
        for _ in range(20)
    ]
    assert all(one.p < 0.05 and one.low > 0 for one in found)


def test_holm_of_a_hand_computed_case():
    # Sorted 0.01, 0.02, 0.03, 0.9 times 4, 3, 2, 1 is 0.04, 0.06, 0.06, 0.9.
    np.testing.assert_allclose(statistics.holm([0.03, 0.01, 0.9, 0.02]), [0.06, 0.04, 0.9, 0.06])


def test_holm_closes_bonferronis_test(rng):
    """An adjusted p value is the largest that Bonferroni gives to any set of hypotheses with this one in it."""
    p_values = rng.random(5) ** 3
    sets = [s for size in range(1, 6) for s in itertools.combinations(range(5), size)]
    expected = [max(min(1, len(s) * min(p_values[list(s)])) for s in sets if k in s) for k in range(5)]
    np.testing.assert_allclose(statistics.holm(p_values), expected)


def test_holm_never_falls_with_p_and_never_exceeds_one():
    np.testing.assert_allclose(statistics.holm([0.02, 0.021, 0.7, 0.8]), [0.08, 0.08, 1, 1])


def test_summary_holds_every_metric_within_its_interval(probabilities, labels):
    classes = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    summary = statistics.summarise(probabilities, labels, classes=classes)
    predicted = probabilities.argmax(axis=1)
    assert list(summary) == [
        *("images", "accuracy", "accuracy_low", "accuracy_high", "macro", "macro_low", "macro_high"),
        *("macro_auc", "ece", "per_class"),
    ]
    assert summary["images"] == 500
    assert summary["accuracy"] == pytest.approx(sk.accuracy_score(labels, predicted))
    assert summary["accuracy_low"] < summary["accuracy"] < summary["accuracy_high"]
    assert summary["macro"] == pytest.approx(sk.balanced_accuracy_score(labels, predicted))
    assert summary["macro_low"] < summary["macro"] < summary["macro_high"]
    assert summary["per_class"]["fear"] == pytest.approx((predicted == 2)[labels == 2].mean())


def test_summary_of_a_single_class_is_json_without_nan(probabilities):
    summary = statistics.summarise(probabilities, np.full(500, 2, dtype=np.int8), classes=list("abcdefg"))
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["macro_auc"] is None
    assert summary["per_class"]["a"] is None
    assert summary["macro"] == summary["accuracy"] == summary["per_class"]["c"]


def test_summary_widens_its_intervals_for_groups(probabilities, labels):
    images, truth, people = np.repeat(probabilities, 3, axis=0), np.repeat(labels, 3), np.repeat(np.arange(500), 3)
    plain = statistics.summarise(images, truth, classes=list("abcdefg"))
    grouped = statistics.summarise(images, truth, people, classes=list("abcdefg"))
    for name in ("accuracy", "macro"):
        widths = [summary[f"{name}_high"] - summary[f"{name}_low"] for summary in (plain, grouped)]
        assert widths[1] > 1.5 * widths[0]


def test_summary_of_no_images_is_refused():
    with pytest.raises(MmferError, match=r"no images to measure; lower clean\.threshold"):
        statistics.summarise(np.zeros((0, 7)), np.zeros(0, dtype=int), classes=list("abcdefg"))


def test_summary_of_diverged_probabilities_is_refused():
    probabilities = np.array([[0.5, 0.5], [np.nan, 1.0]])
    with pytest.raises(MmferError, match=r"row 1 are \[nan, 1.0\]; .*lower train\.learning_rate"):
        statistics.summarise(probabilities, np.array([0, 1]), classes=["a", "b"])
