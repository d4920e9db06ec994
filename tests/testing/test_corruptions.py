"""The fifteen corruptions: each spoils a face, more so the more severe, and is the same for the same generator."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from mmfer.testing.corruptions import CORRUPTIONS, SEVERITIES, corrupt, motion_blur, plasma, zoom_blur


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


def still(**values):
    """A generator that draws nothing: uniform returns the given value."""
    return SimpleNamespace(**{name: lambda *arguments, value=value: value for name, value in values.items()})


def test_salt_and_pepper_are_equally_frequent():
    grey = np.full((48, 48), 128, np.uint8)
    seen = np.stack([corrupt(grey, "impulse_noise", 5, np.random.default_rng(seed)) for seed in range(20)])
    assert (seen == 255).mean() == pytest.approx(0.035, rel=0.1)
    assert (seen == 0).mean() == pytest.approx(0.035, rel=0.1)


def test_fewer_pixels_are_seen_in_both_directions(rng):
    noise = rng.integers(0, 256, (48, 48), dtype=np.uint8)
    seen = corrupt(noise, "pixelate", 5, rng)
    assert len(np.unique(seen, axis=0)) == len(np.unique(seen.T, axis=0)) == round(0.65 * 48)


@pytest.mark.parametrize("angle", [0.0, 45.0, -30.0])
def test_motion_smears_a_dot_along_the_angle_with_the_tail_of_a_gaussian(angle):
    dot = np.zeros((48, 48))
    dot[24, 24] = 1
    seen = motion_blur(dot, (6, 2.0), still(uniform=angle))
    weights = np.exp(-(np.arange(13.0) ** 2) / 8)
    weights /= weights.sum()
    rows, columns = np.mgrid[:48, :48]
    away = (weights * np.arange(13)).sum()
    direction = np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))])
    centre = np.array([(seen * columns).sum(), (seen * rows).sum()]) / seen.sum()
    np.testing.assert_allclose(centre, 24 + away * direction, atol=0.05)
    if angle == 0:
        np.testing.assert_allclose(seen[24, 24:37], weights, atol=1e-6)


def test_zoom_moves_things_outwards(rng):
    dot = np.zeros((48, 48))
    dot[10:13, 10:13] = 1
    columns = np.mgrid[:48, :48][1]
    seen = zoom_blur(dot, 1.26, rng)
    assert (seen * columns).sum() / seen.sum() < 11 - 0.8


def test_fog_keeps_the_white_and_shrinks_the_range_frost_darkens(rng):
    grey = np.full((48, 48), 128, np.uint8)
    mist = corrupt(grey, "fog", 5, rng) / 255  # (face + 1.5 mist) white / (white + 1.5), the mist from 0 to 1
    assert mist.max() == pytest.approx(0.5, abs=0.01)
    assert mist.min() == pytest.approx(0.25 / 2, abs=0.01)
    assert corrupt(grey, "frost", 5, rng).min() / 255 == pytest.approx(0.75 * 0.5, abs=0.01)


def test_snow_whitens_and_falls_from_two_sides(rng):
    black = np.zeros((48, 48), np.uint8)
    snow = corrupt(black, "snow", 5, rng)
    assert snow.min() == pytest.approx(255 * 0.2 * 0.5, abs=0.6)
    assert snow.max() > 70
    assert (snow == snow[::-1, ::-1]).all()


def test_an_elastic_transform_is_an_affinity_at_first_and_then_a_field(rng):
    rows, columns = np.mgrid[:48, :48]
    plane = (2.0 * columns + rows + 40).astype(np.uint8)

    def bent(severity):
        seen = corrupt(plane, "elastic_transform", severity, np.random.default_rng(1))[8:-8, 8:-8].astype(float)
        assert np.abs(seen - plane[8:-8, 8:-8]).mean() > 0.5
        design = np.stack([np.ones(1024), *np.mgrid[:32, :32].reshape(2, -1)], axis=1)
        return np.abs(seen.ravel() - design @ np.linalg.lstsq(design, seen.ravel(), rcond=None)[0]).mean()

    assert bent(1) < 0.5  # rounding alone
    assert bent(5) > 0.75
