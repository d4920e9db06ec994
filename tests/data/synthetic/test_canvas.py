"""Drawing in units of the plane: places and areas are those of geometry, at any resolution."""

import numpy as np
import pytest

from mmfer.data.synthetic.canvas import Canvas, Stroke, paint, spline, step


@pytest.mark.parametrize("side", [64, 160])
def test_a_filled_square_has_its_area_and_centre(side):
    canvas = Canvas(side)
    mask = canvas.fill([(-0.5, 0), (0.75, 0), (0.75, 1.25), (-0.5, 1.25)], 0.03)
    pixel = 1 / canvas.scale  # OpenCV paints the pixels that an edge touches
    assert 1.25**2 < mask.sum() * pixel**2 < (1.25 + 2 * pixel) ** 2
    assert (mask * canvas.x).sum() / mask.sum() == pytest.approx(0.125, abs=0.6 * pixel)
    assert (mask * canvas.y).sum() / mask.sum() == pytest.approx(0.625, abs=0.6 * pixel)


def test_whole_pixels_are_the_centres_that_x_and_y_hold():
    canvas = Canvas(10, left=-1, top=2, extent=5)
    points = np.stack(np.broadcast_arrays(canvas.x, canvas.y), axis=-1)
    rows, columns = np.mgrid[:10, :10]
    np.testing.assert_allclose(canvas.pixels(points), np.stack([columns, rows], axis=-1), atol=1e-6)


def test_a_curve_goes_through_its_points_and_along_a_straight_line():
    points = np.array([(0, 0), (1, 2), (3, 1), (4, 4)], float)
    np.testing.assert_allclose(spline(points, 5)[::5], points)
    np.testing.assert_allclose(spline(points, 5, closed=True)[::5], points)
    straight = spline([(0, 0), (1, 1), (2, 2)], 4)
    np.testing.assert_allclose(straight[:, 0], np.arange(9) / 4)
    np.testing.assert_allclose(straight[:, 1], straight[:, 0])


def test_a_spot_has_its_peak_and_width():
    canvas = Canvas(200)
    spot = canvas.spot(0.25, -0.5, 0.3, 0.2)
    assert spot.max() == pytest.approx(1, abs=0.01)
    assert spot.sum() / canvas.scale**2 == pytest.approx(2 * np.pi * 0.3 * 0.2, rel=0.01)


def test_a_stroke_is_drawn_where_it_goes_and_a_faint_one_not_at_all():
    canvas = Canvas(160)
    line = canvas.draw([Stroke(1.0, [(-1, 0), (1, 0)], 0.2, (1, 1))], 0.02)
    pixel = 1 / canvas.scale
    assert 2 * 0.2 < line.sum() * pixel**2 < (2 + 2 * pixel) * (0.2 + 2 * pixel)
    assert not canvas.draw([Stroke(0.03, [(-1, 0), (1, 0)], 0.2)], 0.02).any()


def test_paint_covers_in_part_where_the_mask_is_between_0_and_1(rng):
    image, mask = rng.random((8, 8)), rng.random((8, 8))
    np.testing.assert_allclose(paint(image, mask, 0.25), (1 - mask) * image + mask * 0.25, atol=1e-7)


def test_a_step_goes_from_0_to_1_without_overflow():
    assert step(np.array([-1000.0, 0.0, 1000.0])) == pytest.approx([0, 0.5, 1])
