"""The detector on rendered faces, whose landmarks are known, and on what is none."""

import cv2
import dlib
import numpy as np
import pytest

from mmfer.config import CleanParams
from mmfer.face.detection import find_faces, predict_landmarks
from mmfer.face.points import EYES, MIRROR, NOSE
from tests.faces import FACES, rendered_faces

INNER = np.r_[NOSE, EYES]  # the points that the predictor and the renderer mean alike
DETECTOR = dlib.get_frontal_face_detector()
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


def test_landmarks_are_where_the_renderer_put_them(found):
    _, truth, scores, landmarks = found
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


def test_landmarks_of_a_mirrored_face_are_the_mirror_image_about_the_middle_of_the_pixels(found):
    images, truth, _, landmarks = found
    flipped = np.ascontiguousarray(images[:, :, ::-1])
    _, of_flipped, _ = find_faces(flipped, CleanParams(), 2)
    assert mirrored_mean(landmarks, of_flipped) == pytest.approx(23.5, abs=0.1)
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


def test_any_number_of_workers_finds_the_same(found):
    images, _, scores, landmarks = found
    again = find_faces(images, CleanParams(), 3)
    np.testing.assert_array_equal(again[0], scores)
    np.testing.assert_array_equal(again[1], landmarks)
