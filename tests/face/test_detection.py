"""The detector on rendered faces, whose landmarks are known, and on what is none."""

import cv2
import dlib
import numpy as np
import pytest

from mmfer.config import CleanParams
from mmfer.errors import MmferError
from mmfer.face import yunet
from mmfer.face.detection import find_faces, predict_landmarks
from mmfer.face.points import EYES, MIRROR, NOSE
from mmfer.face.yunet import model_file
from tests.faces import FACES, rendered_faces

INNER = np.r_[NOSE, EYES]  # the points that the predictor and the renderer mean alike
DETECTOR = dlib.get_frontal_face_detector()
BY_YUNET = CleanParams(detector="yunet", threshold=0.5)
BOTH = pytest.mark.parametrize("params", [CleanParams(), BY_YUNET], ids=["dlib", "yunet"])
HALF_A_PIXEL = 0.12  # less than the quarter that a wrong centre of pixels costs at twice the size


@pytest.fixture(scope="module")
def found():
    """Images of faces (42, 48, 48), their true landmarks, scores, landmarks found."""
    images, truth = rendered_faces()
    return images[:FACES], truth, *find_faces(images[:FACES], CleanParams(), 2)[:2]


def by_dlib(image, threshold):
    """dlib's detections in an enlarged image with a border of black, and that image."""
    large = np.zeros((120, 120), np.uint8)
    large[12:108, 12:108] = cv2.resize(image, (96, 96), interpolation=cv2.INTER_LINEAR)
    boxes, scores, _ = DETECTOR.run(large, 0, threshold)
    return list(zip(scores, boxes, strict=True)), large


@BOTH
def test_landmarks_are_where_the_renderer_put_them(params):
    images, truth = rendered_faces()
    scores, landmarks, _ = find_faces(images[:FACES], params, 2)
    assert np.isfinite(scores).all()
    assert (scores.dtype, landmarks.dtype, landmarks.shape) == (np.float32, np.float32, (FACES, 68, 2))
    error = landmarks - truth
    assert np.linalg.norm(error, axis=2).mean() < 1.1
    assert np.linalg.norm(error[:, INNER], axis=2).mean() < 0.7
    assert abs(error[:, INNER, 0].mean()) < HALF_A_PIXEL
    assert abs(error[:, INNER, 1].mean()) < 0.25  # the predictor sees eyes and nose a little higher


def mirrored_mean(landmarks, of_mirrored):
    """Mean x of points in the middle between those of a face and those of its mirror image."""
    return (landmarks[..., 0] + of_mirrored[:, MIRROR, 0]).mean() / 2


@BOTH
def test_landmarks_of_a_mirrored_face_are_the_mirror_image_about_the_middle_of_the_pixels(params):
    images = rendered_faces()[0][:FACES]
    (_, landmarks, _), (_, of_flipped, _) = (find_faces(some, params, 2) for some in (images, images[:, :, ::-1]))
    assert mirrored_mean(landmarks, of_flipped) == pytest.approx(23.5, abs=0.1)


