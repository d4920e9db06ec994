"""Perturbed test faces: what is hidden and moved; found, aligned and described again; the rows in their order."""

import json
import shutil

import cv2
import numpy as np
import pytest
from skimage.feature import hog as skimage_hog

from mmfer.config import PerturbParams
from mmfer.data.faceset import open_faceset
from mmfer.errors import MmferError
from mmfer.testing.corruptions import CORRUPTIONS
from mmfer.testing.perturb import (
    conditions,
    distort_colour,
    drawn_rows,
    hide,
    lighten,
    move,
    wear_glasses,
    wear_mask,
    write_perturbed,
)
from tests.faces import rendered_faces, write_faces

PARAMS = PerturbParams(images=None, severities=[1])
TEST_FACES, TEST_NOISE = 9, 2  # rows of the split test (tests/faces.py)


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


def test_a_turn_and_a_shift_move_points_as_opencv_does():
    dot = np.zeros((48, 48), np.uint8)
    dot[10:13, 30:33] = 255
    moved = move(dot, 30, (2, -1))
    matrix = cv2.getRotationMatrix2D((23.5, 23.5), 30, 1)
    weights = cv2.moments(moved)
    centre = np.array([weights["m10"], weights["m01"]]) / weights["m00"]
    np.testing.assert_allclose(centre, matrix @ [31, 11, 1] + [2, -1], atol=0.1)


def grey_at(face, points):
    x, y = np.round(points).astype(int).T
    return face[y, x].astype(int)


def test_glasses_are_dark_before_the_eyes_and_leave_the_mouth():
    for image, points in zip(*(part[:12] for part in rendered_faces()), strict=True):
        worn = wear_glasses(image, points)
        eyes = [points[36:42].mean(axis=0), points[42:48].mean(axis=0)]
        assert (grey_at(worn, np.array(eyes)) == 15).all()
        assert (grey_at(worn, points[36:48]) < 40).all()
        assert (grey_at(worn, points[48:68]) == grey_at(image, points[48:68])).all()
        assert 0.05 < (worn != image).mean() < 0.35


def test_a_mask_is_light_from_nose_to_chin_and_leaves_the_eyes():
    for image, points in zip(*(part[:12] for part in rendered_faces()), strict=True):
        worn = wear_mask(image, points)
        assert (grey_at(worn, points[48:68]) >= 180).all()
        assert (grey_at(worn, points[31:36]) >= 180).all()
        for eye in (points[36:42], points[42:48]):
            assert (grey_at(worn, eye) == grey_at(image, eye)).mean() > 0.8
        inside = worn[(worn != image) & (worn >= 185)]
        assert (inside == 215).mean() > 0.4  # cloth; the folds are darker
        assert (inside < 210).any()


def test_every_condition_is_there():
    names = list(conditions(PerturbParams(severities=[1, 5])))
    assert names[0] == "clean"
    assert len(names) == 11 + 15 * 2
    assert all(f"{name} 5" in names for name in CORRUPTIONS)


@pytest.fixture
def changed(rng):
    """A function: the name of a condition -> a rendered face under it, the face, its true landmarks."""
    image, points = rendered_faces()[0][1], rendered_faces()[1][1]
    changes = conditions(PerturbParams(severities=[1, 5], brightness=0.2, shift_px=5.0, rotate_deg=15.0))
    return lambda name: (changes[name](image, points, rng), image, points)


@pytest.mark.parametrize(
    ("name", "mouth", "eyes"),
    [("mouth hidden", True, False), ("eyes hidden", False, True), ("mouth and eyes hidden", True, True)],
)
def test_mouth_and_eyes_are_hidden_where_the_renderer_drew_them(changed, name, mouth, eyes):
    seen, face, points = changed(name)
    columns, rows = np.round(points).astype(int).T
    grey = np.abs(seen[rows, columns] - face.mean()) < 4  # the second box takes the mean of what the first has left
    for part, hidden in ((np.r_[48:68], mouth), (np.r_[36:48], eyes)):
        assert grey[part].all() == hidden
    assert (seen[rows[:17], columns[:17]] == face[rows[:17], columns[:17]]).mean() > 0.8  # the jaw
    if mouth != eyes:
        above = int((points[48:68] if mouth else points[36:48])[:, 1].min()) - 3
        assert (seen[:above] == face[:above]).all()


def test_light_is_added_and_taken_away(changed):
    for name, sign in (("high brightness", 1), ("low brightness", -1)):
        seen, face, _ = changed(name)
        np.testing.assert_allclose(seen, np.clip(face + sign * 51.0, 0, 255), atol=1)


def test_a_turn_is_of_the_angle_asked_for_to_either_side(changed):
    turns = []
    for _ in range(8):
        seen, face, _ = changed("rotation")
        for angle in (15, -15):
            matrix = cv2.getRotationMatrix2D((23.5, 23.5), angle, 1)
            expected = cv2.warpAffine(face, matrix, (48, 48), borderMode=cv2.BORDER_REPLICATE)
            turns += [angle] if (seen == expected).all() else []
    assert len(turns) == 8
    assert set(turns) == {15, -15}


def test_a_shift_is_as_long_as_asked_for_in_any_direction(rng):
    dot = np.zeros((48, 48), np.uint8)
    dot[22:26, 22:26] = 255
    change, shifts = conditions(PerturbParams(shift_px=5.0))["head shift"], []
    for _ in range(8):
        weights = cv2.moments(change(dot, np.zeros((68, 2)), rng))
        shifts.append([weights["m10"] / weights["m00"] - 23.5, weights["m01"] / weights["m00"] - 23.5])
    np.testing.assert_allclose(np.linalg.norm(shifts, axis=1), 5, atol=0.1)
    assert np.ptp(np.arctan2(*np.transpose(shifts))) > 2


