"""Persons: the same generator draws the same one, different ones differ, factors change what they name."""

from dataclasses import replace

import numpy as np
import pytest

from mmfer.data.synthetic.expressions import neutral_points
from mmfer.data.synthetic.people import resting_points, sample_person

AVERAGE = {"head_width": 1, "chin_length": 1, "jaw_width": 0, "eye_shift": 0, "eye_open": 1, "eye_width": 1}
AVERAGE |= {"brow_shift": 0, "brow_tilt": 0, "nose_length": 1, "nose_width": 1, "mouth_width": 1, "mouth_shift": 0}
AVERAGE |= {"mouth_curve": 0, "lip_height": 1, "asymmetry": np.zeros((68, 2))}


@pytest.fixture
def average(rng):
    return replace(sample_person(rng), **AVERAGE)


def test_the_average_person_rests_as_the_average_face(average):
    np.testing.assert_allclose(resting_points(average), neutral_points())


def test_a_seed_draws_one_person_and_another_seed_another():
    one, again, other = (resting_points(sample_person(np.random.default_rng(seed))) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0.02


@pytest.mark.parametrize(
    ("name", "value", "ends", "ratio"),
    [("mouth_width", 1.1, (48, 54), 1.1), ("nose_width", 1.2, (31, 35), 1.2), ("head_width", 0.95, (0, 16), 0.95)],
)
def test_a_factor_widens_what_it_names(average, name, value, ends, ratio):
    points, rest = resting_points(replace(average, **{name: value})), resting_points(average)
    left, right = ends
    assert (points[right, 0] - points[left, 0]) / (rest[right, 0] - rest[left, 0]) == pytest.approx(ratio)
    eyes = slice(36, 48)
    np.testing.assert_array_equal(points[eyes], rest[eyes])