def test_landmarks_predicted_again_in_a_given_box_are_right_of_a_mirrored_face_too():
    images, truth = rendered_faces()[0][:FACES], rendered_faces()[1]
    flipped = np.ascontiguousarray(images[:, :, ::-1])
    boxes = np.concatenate([truth.min(axis=1), truth.max(axis=1)], axis=1)
    of_flipped = predict_landmarks(flipped, boxes[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [47, 0, 47, 0])
    again = predict_landmarks(images, boxes)
    assert mirrored_mean(again, of_flipped) == pytest.approx(23.5, abs=0.1)
    error = again - truth
    assert np.linalg.norm(error[:, INNER], axis=2).mean() < 0.8
    assert np.abs(error[:, INNER].mean(axis=(0, 1))).max() < 0.25


def test_scores_are_dlibs_and_a_face_below_the_threshold_is_none(found):
    images, _, scores, _ = found
    for image, score in zip(images[:4], scores, strict=False):
        assert score == pytest.approx(max(value for value, _ in by_dlib(image, 0.0)[0]), abs=1e-5)
    threshold = float(np.sort(scores[:20])[9:11].mean())
    strict, *_ = find_faces(images[:20], CleanParams(threshold=threshold), 1)
    np.testing.assert_array_equal(np.isfinite(strict), scores[:20] > threshold)
    lenient, *_ = find_faces(images[:20], CleanParams(threshold=-1.0), 1)
    np.testing.assert_array_equal(lenient, scores[:20])


def test_where_no_face_is_found_the_landmarks_are_fitted_to_the_whole_image(shape_predictor):
    noise = rendered_faces()[0][FACES:]
    scores, landmarks, _ = find_faces(noise, CleanParams(), 1)
    assert np.isnan(scores).all()
    for image, points in zip(noise, landmarks, strict=True):
        found, large = by_dlib(image, 0.0)
        assert not found
        parts = shape_predictor(large, dlib.rectangle(12, 12, 107, 107)).parts()
        expected = [((part.x - 12 + 0.5) / 2 - 0.5, (part.y - 12 + 0.5) / 2 - 0.5) for part in parts]
        np.testing.assert_allclose(points, expected, atol=1e-5)


def test_the_best_of_several_detections_counts(shape_predictor):
    rows = [image for image in rendered_faces()[0][:20] if len(by_dlib(image, -1.5)[0]) > 1][:3]
    assert rows
    scores, landmarks, _ = find_faces(np.stack(rows), CleanParams(threshold=-1.5), 1)
    for image, score, points in zip(rows, scores, landmarks, strict=True):
        found, large = by_dlib(image, -1.5)
        best, box = max(found, key=lambda pair: pair[0])
        assert score == pytest.approx(best, abs=1e-5)
        part = shape_predictor(large, box).part(30)
        np.testing.assert_allclose(points[30], [(part.x - 11.5) / 2 - 0.5, (part.y - 11.5) / 2 - 0.5], atol=1e-5)


def surest_of_yunet(image, side, border):
    """OpenCV's own find in an enlarged image with a border of black: score, x, y, width, height; and that image."""
    large = cv2.copyMakeBorder(cv2.resize(image, (side, side)), *[border] * 4, cv2.BORDER_CONSTANT)
    size = (side + 2 * border, side + 2 * border)
    found = cv2.FaceDetectorYN.create(str(model_file()), "", size, 0.02).detect(np.dstack([large] * 3))[1]
    return max((row[14], *row[:4]) for row in found), large


@pytest.mark.parametrize(("side", "border"), [(96, 12), (144, 24)])
def test_landmarks_are_fitted_in_the_box_that_dlib_would_have_drawn_around_the_face_of_yunet(
    side, border, shape_predictor
):
    images = rendered_faces()[0][:8]
    scores, landmarks, _ = find_faces(images, BY_YUNET.model_copy(update={"detect_px": side, "border_px": border}), 1)
    for image, score, points in zip(images, scores, landmarks, strict=True):
        (best, x, y, width, height), large = surest_of_yunet(image, side, border)
        assert score == pytest.approx(best, abs=1e-5)
        centre, half = (x + width / 2, y + 0.557 * height), 0.917 * height / 2  # docs/predict.md
        box = [round(place - half) for place in centre] + [round(place + half) - 1 for place in centre]
        parts = shape_predictor(large, dlib.rectangle(*box)).parts()
        expected = np.array([(part.x - border + 0.5, part.y - border + 0.5) for part in parts]) * 48 / side - 0.5
        np.testing.assert_allclose(points, expected, atol=1e-4)


def test_a_face_below_the_threshold_of_yunet_is_none_nor_is_noise():
    images = rendered_faces()[0]
    scores, landmarks, _ = find_faces(images, BY_YUNET, 2)
    assert np.isnan(scores[FACES:]).all()
    np.testing.assert_array_equal(landmarks[FACES:], find_faces(images[FACES:], CleanParams(), 1)[1])
    threshold = float(np.sort(scores[:FACES])[9:11].mean())
    strict, *_ = find_faces(images[:FACES], BY_YUNET.model_copy(update={"threshold": threshold}), 1)
    np.testing.assert_array_equal(np.isfinite(strict), scores[:FACES] > threshold)


def test_the_model_of_yunet_is_needed_where_it_is_asked_for_and_only_there(monkeypatch):
    def missing():
        raise MmferError("YuNet's model is missing")

    monkeypatch.setattr(yunet, "load_model", missing)
    face = rendered_faces()[0][:1]
    assert np.isfinite(find_faces(face, CleanParams(), 1)[0]).all()
    with pytest.raises(MmferError, match="YuNet's model is missing"):
        find_faces(face, BY_YUNET, 1)


@BOTH
def test_any_number_of_workers_finds_the_same(params):
    images = rendered_faces()[0]
    for one, three in zip(find_faces(images, params, 1), find_faces(images, params, 3), strict=True):
        np.testing.assert_array_equal(one, three)
