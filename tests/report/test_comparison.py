"""Paired comparisons against hand-made cases."""

import numpy as np
import pandas as pd
import pytest

from mmfer.report.comparison import HARDER, hidden_tests, paired_tests, sentence


def right(*wrong, n=40):
    hits = np.ones(n, dtype=bool)
    hits[list(wrong)] = False
    return hits


@pytest.fixture
def tests():
    """ours errs on none; `weak` on 12, `even` on 2."""
    return paired_tests({"ours": right(), "weak": right(*range(12)), "even": right(1, 2)}, "ours")


def test_discordant_pairs_are_counted_and_p_values_corrected(tests):
    assert tests["reference_only"].tolist() == [12, 2]
    assert tests["system_only"].tolist() == [0, 0]
    np.testing.assert_allclose(tests["p"], [2 * 2 * 0.5**12, 0.5])  # Holm: times 2, times 1


def test_images_of_one_person_count_together():
    # Twelve wins of one person are a single coin.
    one = paired_tests({"ours": right(), "weak": right(*range(12))}, "ours", np.arange(40) // 12)
    assert one["reference_only"].tolist() == [12]
    np.testing.assert_allclose(one["p"], 1.0)


def test_a_sentence_claims_just_what_its_test_supports(tests):
    assert sentence(tests.iloc[0], "ours") == "ours is more often right than weak"
    assert sentence(tests.iloc[1], "ours") == "no difference shown between ours and even"
    turned = paired_tests({"ours": right(*range(12)), "strong": right()}, "ours")
    assert sentence(turned.iloc[0], "ours") == "strong is more often right than ours"


def test_hidden_faces_are_tested_under_each_condition():
    ours = pd.DataFrame({name: right() for name in HARDER})
    theirs = pd.DataFrame({name: right(*range(12)) for name in HARDER})
    table = hidden_tests({"ours": ours, "other": theirs}, "ours")
    assert len(table) == 5
    np.testing.assert_allclose(table["p"], 5 * 2 * 0.5**12)
