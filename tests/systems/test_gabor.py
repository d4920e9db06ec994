"""Gabor values against filters made by scikit-image and convolved by scipy; what the filters answer to."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import gabor_kernel

from mmfer.systems import system_params
from mmfer.systems.gabor import ORIENTATIONS, WAVELENGTHS, filter_bank, gabor_values, responses
from mmfer.training.models import load_model, save_model

MADE_BY = {"stage": "extract", "params": {}}


def by_hand(image, wavelength, orientation):
    """Mean magnitudes (8, 8) of one filter: a kernel of scikit-image less its mean, scipy's convolution in space."""
    sigma = 0.56 * wavelength
    kernel = gabor_kernel(1 / wavelength, theta=orientation, sigma_x=sigma, sigma_y=sigma, n_stds=5)
    middle, reach = len(kernel) // 2, int(np.ceil(3 * sigma))
    kernel = kernel[middle - reach : middle + reach + 1, middle - reach : middle + reach + 1]
    envelope = np.abs(kernel)
    kernel = (kernel - kernel.sum().real * envelope / envelope.sum()) / envelope.sum()
    parts = [ndimage.convolve(image, part, mode="mirror") for part in (kernel.real, kernel.imag)]
    return np.hypot(*parts).reshape(8, 6, 8, 6).mean(axis=(1, 3))


FILTERS = [(0, 0), (0, 3), (1, 1), (1, 2), (1, 6), (2, 4), (2, 7), (3, 5), (4, 0), (4, 3)]


@pytest.mark.parametrize(("scale", "orientation"), FILTERS)
def test_values_are_those_of_a_plain_convolution(rng, scale, orientation):
    image = rng.normal(size=(48, 48))
    values = gabor_values(image[None].astype(np.float32)).reshape(5, 8, 8, 8)[scale, orientation]
    np.testing.assert_allclose(values, by_hand(image, WAVELENGTHS[scale], ORIENTATIONS[orientation]), atol=1e-6)


def test_a_point_shows_the_filter():
    """Response to a single bright pixel: the filter itself, turned by half a turn, here computed point by point."""
    image = np.zeros((1, 48, 48), np.float32)
    image[0, 24, 24] = 1
    wavelength, theta = 4.0, np.pi / 8
    response = responses(image, *filter_bank(wavelength))[0, 1]
    y, x = np.mgrid[-7:8, -7:8]
    envelope = np.exp(-(x**2 + y**2) / (2 * (0.56 * wavelength) ** 2))
    kernel = envelope * np.exp(2j * np.pi * (x * np.cos(theta) + y * np.sin(theta)) / wavelength)
    kernel = (kernel - kernel.real.sum() / envelope.sum() * envelope) / envelope.sum()
    np.testing.assert_allclose(response[17:32, 17:32], kernel[::-1, ::-1], atol=1e-6)
    assert np.abs(response).sum() == pytest.approx(np.abs(kernel).sum(), rel=1e-4)


def test_a_face_has_2560_values_whatever_the_batch(rng):
    images = rng.normal(size=(70, 48, 48)).astype(np.float32)
    values = gabor_values(images)
    assert (values.shape, values.dtype) == ((70, 2560), np.float32)
    np.testing.assert_allclose(gabor_values(images[66:]), values[66:], atol=1e-6)


@pytest.mark.parametrize("scale", range(5))
@pytest.mark.parametrize("orientation", range(8))
def test_a_grating_is_answered_by_its_own_filter(scale, orientation):
    y, x = np.mgrid[:48, :48]
    theta = ORIENTATIONS[orientation]
    grating = np.cos(2 * np.pi / WAVELENGTHS[scale] * (x * np.cos(theta) + y * np.sin(theta)))
    means = gabor_values(grating[None].astype(np.float32)).reshape(5, 8, 8, 8)[:, :, 3:5, 3:5].mean(axis=(2, 3))
    assert np.unravel_index(means.argmax(), means.shape) == (scale, orientation)


def test_even_brightness_gives_nothing():
    assert np.abs(gabor_values(np.full((1, 48, 48), 5, np.float32))).max() < 1e-5


def gratings(rng, n):
    """Noisy upright, level and oblique gratings (n, 1, 48, 48) and their classes."""
    y, x = np.mgrid[:48, :48]
    labels = np.arange(n) % 3
    theta = labels[:, None, None] * np.pi / 3
    waves = np.sin(2 * np.pi / 8 * (x * np.cos(theta) + y * np.sin(theta)) + rng.uniform(0, 6, (n, 1, 1)))
    return (waves + rng.normal(size=(n, 48, 48)))[:, None].astype(np.float32), labels


@pytest.mark.parametrize("block", [{"components": 8}, {"components": None, "kernel": "linear", "c": 0.01}])
def test_it_learns_gratings_and_survives_its_file(tmp_path, rng, block):
    system, params = system_params("gabor", block)
    built = system.build(params, 3)
    (train, labels), (test, truth) = gratings(rng, 45), gratings(rng, 30)
    built.fit({"image": train}, labels)
    scores = built.predict_proba({"image": test})
    np.testing.assert_array_equal(scores.argmax(axis=1), truth)
    facts = {
        "format": 1,
        "system": "gabor",
        "dataset": "made",
        "params": block,
        "classes": list("abc"),
        "made_by": MADE_BY,
    }
    save_model(tmp_path / "model", facts, built)
    loaded = load_model(tmp_path / "model").system
    np.testing.assert_allclose(loaded.predict_proba({"image": test}), scores, atol=1e-6)