def test_a_corruption_has_the_severity_that_its_condition_names(changed):
    for severity, share in ((1, 0.75), (5, 0.15)):  # the benchmark's
        seen, face, _ = changed(f"contrast {severity}")
        assert seen.std() == pytest.approx(share * face.std(), abs=0.5)


@pytest.fixture(scope="module")
def perturbed(face_data, tmp_path_factory):
    """The test faces of rendered people under every condition, and the raw FaceSet."""
    folder = tmp_path_factory.mktemp("perturbed") / "perturbed"
    return write_perturbed(face_data, folder, PARAMS, 2), open_faceset(face_data / "raw")


def test_rows_are_the_test_faces_under_each_condition_in_one_order(perturbed):
    result, raw = perturbed
    names, tested = list(conditions(PARAMS)), np.flatnonzero(raw.index["split"] == "test")
    assert len(tested) == TEST_FACES + TEST_NOISE
    assert list(result.index["condition"]) == [name for name in names for _ in tested]
    assert (result.index["parent"].to_numpy().reshape(len(names), -1) == tested).all()
    assert (result.index["label"].to_numpy().reshape(len(names), -1) == raw.index["label"][tested].to_numpy()).all()
    assert np.isfinite(result.landmarks).all()


def test_faces_are_found_and_aligned_again_under_each_condition(perturbed):
    result, raw = perturbed
    found, parents = result.index["found"].to_numpy(), result.index["parent"].to_numpy()
    assert found[(result.index["condition"] == "clean") & (parents < 42)].all()
    assert not found[parents >= 42].all()
    places = np.array([[14.5, 18], [32.5, 18], [23.5, 18 + 0.73 * 18]])
    for name in ("clean", "rotation", "head shift", "low brightness"):
        points = result.landmarks[found & (result.index["condition"] == name)]
        assert len(points) >= 4
        three = np.stack([points[:, 36:42].mean(axis=1), points[:, 42:48].mean(axis=1), points[:, 33]], axis=1)
        assert np.abs(three.mean(axis=1) - places.mean(axis=0)).max() < 1e-3
        np.testing.assert_allclose(three.mean(axis=0), places, atol=1.5)
    lost = (result.index["condition"] == "clean") & (parents >= 42)
    assert (result.images[lost] == raw.images[parents[lost]]).all()  # the plain frame is what remains


def test_what_is_stored_is_the_changed_face(perturbed):
    result, _ = perturbed
    grey = result.index.assign(grey=result.images.mean(axis=(1, 2))).groupby("condition")["grey"].mean()
    assert grey["low brightness"] < grey["clean"] - 30 < grey["clean"] + 30 < grey["high brightness"]


def test_images_are_aligned_as_opencv_does(perturbed, face_data):
    result, raw = perturbed
    transforms, how = open_faceset(face_data / "clean").transforms, {"borderMode": cv2.BORDER_REPLICATE}
    for row in np.flatnonzero(result.index["found"] & (result.index["condition"] == "clean")):
        parent = result.index["parent"][row]
        expected = cv2.warpAffine(raw.images[parent], transforms[parent], (48, 48), **how)
        assert np.abs(result.images[row].astype(int) - expected).mean() < 1


def test_hog_is_that_of_what_is_seen(perturbed):
    result, _ = perturbed
    for row in range(0, len(result), 31):
        expected = skimage_hog(result.images[row], 9, (8, 8), (2, 2), block_norm="L2-Hys")
        np.testing.assert_allclose(result.hog[row].astype(np.float32), expected, atol=1e-3)


def test_in_cross_validation_every_face_is_perturbed(tmp_path):
    data = write_faces(tmp_path / "data", folds=4)
    index = open_faceset(data / "clean").index
    assert drawn_rows(index, PerturbParams(images=None)).tolist() == list(range(48))
    drawn = drawn_rows(index, PerturbParams(images=20))
    assert (len(drawn), len(set(drawn)), np.ptp(drawn) > 20) == (20, 20, True)
    assert (drawn_rows(index, PerturbParams(images=20, seed=1)) != drawn).any()


def test_the_same_bytes_come_out_for_any_number_of_workers_and_a_draw_is_a_part_of_all(face_data, tmp_path, perturbed):
    params = PARAMS.model_copy(update={"images": 10})
    drawn = write_perturbed(face_data, tmp_path / "drawn", params, 1)
    everything, _ = perturbed
    part = np.isin(everything.index["parent"], drawn.index["parent"])
    assert part.sum() == 26 * 10
    for name in ("images", "landmarks", "hog"):
        np.testing.assert_array_equal(everything.array(name)[part], drawn.array(name))


@pytest.mark.parametrize(("other", "made"), [("raw", "clean"), ("clean", "features")])
def test_faces_other_than_those_of_the_stages_before_are_refused(face_data, tmp_path, other, made):
    for name in ("raw", "clean", "features"):
        shutil.copytree(face_data / name, tmp_path / name)
    head = json.loads((tmp_path / other / "faceset.json").read_text())
    head["made_by"]["params"] |= {"seed": 99}
    (tmp_path / other / "faceset.json").write_text(json.dumps(head))
    with pytest.raises(MmferError, match=rf"{made}: not made of .*{other} as it is now"):
        write_perturbed(tmp_path, tmp_path / "perturbed", PARAMS, 1)
