"""Pictures in which a photo is searched: boxes found in them lie where they should in the photo."""

import numpy as np
import pytest

from mmfer.data.cutting import cut_square
from mmfer.face.views import ROOM, cut_fast, mosaic, scaled


def marked(height, width, spots):
    """A black photo with a white square of 10 px around each spot (x, y)."""
    photo = np.zeros((height, width, 3), np.uint8)
    for x, y in spots:
        photo[y - 5 : y + 5, x - 5 : x + 5] = 255
    return photo


def white_boxes(picture, tile):
    """The box of what is white in each tile of a mosaic, row by row, in its pixels."""
    boxes = []
    for top in range(0, picture.shape[0], tile):
        for left in range(0, picture.shape[1], tile):
            y, x = np.nonzero(picture[top : top + tile, left : left + tile, 0] > 127)
            boxes.append([left + x.min(), top + y.min(), left + x.max() + 1, top + y.max() + 1])
    return np.array(boxes, float)


@pytest.mark.parametrize("side", [100, 400])
def test_boxes_of_a_scaled_photo_are_where_they_were(side):
    view = scaled(marked(150, 200, [(60, 40)]), side)
    assert max(view.picture.shape) == side
    np.testing.assert_allclose(view.back(white_boxes(view.picture, side))[0], [55, 35, 65, 45], atol=2)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 10])
def test_what_lies_in_a_tile_comes_from_around_its_box(count):
    """Boxes of 20 and 40 px, whose middles are marked; the last at the photo's corner."""
    spots = [(30 + 90 * (n % 4), 30 + 90 * (n // 4)) for n in range(count - 1)] + [(395, 295)]
    halves = [10 * (1 + n % 2) for n in range(count)]
    boxes = np.array([[x - h, y - h, x + h, y + h] for (x, y), h in zip(spots, halves, strict=True)], float)
    view = mosaic(marked(300, 400, spots), boxes, 64)
    height, width = view.picture.shape[:2]
    assert height % 64 == width % 64 == 0
    assert height * width // 64**2 < count + max(height, width) // 64  # less than a row is left over
    found = view.back(white_boxes(view.picture, 64))
    wanted = np.resize([[x - 5, y - 5, x + 5, y + 5] for x, y in spots], found.shape)
    inside = wanted[:, 2] < 400  # the last square goes on where the photo ends
    np.testing.assert_allclose(found[:, :2], wanted[:, :2], atol=1)
    np.testing.assert_allclose(found[inside], wanted[inside], atol=1)


def test_a_tile_shows_so_many_sides_of_its_box():
    photo = np.zeros((300, 400, 3), np.uint8)
    photo[90:170, 160:220] = 255  # 60 x 80
    view = mosaic(photo, np.array([[160.0, 90, 220, 170]]), 128)
    assert view.picture.shape == (128, 128, 3)
    (left, top, right, bottom), scale = white_boxes(view.picture, 128)[0], 128 / (ROOM * 80)
    np.testing.assert_allclose([right - left, bottom - top], [60 * scale, 80 * scale], atol=1)


def test_a_box_over_two_tiles_belongs_to_that_of_its_middle():
    boxes = np.array([[100.0, 100, 120, 120], [200, 200, 220, 220]])
    view = mosaic(np.zeros((300, 400, 3), np.uint8), boxes, 64)
    (box,) = view.back(np.array([[50.0, 22, 70, 42]]))  # 64: the border; its middle lies in the first
    np.testing.assert_allclose(box, [90 + 50 * 40 / 64, 90 + 22 * 40 / 64, 90 + 70 * 40 / 64, 90 + 42 * 40 / 64])


@pytest.mark.parametrize("place", [(10, 20, 50), (10, 20, 30), (-5, 20, 50), (60, 60, 60), (0, 0, 100)])
def test_a_square_is_the_same_bits_whether_it_is_copied_or_not(place, rng):
    photo = rng.integers(0, 256, (100, 110, 3), dtype=np.uint8)
    for picture in (photo, photo[..., 0].copy()):
        np.testing.assert_array_equal(cut_fast(picture, *place, 48), cut_square(picture, *place, 48))
