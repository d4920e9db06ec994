"""Paired comparisons and verdicts against hand-made cases."""

import numpy as np
import pandas as pd
import pytest

from mmfer.comparison import (
    HARDER,
    correct,
    hidden_tests,
    paired_tests,
    sentence,
    verdict_of_accuracy,
    verdict_of_modalities,
    verdict_of_speed,
    verdict_of_tests,
)


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


def test_a_sentence_claims_just_what_its_test_supports(tests):
    assert sentence(tests.iloc[0], "ours") == "ours is more often right than weak"
    assert sentence(tests.iloc[1], "ours") == "no difference shown between ours and even"
    turned = paired_tests({"ours": right(*range(12)), "strong": right()}, "ours")
    assert sentence(turned.iloc[0], "ours") == "strong is more often right than ours"


def test_verdicts_of_tests(tests):
    assert verdict_of_tests("c", tests, "ours").verdict == "not decidable"
    assert verdict_of_tests("c", tests[:1], "ours").verdict == "reproduced"
    assert verdict_of_tests("c", tests[:0], "ours").verdict == "not decidable"
    lost = paired_tests({"ours": right(*range(12)), "strong": right()}, "ours")
    assert verdict_of_tests("c", lost, "ours").verdict == "not reproduced"
    assert "strong" in verdict_of_tests("c", lost, "ours").reason


def test_a_claim_about_systems_that_were_not_run_is_not_decidable(tests):
    verdict = verdict_of_tests("c", tests[:1], "ours", absent=["VGG"])
    assert verdict.verdict == "not decidable"
    assert "not run: VGG" in verdict.reason
    assert verdict_of_speed({"ours": 1.0, "agrawal": 2.0}, "ours", absent=["VGG"]).verdict == "not decidable"


def test_the_verdict_on_modalities_looks_at_systems_with_fewer(tests):
    branches = {"ours": ["image", "landmarks", "hog"], "weak": ["hog"]}
    partly = verdict_of_modalities(tests, branches, "ours")
    assert partly.verdict == "not decidable"
    assert partly.reason.endswith("not run: image, landmarks, image + landmarks, image + hog, landmarks + hog")
    pairs = [["image"], ["landmarks"], ["hog"], ["image", "landmarks"], ["image", "hog"], ["landmarks", "hog"]]
    every = {f"weak{i}": used for i, used in enumerate(pairs)}
    beaten = paired_tests({"ours": right()} | {name: right(*range(12)) for name in every}, "ours")
    assert verdict_of_modalities(beaten, every | {"ours": branches["ours"]}, "ours").verdict == "reproduced"
    assert verdict_of_modalities(tests, {"ours": branches["ours"]}, "ours").verdict == "not decidable"


def test_an_accuracy_is_reproduced_if_an_interval_reaches_it():
    low = {"accuracy": 0.6, "accuracy_low": 0.58, "accuracy_high": 0.62}
    high = {"accuracy": 0.8, "accuracy_low": 0.77, "accuracy_high": 0.84}
    assert verdict_of_accuracy(0.8337, low, low).verdict == "not reproduced"
    assert verdict_of_accuracy(0.8337, low, high).verdict == "reproduced"


def test_hidden_faces_are_tested_under_each_condition():
    ours = pd.DataFrame({name: right() for name in HARDER})
    theirs = pd.DataFrame({name: right(*range(12)) for name in HARDER})
    table = hidden_tests({"ours": ours, "other": theirs}, "ours")
    assert len(table) == 5
    np.testing.assert_allclose(table["p"], 5 * 2 * 0.5**12)


def test_speed_is_the_least_latency():
    assert verdict_of_speed({"ours": 1.0, "vgg": 2.0}, "ours").verdict == "reproduced"
    assert verdict_of_speed({"ours": 3.0, "vgg": 2.0}, "ours").verdict == "not reproduced"
    assert verdict_of_speed({"ours": 3.0}, "ours").verdict == "not decidable"


def test_predictions_are_right_where_the_mean_of_the_runs_is(tmp_path):
    probabilities = np.zeros((1, 2, 3, 2), np.float32)
    probabilities[0, :, :, 0] = [[0.9, 0.4, 0.2], [0.3, 0.4, 0.9]]
    probabilities[..., 1] = 1 - probabilities[..., 0]
    np.savez(tmp_path / "p.npz", probabilities=probabilities, labels=np.array([0, 0, 0]))
    assert correct(tmp_path / "p.npz").tolist() == [True, False, True]
