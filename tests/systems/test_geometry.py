"""Shapes against Kabsch's algorithm, five points against a face drawn by hand; what drops out, what is learnt."""

import numpy as np
import pytest
import torch

from mmfer.face.prepare import landmark_vector
from mmfer.systems import system_params
from mmfer.systems.geometry import five_points, procrustes, turned
from mmfer.training.models import load_model, save_model

BLOCKS = [{"shape": shape, "classifier": kind} for shape in ("pdm68", "geo5") for kind in ("lda", "svc")]


def vectors(faces):
    """Landmarks (n, 68, 2) as systems read them, (n, 136)."""
    return landmark_vector(torch.from_numpy(faces)).numpy()


def moved(faces, rng):
    """The same faces, each turned, scaled and shifted at random."""
    n = len(faces)
    angle, scale = rng.uniform(-np.pi, np.pi, n), rng.uniform(0.5, 3, n)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    return faces @ turn.transpose(2, 1, 0) + rng.uniform(-40, 40, (n, 1, 2))


def faces(rng, n, noise=0.02):
    """Landmarks (n, 68, 2) of three classes, which differ in the place of the mouth's corners; and the classes."""
    base = np.random.default_rng(5).normal(size=(68, 2))
    labels = np.arange(n) % 3
    shapes = np.tile(base, (n, 1, 1))
    shapes[:, [48, 54], 1] += 0.5 * labels[:, None]
    return shapes + noise * rng.normal(size=shapes.shape), labels


def kabsch(shape, mean):
    """Rotation of `shape` (68, 2) onto `mean` by singular values, without reflection."""
    u, _, v = np.linalg.svd(shape.T @ mean)
    return shape @ u @ np.diag([1, np.sign(np.linalg.det(u @ v))]) @ v


def test_turning_is_kabschs_rotation(rng):
    shapes, mean = rng.normal(size=(20, 68, 2)), rng.normal(size=(68, 2))
    shapes[10:] = mean * [1, -1]  # mirror images: a reflection would fit better
    shapes = moved(shapes, rng)
    expected = [kabsch(shape, mean).ravel() for shape in shapes]
    np.testing.assert_allclose(turned(shapes.reshape(20, 136), mean.ravel()), expected, atol=1e-9)


def test_aligned_shapes_stay_when_turned_onto_their_mean_again(rng):
    shapes = vectors(moved(faces(rng, 40, noise=0.2)[0], rng))
    aligned = procrustes(shapes)
    np.testing.assert_allclose(turned(aligned, aligned.mean(axis=0)), aligned, atol=1e-5)
    np.testing.assert_allclose(np.square(aligned).sum(axis=1), 68, rtol=1e-5)


def test_procrustes_brings_turned_copies_of_one_face_together(rng):
    copies = moved(np.tile(rng.normal(size=(68, 2)), (30, 1, 1)), rng)
    assert np.ptp(procrustes(vectors(copies)), axis=0).max() < 1e-4


@pytest.mark.parametrize("block", BLOCKS)
def test_position_size_and_turn_drop_out(rng, block):
    system, params = system_params("geometry", block)
    built = system.build(params, 3)
    shapes, labels = faces(rng, 30)
    built.fit({"landmarks": vectors(shapes)}, labels)
    plain, other = ({"landmarks": vectors(s)} for s in (shapes, moved(shapes, rng)))
    np.testing.assert_allclose(built.values(other), built.values(plain), atol=1e-4)
    np.testing.assert_allclose(built.predict_proba(other), built.predict_proba(plain), atol=1e-2)


def test_the_pipeline_keeps_98_percent_of_the_variance_of_the_aligned_shapes(rng):
    system, params = system_params("geometry", {})
    built = system.build(params, 3)
    shapes, labels = faces(rng, 60, noise=0.1)
    built.fit({"landmarks": vectors(moved(shapes, rng))}, labels)
    shares = built.estimator["pca"].explained_variance_ratio_
    assert shares.sum() > 0.98 > shares[:-1].sum()


def test_five_points_of_a_face_drawn_by_hand():
    """Eyes 4 apart, nose tip 3 below their middle, mouth corners 4 below the eyes."""
    face = np.zeros((1, 68, 2))
    face[0, 36:42] = (-1, 0), (1, 0), (0, 1), (0, -1), (0, 0), (0, 0)
    face[0, 42:48] = (4, 0)
    face[0, [30, 48, 54]] = (2, 3), (0, 4), (4, 4)
    lengths, sines, cosines = five_points(face.reshape(1, 136)).reshape(3, 9)
    # eye to nose, mouth right, left; other eye to the same; nose to mouth right, left; mouth right to left
    steps = np.array([(2, 3), (0, 4), (4, 4), (-2, 3), (-4, 4), (0, 4), (-2, 1), (2, 1), (4, 0)])
    np.testing.assert_allclose(lengths, np.hypot(*steps.T) / 4, atol=1e-12)
    np.testing.assert_allclose([cosines, sines], (steps / np.hypot(*steps.T)[:, None]).T, atol=1e-12)


def test_five_points_ignore_position_size_and_turn_but_not_the_nose(rng):
    shapes = rng.normal(size=(10, 68, 2))
    values = five_points(shapes.reshape(10, 136))
    assert values.shape == (10, 27)
    np.testing.assert_allclose(five_points(moved(shapes, rng).reshape(10, 136)), values, atol=1e-9)
    shapes[:, 30] += 0.5
    changed = np.abs(five_points(shapes.reshape(10, 136)) - values).max(axis=0) > 1e-6
    with_nose = np.isin(range(9), [0, 3, 6, 7])
    np.testing.assert_array_equal(changed, np.tile(with_nose, 3))


@pytest.mark.parametrize("block", BLOCKS)
def test_it_learns_mouths_and_survives_its_file(tmp_path, rng, block):
    system, params = system_params("geometry", block)
    built = system.build(params, 3)
    (train, labels), (test, truth) = faces(rng, 60), faces(rng, 30)
    built.fit({"landmarks": vectors(moved(train, rng))}, labels)
    inputs = {"landmarks": vectors(moved(test, rng))}
    scores = built.predict_proba(inputs)
    np.testing.assert_array_equal(scores.argmax(axis=1), truth)
    made_by = {"stage": "extract", "params": {}}
    facts = {
        "format": 1,
        "system": "geometry",
        "dataset": "made",
        "params": block,
        "classes": list("abc"),
        "made_by": made_by,
    }
    save_model(tmp_path / "model", facts, built)
    loaded = load_model(tmp_path / "model").system
    np.testing.assert_allclose(loaded.predict_proba(inputs), scores, atol=1e-6)
