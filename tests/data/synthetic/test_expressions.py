"""Landmarks of a face at rest and in motion: symmetric, and moved as each action unit says."""

import numpy as np
import pytest

from mmfer.data.synthetic.expressions import EXPRESSIONS, RECIPES, UNITS, move_points, neutral_points, sample_units
from mmfer.face.points import move_landmarks


def mirrored(points):
    """Points (68, 2) of the face seen in a mirror that stands at x = 0."""
    return move_landmarks(points[None], np.array([[[-1.0, 0, 0], [0, 1, 0]]]))[0]


def only(unit, left=1.0, right=1.0):
    units = np.zeros((UNITS, 2))
    units[unit] = left, right
    return units


def test_the_face_at_rest_is_its_own_mirror_image():
    points = neutral_points()
    np.testing.assert_allclose(mirrored(points), points)


def test_a_face_without_activations_stays_at_rest():
    np.testing.assert_array_equal(move_points(neutral_points(), np.zeros((UNITS, 2))), neutral_points())


@pytest.mark.parametrize("unit", [1, 2, 4, 12, 15, 20, 26])
def test_a_unit_on_the_other_side_moves_the_mirror_image(unit):
    left, right = (move_points(neutral_points(), only(unit, *sides)) for sides in ((1, 0), (0, 1)))
    np.testing.assert_allclose(mirrored(left), right, atol=1e-9)


def test_a_smile_lifts_and_widens_the_mouth_and_a_dropped_jaw_opens_it():
    rest, smile, drop = neutral_points(), *(move_points(neutral_points(), only(unit)) for unit in (12, 26))
    assert smile[48, 1] < rest[48, 1]
    assert smile[54, 0] - smile[48, 0] > rest[54, 0] - rest[48, 0]
    assert drop[66, 1] - drop[62, 1] > rest[66, 1] - rest[62, 1]
    assert drop[8, 1] > rest[8, 1]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_units_take_part_as_often_and_as_strongly_as_the_recipe_says(expression, rng):
    drawn = np.stack([sample_units(rng, expression) for _ in range(1500)])
    active = (drawn > 0).any(axis=2)
    assert set(np.flatnonzero(active.any(axis=0))) == set(RECIPES[expression])
    for unit, (mean, probability) in RECIPES[expression].items():
        assert active[:, unit].mean() == pytest.approx(probability, abs=0.05)
        assert np.median(drawn[active[:, unit], unit]) == pytest.approx(mean, rel=0.1)
    assert drawn.max() <= 1.4
