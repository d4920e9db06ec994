"""Faces marked in a picture: where panels go, how long bars are, that nothing else is painted."""

from dataclasses import replace

import numpy as np
import pytest

from mmfer.use.drawing import WINNER, draw_faces, overlap, place_panel
from tests.use.photos import made_face


@pytest.mark.parametrize("left", [-30.0, 5.0, 100.0])
def test_faces_at_any_border_can_be_drawn(left):
    picture = np.full((80, 120, 3), 128, np.uint8)
    drawn = draw_faces(picture, [made_face(left=left)])
    assert (drawn != picture).any()
    assert (picture == 128).all()


@pytest.mark.parametrize(("happy", "row"), [(0.75, 0), (0.25, 1)])
def test_the_bar_of_the_winner_is_as_long_as_its_probability(happy, row):
    """The face's box ends at (120, 110), its panel begins at (124, 30) and has two rows of 20 x 180 px."""
    green = (draw_faces(np.full((240, 400, 3), 150, np.uint8), [made_face(happy=happy)]) == WINNER).all(axis=2)
    rows, columns = np.nonzero(green)
    assert (columns.min(), columns.max()) == (124, 124 + 0.75 * 180)
    assert 30 + 20 * row < rows.min() < rows.max() < 50 + 20 * row


@pytest.mark.parametrize("mark", [{"weak": True}, {"track": 3}])
@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_drawn_face_is_said_to_be_weak_and_has_its_track_on_any_ground(mark, grey):
    picture = np.full((120, 400, 3), grey, np.uint8)
    usual = made_face(left=5.0, top=5.0)
    marked = draw_faces(picture, [replace(usual, **mark)])
    rows, columns = np.nonzero((marked != draw_faces(picture, [usual])).any(axis=-1))
    assert 60 < rows.min() < rows.max() < 85  # at the lower edge of the box, within it
    assert columns.max() < 85
    assert np.ptp(marked[rows, columns].astype(int)) > 150  # light on dark, whatever lies below


def test_panels_stay_in_the_picture_and_avoid_each_other():
    left, right = (10, 20, 110, 120), (170, 20, 290, 120)
    first = place_panel(left, (50, 60), (200, 300), [left, right])
    assert first == (114, 20, 164, 80)  # at its right there is room
    second = place_panel(right, (50, 60), (200, 300), [left, right, first])
    assert second == (170, 124, 220, 184)  # right is the picture's edge, left the first panel
    assert place_panel((0, 0, 40, 40), (50, 60), (40, 40), []) == (0, 0, 50, 60)


def test_overlap_is_intersection_over_union():
    assert overlap((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 2, 2), (5, 5, 6, 6)) == 0
