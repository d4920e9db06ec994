"""The pictures of `mmfer demo`: photos that are changed, and drawings of what was found."""

import cv2
import numpy as np
import pytest

from mmfer.config import ExtractParams
from mmfer.face.hog import hog
from mmfer.face.points import EYES, MOUTH
from mmfer.testing.perturb import hide
from mmfer.use import demo_pictures
from mmfer.use.predictor import Face, Predictor
from tests.use.photos import made_face


@pytest.mark.parametrize(("part", "switch"), [(MOUTH, (True, False)), (EYES, (False, True))])
def test_hiding_paints_the_part_and_nothing_else(rng, part, switch):
    pixels, face = rng.integers(0, 256, (200, 300, 3), dtype=np.uint8), made_face()
    changed = demo_pictures.change_photo(pixels, [face], 0, 1, *switch)
    rows, columns = np.nonzero((changed != pixels).any(axis=-1))
    points = np.array(face.landmarks[part])
    margin = 2 * 1.27 * 80 / 48  # 2 px of the 48 that the network is given
    assert np.abs([columns.min(), rows.min()] - (points.min(axis=0) - margin)).max() <= 2
    assert np.abs([columns.max(), rows.max()] - (points.max(axis=0) + margin)).max() <= 2
    assert len(np.unique(changed[rows, columns])) == 1


def test_at_the_size_of_the_network_hiding_is_that_of_the_robustness_test(rng):
    pixels = rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)
    points = rng.uniform(18, 30, (68, 2))
    face = Face((0, 0, 38, 48), 1.0, points.tolist(), "happy", {"happy": 1.0}, pixels[..., 0])
    hidden = demo_pictures.change_photo(pixels, [face], 0, 1, True, False)
    expected = hide(pixels, points[MOUTH])
    assert ((hidden != pixels) == (expected != pixels)).mean() > 0.99


@pytest.mark.parametrize("left", [-60.0, 270.0, 900.0])
def test_parts_that_leave_the_photo_can_be_hidden(left):
    pixels = np.full((200, 300, 3), 150, np.uint8)
    changed = demo_pictures.change_photo(pixels, [made_face(left=left, top=-70.0)], 0, 1, True, True)
    assert changed.shape == pixels.shape


def test_light_and_contrast():
    pixels = np.full((2, 2, 3), 100, np.uint8)
    assert (demo_pictures.change_photo(pixels, [], 0.2, 1, False, False) == 151).all()
    assert (demo_pictures.change_photo(pixels, [], -0.8, 1, False, False) == 0).all()
    assert (demo_pictures.change_photo(pixels, [], 0, 2, False, False) == 72).all()
    assert (pixels == 100).all()


def test_the_example_shows_three_people_whom_the_network_answers():
    (faces,) = Predictor.load().predict([demo_pictures.example_photo()])
    assert sorted(face.expression for face in faces) == ["angry", "happy", "surprise"]


def test_large_photos_are_scaled_down():
    assert demo_pictures.fit(np.zeros((1000, 3200, 3), np.uint8)).shape == (400, 1280, 3)
    assert demo_pictures.fit(np.zeros((1, 9000, 3), np.uint8)).shape == (1, 1280, 3)
    assert demo_pictures.fit(np.zeros((10, 20, 3), np.uint8)).shape == (10, 20, 3)


def test_pictures_of_a_face(rng):
    image = rng.integers(0, 256, (48, 48), dtype=np.uint8)
    marked = demo_pictures.draw_landmarks(image, rng.uniform(0, 47, (68, 2)))
    strokes = demo_pictures.draw_hog(hog(image[None], ExtractParams())[0], ExtractParams())
    flat = demo_pictures.draw_saliency(image, np.zeros((48, 48), np.float32))
    assert (marked.shape, strokes.shape, flat.shape) == ((480, 480, 3), (480, 480), (480, 480, 3))
    assert strokes.max() > 200
    assert (flat == demo_pictures.enlarge(image)).all()


def test_an_upright_edge_is_an_upright_stroke():
    image = np.zeros((48, 48), np.uint8)
    image[:, 20:] = 200
    strokes = demo_pictures.draw_hog(hog(image[None], ExtractParams())[0], ExtractParams())
    rows, columns = np.nonzero(strokes > 128)
    assert np.ptp(rows) > 400
    assert np.ptp(columns) < 100


def test_saliency_is_orange_where_hiding_costs_and_blue_where_it_adds():
    saliency = np.zeros((48, 48), np.float32)
    saliency[:, :16], saliency[:, 32:] = 0.5, -0.5
    drawn = demo_pictures.draw_saliency(np.full((48, 48), 128, np.uint8), saliency).astype(int)
    assert drawn[240, 40, 0] > drawn[240, 40, 2] + 50
    assert drawn[240, 440, 2] > drawn[240, 440, 0] + 50


@pytest.mark.parametrize(("left", "top"), [(-10.0, -5.0), (290.0, 100.0), (100.0, 190.0)])
def test_labels_stay_in_the_photo(left, top):
    """Of what is painted a label alone is wider than a line; this one is as large as one amid the photo."""
    pixels, areas = np.full((200, 300, 3), 150, np.uint8), []
    for face in (made_face(left=left, top=top), made_face(left=100.0, top=100.0)):
        painted = (demo_pictures.mark_faces(pixels, [face], None) != pixels).any(axis=2)
        areas.append(cv2.erode(painted.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=0).sum())
    assert areas[0] == pytest.approx(areas[1], rel=0.1)
    assert areas[1] > 200
    assert (pixels == 150).all()
