"""Paired comparisons against hand-made cases and simulated trainings."""

import numpy as np
import pytest
from scipy import stats

from mmfer.report.comparison import HARDER, Answers, hidden_tests, paired_tests, sentence


def right(*wrong, n=40):
    hits = np.ones(n, dtype=bool)
    hits[list(wrong)] = False
    return hits


def once(*wrong, n=40):
    """Answers of a network that was trained once."""
    return Answers(right(*wrong, n=n), right(*wrong, n=n)[None], random=True)


@pytest.fixture
def tests():
    """ours errs on none; `weak` on 12, `even` on 2."""
    return paired_tests({"ours": once(), "weak": once(*range(12)), "even": once(1, 2)}, "ours")


def test_discordant_pairs_are_counted_and_p_values_corrected(tests):
    assert tests["reference_only"].tolist() == [12, 2]
    assert tests["system_only"].tolist() == [0, 0]
    np.testing.assert_allclose(tests["p"], [2 * 2 * 0.5**12, 0.5])  # Holm: times 2, times 1
    np.testing.assert_allclose(tests["difference"], [0.3, 0.05])
    assert (tests["low"] < tests["difference"]).all()
    assert (tests["difference"] < tests["high"]).all()


def test_the_interval_of_two_networks_is_that_of_paired_images(tests):
    by_image = (right().astype(int) - right(*range(12))).astype(float)
    low, high = stats.t.interval(0.95, 39, by_image.mean(), stats.sem(by_image))
    assert (tests["low"][0], tests["high"][0]) == pytest.approx((low, high))


def test_images_of_one_person_count_together():
    # Twelve wins of one person are a single coin.
    one = paired_tests({"ours": once(), "weak": once(*range(12))}, "ours", np.arange(40) // 12)
    assert one["reference_only"].tolist() == [12]
    np.testing.assert_allclose(one["p"], 1.0)


def test_a_sentence_claims_just_what_its_test_supports(tests):
    scope = " (these networks: too few trainings to speak of the systems)"
    assert sentence(tests.iloc[0], "ours") == f"ours is more often right than weak{scope}"
    assert sentence(tests.iloc[1], "ours") == f"no difference shown between ours and even{scope}"
    turned = paired_tests({"ours": once(*range(12)), "strong": once()}, "ours")
    assert sentence(turned.iloc[0], "ours") == f"strong is more often right than ours{scope}"
    assert turned["difference"][0] == pytest.approx(-0.3)


def trained(rng, mean, spread, seeds=10, n=1000):
    """Answers of a system whose trainings differ in accuracy by chance."""
    rates = mean + spread * stats.norm.ppf((np.arange(seeds) + 0.5) / seeds)[:, None]
    hits = rng.random((seeds, n)) < rng.permutation(rates)
    return Answers(hits[0], hits, random=True)


def test_a_network_that_is_worse_by_its_seed_is_no_worse_system(rng):
    """One training of class_fc lost with p < 0.0001; ten trainings of each differ by less than they spread."""
    ours, other = trained(rng, 0.800, 0.04), trained(rng, 0.785, 0.04)
    best, worst = ours.trainings.mean(axis=1).argmax(), other.trainings.mean(axis=1).argmin()
    single = {
        "ours": Answers(ours.trainings[best], ours.trainings[[best]], random=True),
        "class_fc": Answers(other.trainings[worst], other.trainings[[worst]], random=True),
    }
    one = paired_tests(single, "ours").iloc[0]
    assert one["p"] < 0.0001
    assert sentence(one, "ours").endswith("(these networks: too few trainings to speak of the systems)")
    ten = paired_tests({"ours": ours, "class_fc": other}, "ours").iloc[0]
    assert ten["p"] > 0.05
    assert sentence(ten, "ours") == "no difference shown between ours and class_fc"


def test_a_difference_of_systems_is_shown_over_trainings(rng):
    row = paired_tests({"ours": trained(rng, 0.8, 0.02), "weak": trained(rng, 0.7, 0.02)}, "ours").iloc[0]
    assert row["over_seeds"]
    assert sentence(row, "ours") == "ours is more often right than weak"


@pytest.mark.parametrize(("seeds", "over"), [(2, False), (3, True)])
def test_three_trainings_are_enough(rng, seeds, over):
    answers = {"ours": trained(rng, 0.8, 0.02), "other": trained(rng, 0.7, 0.02, seeds)}
    assert paired_tests(answers, "ours")["over_seeds"].tolist() == [over]
    assert paired_tests(answers, "other")["over_seeds"].tolist() == [over]


def test_a_system_without_a_random_start_needs_one_training(rng):
    fixed = Answers(right(*range(12)), right(*range(12))[None], random=False)
    row = paired_tests({"ours": trained(rng, 0.9, 0.02, n=40), "svm": fixed}, "ours").iloc[0]
    assert row["over_seeds"]
    both = paired_tests({"svm": fixed, "other": Answers(right(), right()[None], random=False)}, "svm").iloc[0]
    assert both["over_seeds"]
    assert both["p"] == pytest.approx(2 * 0.5**12)


def test_over_trainings_the_images_are_plain(rng):
    ours = trained(rng, 0.8, 0.02)
    averaged = Answers(np.zeros(1000, dtype=bool), ours.trainings, random=True)
    row = paired_tests({"ours": averaged, "same": ours}, "ours").iloc[0]
    assert row["difference"] == 0


def test_hidden_faces_are_tested_under_each_condition():
    given = {"ours": once(), "other": once(*range(12))}
    table = hidden_tests(lambda name, condition: given[name], ["other"], "ours")
    assert table["system"].tolist() == [f"other ({name})" for name in HARDER]
    np.testing.assert_allclose(table["p"], 5 * 2 * 0.5**12)
    by_person = hidden_tests(lambda name, condition: given[name], ["other"], "ours", lambda c: np.arange(40) // 12)
    np.testing.assert_allclose(by_person["p"], 1.0)


def test_nothing_to_compare_is_an_empty_table():
    assert paired_tests({"ours": once()}, "ours").empty
    assert hidden_tests(lambda name, condition: once(), [], "ours").empty
