"""The fifteen corruptions: each spoils a face, more so the more severe, and is the same for the same generator."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from mmfer.testing.corruptions import CORRUPTIONS, SEVERITIES, corrupt, plasma


@pytest.fixture(scope="module")
def face():
    y, x = np.mgrid[:48, :48]
    picture = 120 + 60 * np.sin(x / 5) * np.cos(y / 6) + 30 * ((x - 24) ** 2 + (y - 20) ** 2 < 90)
    return picture.astype(np.uint8)


def test_they_are_the_fifteen_of_the_benchmark():
    assert len(CORRUPTIONS) == 15
    assert all(len(strengths) == 5 for _, strengths in CORRUPTIONS.values())


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_keeps_shape_and_type_and_spoils_more_at_severity_5(face, name):
    def damage(severity):
        seen = [corrupt(face, name, severity, np.random.default_rng(seed)) for seed in range(8)]
        assert all(s.shape == (48, 48) and s.dtype == np.uint8 for s in seen)
        return np.mean([np.abs(s.astype(int) - face).mean() for s in seen])

    assert 0 < damage(1) < 60 or name == "defocus_blur"  # its first disk is a single pixel
    # Elastic transforms trade the affinity of the corners for smoother, denser shifts.
    assert damage(5) > damage(1) or name == "elastic_transform"


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_generator_gives_the_same_face_and_the_original_stays(face, name):
    before = face.copy()
    first, second = (corrupt(face, name, 3, np.random.default_rng(7)) for _ in range(2))
    assert (first == second).all()
    assert (face == before).all()


def test_noise_has_the_strength_of_the_benchmark():
    grey = np.full((48, 48), 128, np.uint8)
    rng = np.random.default_rng(0)
    deviations = [corrupt(grey, "gaussian_noise", s, rng).std() / 255 for s in SEVERITIES]
    np.testing.assert_allclose(deviations, [0.04, 0.06, 0.08, 0.09, 0.10], rtol=0.08)
    shares = [np.mean([corrupt(grey, "impulse_noise", s, rng) != 128 for _ in range(20)]) for s in SEVERITIES]
    np.testing.assert_allclose(shares, [0.01, 0.02, 0.03, 0.05, 0.07], rtol=0.1)
    shot = corrupt(grey, "shot_noise", 5, rng) / 255
    assert shot.std() == pytest.approx(np.sqrt(0.5 / 50), rel=0.08)  # Poisson: variance = mean / photons


def test_contrast_keeps_the_mean_and_brightness_adds(face):
    rng = np.random.default_rng(0)
    low = corrupt(face, "contrast", 4, rng).astype(float)
    assert low.mean() == pytest.approx(face.mean(), abs=0.6)
    assert low.std() == pytest.approx(0.3 * face.std(), abs=0.6)
    assert np.abs(corrupt(face, "brightness", 1, rng) - (face + 0.05 * 255)).max() <= 0.5


def test_blurs_take_away_detail_and_keep_the_mean(face):
    for name in ("defocus_blur", "motion_blur", "zoom_blur", "glass_blur"):
        seen = corrupt(face, name, 5, np.random.default_rng(0)).astype(float)
        assert seen.mean() == pytest.approx(face.mean(), abs=12)
        detail = face - gaussian_filter(face.astype(float), 2)
        assert (seen - gaussian_filter(seen, 2)).std() < detail.std() or name == "glass_blur"


def test_plasma_fills_the_range_and_is_smoother_for_a_higher_decay():
    rough, smooth = (plasma(np.random.default_rng(0), 48, decay) for decay in (1.2, 3.0))
    for mist in (rough, smooth):
        assert (mist.min(), mist.max()) == (0, 1)
    assert np.abs(np.diff(smooth)).mean() < np.abs(np.diff(rough)).mean()
