"""What a network reads: the same of a face, whoever asks; light, place and size drop out, turn stays."""

from types import SimpleNamespace

import cv2
import dlib
import numpy as np
import pytest
import torch

from mmfer.config import CleanParams, EvaluateParams, ExtractParams, PerturbParams
from mmfer.data.faceset import open_faceset
from mmfer.face.augment import random_copies
from mmfer.face.points import move_landmarks
from mmfer.face.prepare import landmark_vector, prepare, standard_image
from mmfer.testing.perturb import write_perturbed
from mmfer.testing.predictions import test_views as views_of
from mmfer.use.predictor import Predictor
from tests.faces import write_faces

NAMES = ("images", "landmarks", "hog")


@pytest.fixture(scope="module", params=["transform", "predict", "yunet"])
def data(request, tmp_path_factory):
    """A data folder for each setting of extract.landmarks, and one in which YuNet found the faces."""
    folder = tmp_path_factory.mktemp("data")
    if request.param == "yunet":
        return write_faces(folder, clean=CleanParams(detector="yunet", threshold=0.5))
    return write_faces(folder, extract=ExtractParams(landmarks=request.param))


def seen_in_training(data, rows):
    """The arrays that training reads of these rows of features."""
    augmented, features = open_faceset(data / "augmented"), open_faceset(data / "features")
    arrays = {"images": augmented.images, "landmarks": features.landmarks, "hog": features.hog}
    return {name: array[rows] for name, array in arrays.items()}


def test_training_evaluation_perturbation_and_prediction_read_the_same_of_a_test_face(data, tmp_path):
    raw, clean, features = (open_faceset(data / name) for name in ("raw", "clean", "features"))
    rows = np.flatnonzero(features.index["split"] == "test")
    parents = features.index["parent"].to_numpy()[rows]
    assert set(clean.index["kept"][parents]) == {True, False}  # both ways are compared
    expected = seen_in_training(data, rows)

    evaluated = next(views_of(raw, clean, features, rows, EvaluateParams()))
    perturbed = write_perturbed(data, tmp_path / "perturbed", PerturbParams(images=None, severities=[1]), 1)
    clean_rows = np.flatnonzero(perturbed.index["condition"] == "clean")
    assert (perturbed.index["parent"].to_numpy()[clean_rows] == parents).all()
    read = []
    facts = {"result": {}, "made_by": features.made_by}
    model = SimpleNamespace(facts=facts, classes=raw.classes, predict=lambda seen: read.append(seen) or np.eye(3)[[0]])
    Predictor(model).predict_faces(raw.images[parents])
    for name in NAMES:
        np.testing.assert_array_equal(evaluated[name], expected[name], f"evaluate, {name}")
        np.testing.assert_array_equal(perturbed.array(name)[clean_rows], expected[name], f"perturb, {name}")
        np.testing.assert_array_equal(read[0][name], expected[name], f"predict, {name}")
        assert evaluated[name].dtype == read[0][name].dtype == expected[name].dtype


def by_dlib(predictor, image, points):
    """The landmarks of a face (48, 48), enlarged twice, in the box of some points; centres of pixels are whole."""
    box = np.round(2 * np.concatenate([points.min(axis=0), points.max(axis=0)]).astype(np.float64)).astype(int)
    found = predictor(cv2.resize(image, (96, 96), interpolation=cv2.INTER_LINEAR), dlib.rectangle(*box.tolist()))
    return (np.array([(point.x, point.y) for point in found.parts()]) + 0.5) / 2 - 0.5


def test_copies_in_training_and_in_testing_obey_the_setting_of_landmarks(data, shape_predictor):
    raw, clean, features = (open_faceset(data / name) for name in ("raw", "clean", "features"))
    augmented, parents = open_faceset(data / "augmented"), features.index["parent"].to_numpy()
    train = np.flatnonzero(features.index["copy"] > 0)[:12]
    test = np.flatnonzero(features.index["split"] == "test")[:6]
    params = EvaluateParams(runs=3, rotate_deg=20.0)
    _, transforms = random_copies(raw, clean, parents[test], np.full(6, 2), params)
    *_, last = views_of(raw, clean, features, test, params)
    seen = {"training": (train, seen_in_training(data, train), augmented.transforms[train])}
    seen["testing"] = test, last, transforms
    for where, (rows, arrays, moves) in seen.items():
        expected = move_landmarks(clean.landmarks[parents[rows]], moves)
        if features.made_by["params"]["landmarks"] == "predict":
            expected = [by_dlib(shape_predictor, *pair) for pair in zip(arrays["images"], expected, strict=True)]
        np.testing.assert_allclose(arrays["landmarks"], expected, atol=1e-4, err_msg=where)


def test_an_image_has_mean_0_and_deviation_1_whatever_its_light(rng):
    image = torch.from_numpy(rng.integers(20, 120, (3, 48, 48), dtype=np.uint8))
    out = standard_image(image)
    assert out.shape == (3, 1, 48, 48)
    torch.testing.assert_close(out.mean(dim=(1, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.std(dim=(1, 2, 3), correction=0), torch.ones(3))
    torch.testing.assert_close(standard_image(image * 2 + 10), out)


def test_an_even_image_is_zero():
    assert standard_image(torch.full((1, 48, 48), 77, dtype=torch.uint8)).abs().max() == 0


def test_landmarks_lose_place_and_size_but_not_turn(rng):
    face = torch.from_numpy(rng.uniform(0, 47, (2, 68, 2))).float()
    vector = landmark_vector(face)
    assert vector.shape == (2, 136)
    torch.testing.assert_close(landmark_vector(2.5 * face + torch.tensor([7.0, -3.0])), vector, atol=1e-5, rtol=0)
    assert (landmark_vector(face.flip(-1)) - vector).abs().max() > 0.1


def test_hog_keeps_its_stored_values(rng):
    stored = torch.from_numpy(rng.random((2, 900)).astype(np.float16))
    assert (prepare({"hog": stored}, ("hog",))["hog"] == stored.float()).all()
