"""Occluders: what they hide, where, and that none is what tests hide faces with."""

import numpy as np
import pytest

from mmfer.face import occlude as occluders
from mmfer.face.occlude import PLACES, SHAPES, SURFACES, hidden_shares, occlude
from mmfer.face.points import MOUTH, PARTS
from tests.faces import rendered_faces


@pytest.fixture(scope="module")
def face():
    images, landmarks = rendered_faces()
    return images[0], landmarks[0], images[4]


def view_of(points):
    return occluders._view(points)


def hidden_by(face, points, other, seed, monkeypatch=None, **only):
    for name, kept in only.items():
        table = getattr(occluders, name)
        values = {kept: 1.0} if name == "PLACES" else {kept: table[kept]}
        monkeypatch.setattr(occluders, name, values)
    return occlude(face, points, other, np.random.default_rng(seed))


def test_only_hidden_pixels_change_and_wholly_hidden_ones_show_nothing_of_the_face(face, monkeypatch):
    image, points, other = face
    for seed in range(20):
        seen, hidden = hidden_by(image, points, other, seed)
        assert seen.dtype == np.uint8
        assert (hidden.min() >= 0) & (hidden.max() <= 1)
        assert (seen[hidden == 0] == image[hidden == 0]).all()
    # One surface, so that it alone decides: two faces that differ everywhere look the same where they are hidden.
    seen, hidden = hidden_by(image, points, other, 3, monkeypatch, SURFACES="patch")
    darker, again = hidden_by(image // 2, points, other, 3)
    np.testing.assert_array_equal(hidden, again)
    assert (hidden == 1).any()
    np.testing.assert_array_equal(seen[hidden == 1], darker[hidden == 1])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("place", ["mouth", "eyes"])
def test_a_place_is_hidden_more_than_the_others(face, monkeypatch, place, shape):
    image, points, other = face
    monkeypatch.setattr(occluders, "SECOND", 0.0)
    monkeypatch.setattr(occluders, "PLACES", {place: 1.0})
    monkeypatch.setattr(occluders, "SHAPES", {shape: SHAPES[shape]})
    shares = [hidden_shares(hidden_by(image, points, other, seed)[1], points) for seed in range(60)]
    mean = dict(zip(PARTS, np.mean(shares, axis=0), strict=True))
    assert mean[place] > 0.4
    assert mean[place] > 2 * mean["eyes" if place == "mouth" else "mouth"]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_wall_hides_its_side(face, monkeypatch, side):
    image, points, other = face
    monkeypatch.setattr(occluders, "SECOND", 0.0)
    for seed in range(10):
        _, hidden = hidden_by(image, points, other, seed, monkeypatch, PLACES=side, SHAPES="cover")
        columns = hidden.mean(axis=0)
        assert (columns[:6] if side == "left" else columns[-6:]).mean() > 0.9
        assert (columns[-6:] if side == "left" else columns[:6]).mean() < 0.1


def test_the_frame_of_the_face_turns_and_grows_with_it(face):
    points = face[1]
    angle, size, shift = np.deg2rad(20), 1.2, np.array([3.0, -2.0])
    turn = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    one, other = view_of(points), view_of(points @ turn.T + shift)
    np.testing.assert_allclose(other.points, one.points, atol=1e-4)
    assert other.unit == pytest.approx(size * one.unit, rel=1e-4)
    eyes = one.points[[36, 37, 38, 39, 40, 41]].mean(axis=0), one.points[42:48].mean(axis=0)
    np.testing.assert_allclose(eyes, [[-0.5, 0], [0.5, 0]], atol=1e-4)
    x, y = np.round(points[MOUTH].mean(axis=0)).astype(int)  # a pixel's coordinates are those of the point it shows
    here = np.array([one.u[y, x], one.v[y, x]])
    np.testing.assert_allclose(here, one.points[MOUTH].mean(axis=0), atol=0.7 / one.unit)


def test_a_face_whose_eyes_are_in_one_point_has_a_frame(face):
    points = face[1].copy()
    points[36:48] = [20.0, 18.0]
    view = view_of(points)
    assert (view.u[18, 26] - view.u[18, 20], view.v[24, 20] - view.v[18, 20]) == (1.0, 1.0)  # units of six pixels


def test_shares_are_those_of_the_points(face):
    points = np.tile([5.0, 5.0], (68, 1))
    points[48:58] = 40.0  # half of the mouth's points
    points[0] = [-9.0, 70.0]  # outside: the nearest pixel counts
    hidden = np.zeros((48, 48))
    hidden[40, 40], hidden[47, 0] = 1.0, 0.5
    shares = dict(zip(PARTS, hidden_shares(hidden, points), strict=True))
    assert shares == {"brows": 0, "eyes": 0, "nose": 0, "mouth": 0.5, "jaw": pytest.approx(0.5 / 17)}


def test_even_surfaces_are_never_of_the_mean_grey_that_tests_hide_with(face):
    image, rng = face[0], np.random.default_rng(0)
    for picture in (image, np.full((48, 48), 250, np.uint8), np.zeros((48, 48), np.uint8)):
        levels = np.array([occluders._level(picture, rng) for _ in range(400)])
        assert np.abs(levels - picture.mean()).min() >= 20
        assert (levels.min() >= 0) & (levels.max() <= 255)


def test_every_place_shape_and_surface_is_drawn_and_the_same_seed_draws_the_same(face):
    image, points, other = face
    one, again = (hidden_by(image, points, other, 5) for _ in range(2))
    np.testing.assert_array_equal(one[0], again[0])
    seen = np.stack([hidden_by(image, points, other, seed)[0] for seed in range(30)])
    assert len(np.unique(seen.reshape(30, -1), axis=0)) == 30
    assert sum(PLACES.values()) == pytest.approx(1)
    for name, surface in SURFACES.items():
        assert surface(image, other, np.random.default_rng(0)).shape == (48, 48), name
