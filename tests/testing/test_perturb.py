"""Perturbed test faces: what is hidden and moved; found, aligned and described again; the rows in their order."""

import numpy as np
import pytest

from mmfer.config import ExtractParams, PerturbParams
from mmfer.face.hog import hog
from mmfer.testing.corruptions import CORRUPTIONS
from mmfer.testing.perturb import conditions, distort_colour, drawn_rows, hide, lighten, move, write_perturbed
from tests.tiny import write_tiny

PARAMS = PerturbParams(images=None, severities=[1, 5])


@pytest.fixture
def face(rng):
    return rng.integers(1, 255, (48, 48), dtype=np.uint8)


def test_hiding_paints_the_box_around_the_landmarks_and_nothing_else(face):
    points = np.array([[10.2, 20.0], [18.0, 24.7]])
    hidden = hide(face, points)
    box = np.s_[18:28, 8:21]  # 2 px beyond each side
    assert (hidden[box] == round(face.mean())).all()
    hidden[box] = face[box]
    assert (hidden == face).all()


def test_hiding_at_the_border_stays_inside(face):
    assert hide(face, np.array([[-5.0, -3.0], [60.0, 1.0]])).shape == (48, 48)


def test_light_is_added_and_cut_at_white_and_black():
    assert lighten(np.array([[0, 100, 250]], np.uint8), 0.1).tolist() == [[25, 125, 255]]
    assert lighten(np.array([[0, 100, 250]], np.uint8), -0.1).tolist() == [[0, 74, 224]]


def test_a_colour_distortion_keeps_black_white_and_the_order_of_greys(rng):
    ramp = np.arange(256, dtype=np.uint8)[None]
    seen = distort_colour(ramp, 2.0, rng)[0].astype(int)
    assert (seen[0], seen[-1]) == (0, 255)
    assert (np.diff(seen) >= 0).all()
    assert (distort_colour(ramp, 1.0, rng) == ramp).all()


def test_a_shift_moves_the_picture(face):
    moved = move(face, 0, (3, 2))
    assert (moved[2:, 3:] == face[:-2, :-3]).all()


def test_a_turn_of_a_right_angle_is_that_of_numpy(face):
    assert (move(face, 90, (0, 0)) == np.rot90(face)).all()


def test_every_condition_is_there():
    names = list(conditions(PARAMS))
    assert names[0] == "clean"
    assert len(names) == 9 + 15 * 2
    assert all(f"{name} 5" in names for name in CORRUPTIONS)


@pytest.mark.parametrize("folds", [0, 4])
def test_rows_are_the_test_faces_under_each_condition_in_one_order(tmp_path, folds):
    data = write_tiny(tmp_path / "data", folds=folds)
    result = write_perturbed(data, data / "perturbed", PARAMS, 1)
    each = 60 if folds else 12
    names = list(conditions(PARAMS))
    assert list(result.index["condition"]) == [name for name in names for _ in range(each)]
    assert (
        result.index["parent"].to_numpy().reshape(len(names), each) == result.index["parent"][:each].to_numpy()
    ).all()
    assert np.isfinite(result.landmarks).all()
    np.testing.assert_array_equal(result.hog, hog(result.images, ExtractParams()).astype(np.float16))
    assert not result.index["found"].any()  # these pictures are no faces: the plain frame is what remains
    raw = np.load(data / "raw" / "images.npy")
    assert (result.images[:each] == raw[result.index["parent"][:each]]).all()


def test_the_same_bytes_come_out_for_one_or_two_workers_and_a_draw_is_a_part_of_all(tmp_path):
    data = write_tiny(tmp_path / "data")
    params = PerturbParams(images=10, severities=[3])
    one, two = (write_perturbed(data, data / f"p{n}", params, n) for n in (1, 2))
    assert (one.images == two.images).all()
    everything = write_perturbed(data, data / "all", params.model_copy(update={"images": None}), 1)
    drawn = np.isin(everything.index["parent"], one.index["parent"])
    assert (everything.images[drawn] == one.images).all()
    assert len(drawn_rows(everything.index[everything.index["condition"] == "clean"], params)) == 10
