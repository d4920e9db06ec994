"""Temperature and reliability against hand-made cases and torch's own cross entropy."""

from itertools import product

import numpy as np
import pytest
import torch

from mmfer.training.calibration import (
    class_sets,
    expected_calibration_error,
    fit_temperature,
    least_probability,
    reliability,
    tempered,
    terms_of,
)


def drawn(rng, n, sharpness):
    """Probabilities of a model that is `sharpness` times too sure, and labels drawn from what it should have said."""
    logits = rng.normal(size=(n, 4)).astype(np.float32)
    honest = torch.from_numpy(logits).softmax(1).numpy()
    labels = (honest.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=3)
    return torch.from_numpy(logits * np.float32(sharpness)).softmax(1).numpy(), labels


def honest(probabilities, sharpness):
    """What a model should have said that is `sharpness` times too sure."""
    return (torch.from_numpy(probabilities).log() / sharpness).softmax(1).numpy()


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.5])
def test_temperature_undoes_what_was_too_sure(rng, sharpness):
    probabilities, labels = drawn(rng, 40_000, sharpness)
    found = fit_temperature(probabilities, labels)
    for terms in (found, {"temperature": sharpness}):  # one temperature is right for all of them
        np.testing.assert_allclose(tempered(probabilities, **terms), honest(probabilities, sharpness), atol=0.03)


def test_sure_answers_may_need_another_temperature_than_unsure_ones(rng):
    wanted, labels = drawn(rng, 40_000, 1.0)
    powers = wanted ** (0.4 + 1.5 * wanted.max(axis=1, keepdims=True))  # too sure where sure, not enough elsewhere
    said = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    found = fit_temperature(said, labels)
    assert np.abs(tempered(said, **found) - wanted).mean() < 0.2 * np.abs(said - wanted).mean()


def test_no_other_terms_have_a_smaller_cross_entropy(rng):
    probabilities, labels = drawn(rng, 500, 2.0)
    best = fit_temperature(probabilities, labels)

    def cross_entropy(temperature, temperature_rise, temperature_bend):
        logits = torch.from_numpy(probabilities).log()
        entropy = torch.distributions.Categorical(logits=logits).entropy()[:, None]
        logits = logits / (temperature * (temperature_rise * entropy + temperature_bend * entropy**2).exp())
        answer = logits.softmax(1).max(1).values
        right = torch.from_numpy(labels == probabilities.argmax(axis=1)).float()
        of_answer = torch.nn.functional.binary_cross_entropy(answer, right)
        return (torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)) + of_answer).item() / 2

    near = product(np.geomspace(0.5, 2, 13), np.linspace(-1, 1, 13), np.linspace(-1, 1, 13))
    least = cross_entropy(**best)
    for times, rise, bend in near:
        terms = (best["temperature"] * times, best["temperature_rise"] + rise, best["temperature_bend"] + bend)
        assert least <= cross_entropy(*terms) + 1e-5


def test_tempered_is_the_softmax_of_divided_logits(rng):
    logits = torch.from_numpy(rng.normal(0, 3, (50, 7)).astype(np.float32))
    plain = logits.softmax(1).numpy()
    np.testing.assert_allclose(tempered(plain, 1.7), (logits / 1.7).softmax(1).numpy(), atol=1e-6)
    assert tempered(plain) is plain
    entropy = -(plain * np.log(plain)).sum(axis=1, keepdims=True)
    own = torch.from_numpy(1.7 * np.exp(0.3 * entropy))
    np.testing.assert_allclose(tempered(plain, 1.7, 0.3), (logits / own).softmax(1).numpy(), atol=1e-6)
    own = torch.from_numpy(1.7 * np.exp(0.3 * entropy - 0.2 * entropy**2))
    np.testing.assert_allclose(tempered(plain, 1.7, 0.3, -0.2), (logits / own).softmax(1).numpy(), atol=1e-6)
    assert (tempered(plain, 3.0).argmax(1) == plain.argmax(1)).all()
    certain = np.array([[1.0, 0.0, 0.0]], np.float32)
    assert np.isfinite(tempered(certain, 2.0, -0.5)).all()


def test_terms_are_read_from_models_of_all_ages():
    assert terms_of({"epochs": 3}) == {}
    assert terms_of({"temperature": 0.8, "sets": {}}) == {"temperature": 0.8}  # made before there was a rise
    found = {"temperature": 0.8, "temperature_rise": 0.2, "temperature_bend": -0.1}
    assert terms_of(found | {"epochs": 3}) == found


def test_reliability_counts_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.95, 0.05], [0.4, 0.6], [0.45, 0.55]])
    rows = reliability(probabilities, np.array([0, 1, 1, 1]), bins=5)
    assert rows == [
        {"images": 2, "confidence": 0.575, "accuracy": 1.0},  # (0.4, 0.6]
        {"images": 2, "confidence": 0.925, "accuracy": 0.5},  # (0.8, 1.0]
    ]


def test_the_diagram_s_gaps_are_the_calibration_error(rng):
    probabilities, labels = drawn(rng, 3000, 2.0)
    gaps = [row["images"] * abs(row["confidence"] - row["accuracy"]) for row in reliability(probabilities, labels)]
    assert sum(gaps) / 3000 == pytest.approx(expected_calibration_error(probabilities, labels), abs=1e-4)


def test_calibration_error_of_a_hand_computed_case():
    # Two bins: (0, 0.5] holds 0.5, right; (0.5, 1] holds 0.9 right and 0.7 wrong, gap |1 - 1.6|.
    probabilities = np.array([[0.5, 0.5], [0.1, 0.9], [0.7, 0.3]])
    error = expected_calibration_error(probabilities, np.array([0, 1, 1]), bins=2)
    assert error == pytest.approx((0.5 + 0.6) / 3)


def test_calibration_error_is_small_where_labels_are_drawn_from_the_probabilities(rng):
    probabilities = rng.dirichlet(np.ones(3), size=50_000).astype(np.float32)
    labels = (rng.random((50_000, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
    assert expected_calibration_error(probabilities, labels) < 0.01
    assert expected_calibration_error(np.eye(3)[labels], labels) == 0


@pytest.mark.parametrize(("faces", "coverage"), [(9, 0.9), (19, 0.9), (25, 0.8)])
def test_the_true_class_is_in_its_set_as_often_as_was_promised(rng, faces, coverage):
    """Over many draws of the faces that give the bound; the chance is exact: 1 - floor(alpha (n + 1)) / (n + 1)."""
    probabilities, labels = drawn(rng, 3000 * (faces + 1), 3.0)  # of a model that is far too sure
    hits = []
    for some, truth in zip(np.split(probabilities, 3000), labels.reshape(3000, -1), strict=True):
        least = least_probability(some[1:], truth[1:], coverage)
        hits.append(some[0, truth[0]] >= least)
    assert np.mean(hits) == pytest.approx(1 - int((1 - coverage) * (faces + 1) + 1e-9) / (faces + 1), abs=0.02)


def test_too_few_faces_promise_every_class():
    assert least_probability(np.full((8, 2), 0.5), np.zeros(8, np.int64)) == 0.0


def test_a_set_holds_all_from_the_bound_on_and_the_most_probable_always():
    probabilities = np.array([[0.5, 0.3, 0.2], [0.2, 0.1, 0.7], [0.34, 0.33, 0.33]])
    assert class_sets(probabilities, 0.3).tolist() == [[1, 1, 0], [0, 0, 1], [1, 1, 1]]
    assert class_sets(probabilities, 0.9).tolist() == [[1, 0, 0], [0, 0, 1], [1, 0, 0]]
