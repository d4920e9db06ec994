"""The fifteen common corruptions at five severities (Hendrycks and Dietterich, 2019), for 48x48 grey faces.

Strengths are those of their benchmark for 32x32 pictures (CIFAR-10-C), the set nearest to ours in size. Frost is drawn
here instead of cut from photographs. A function takes one face (48, 48) float64 in 0 to 1, its strength and a
generator, and returns such a face; values beyond 0 to 1 are cut by `corrupt`.
"""

from collections.abc import Callable

import cv2
import numba
import numpy as np
from numpy.random import Generator
from scipy.ndimage import gaussian_filter, map_coordinates, zoom

SEVERITIES = (1, 2, 3, 4, 5)


def is_corruption(condition: str) -> bool:
    """Whether a condition is one of the common corruptions, `<corruption> <severity>`, and not one of the paper's."""
    return condition.rsplit(" ", 1)[0] in CORRUPTIONS


def corrupt(face: np.ndarray, name: str, severity: int, rng: Generator) -> np.ndarray:
    """Face (48, 48) uint8 -> the same under one corruption of severity 1 to 5."""
    function, strengths = CORRUPTIONS[name]
    changed = function(face / 255, strengths[severity - 1], rng)
    return np.round(255 * np.clip(changed, 0, 1)).astype(np.uint8)


def gaussian_noise(face: np.ndarray, deviation: float, rng: Generator) -> np.ndarray:
    """Noise of a sensor in low light."""
    return face + rng.normal(0, deviation, face.shape)


def shot_noise(face: np.ndarray, photons: float, rng: Generator) -> np.ndarray:
    """Light comes in grains: Poisson counts of so many photons at white."""
    return rng.poisson(face * photons) / photons


def impulse_noise(face: np.ndarray, share: float, rng: Generator) -> np.ndarray:
    """Salt and pepper on a share of the pixels."""
    hit, salt = rng.random((2, *face.shape))
    return np.where(hit < share, np.round(salt), face)


def defocus_blur(face: np.ndarray, strength: tuple[float, float], rng: Generator) -> np.ndarray:
    """A disk of some radius, its rim softened."""
    radius, rim = strength
    y, x = np.mgrid[-8:9, -8:9]
    disk = cv2.GaussianBlur((x**2 + y**2 <= radius**2).astype(np.float64), (3, 3), rim)
    return cv2.filter2D(face, -1, disk / disk.sum(), borderType=cv2.BORDER_REFLECT_101)


def glass_blur(face: np.ndarray, strength: tuple[float, int, int], rng: Generator) -> np.ndarray:
    """Pixels swapped with near ones between two blurs."""
    deviation, reach, rounds = strength
    mixed = gaussian_filter(face, deviation)
    _swap(mixed, rng.integers(-reach, reach + 1, (rounds, *face.shape, 2)), reach)
    return gaussian_filter(mixed, deviation)


@numba.njit(nogil=True, cache=True)
def _swap(face: np.ndarray, steps: np.ndarray, reach: int) -> None:  # (48, 48), (rounds, 48, 48, 2)
    """Swap each pixel with the one so many steps away, from the lower right on, in each round."""
    side = len(face)
    for of_round in steps:
        for y in range(side - reach - 1, reach - 1, -1):
            for x in range(side - reach - 1, reach - 1, -1):
                v, u = y + of_round[y, x, 0], x + of_round[y, x, 1]
                face[y, x], face[v, u] = face[v, u], face[y, x]


def motion_blur(face: np.ndarray, strength: tuple[int, float], rng: Generator) -> np.ndarray:
    """A line of some length at an angle of -45 to 45 degrees, fading along it."""
    return _streaked(face, *strength, np.deg2rad(rng.uniform(-45, 45)))


def zoom_blur(face: np.ndarray, end: float, rng: Generator) -> np.ndarray:
    """The mean of the face and enlarged ones, by steps of 1 %."""
    centre = (len(face) - 1) / 2
    scales = np.arange(1, end, 0.01)
    matrices = [cv2.getRotationMatrix2D((centre, centre), 0, scale) for scale in scales]
    return np.mean(
        [face, *(cv2.warpAffine(face, m, face.shape, borderMode=cv2.BORDER_REPLICATE) for m in matrices)], axis=0
    )


def snow(face: np.ndarray, strength: tuple[float, ...], rng: Generator) -> np.ndarray:
    """Flakes drawn out by their fall, over a whitened face."""
    mean, deviation, size, threshold, radius, blur, share = strength
    flakes = _zoomed(rng.normal(mean, deviation, face.shape), size)
    flakes[flakes < threshold] = 0
    flakes = _streaked(np.clip(flakes, 0, 1), int(radius), blur, np.deg2rad(rng.uniform(-135, -45)))
    whitened = share * face + (1 - share) * np.maximum(face, 1.5 * face + 0.5)
    return whitened + flakes + flakes[::-1, ::-1]


def frost(face: np.ndarray, strength: tuple[float, float], rng: Generator) -> np.ndarray:
    """Ice over the lens: ridges of fractal noise, added to a darkened face."""
    kept, ice = strength
    ridges = 1 - 2 * np.abs(plasma(rng, len(face), 1.7) - 0.5)
    return kept * face + ice * ridges**2


def fog(face: np.ndarray, strength: tuple[float, float], rng: Generator) -> np.ndarray:
    """Fractal mist; the range of the face shrinks as the mist is added."""
    amount, decay = strength
    white = face.max()
    return (face + amount * plasma(rng, len(face), decay)) * white / (white + amount)


def brightness(face: np.ndarray, offset: float, rng: Generator) -> np.ndarray:
    """Lighter by an offset."""
    return face + offset


def contrast(face: np.ndarray, share: float, rng: Generator) -> np.ndarray:
    """A share of the contrast, about the mean."""
    return (face - face.mean()) * share + face.mean()


def elastic_transform(face: np.ndarray, strength: tuple[float, float, float], rng: Generator) -> np.ndarray:
    """A random affinity of the corners, then a smooth random field of shifts."""
    side = len(face)
    alpha, deviation, corner = side * np.array(strength)
    middle, third = side / 2, side / 3
    corners = [[middle + third, middle + third], [middle + third, middle - third], [middle - third, middle - third]]
    points = np.array(corners, np.float32)
    moved = points + rng.uniform(-corner, corner, points.shape).astype(np.float32)
    face = cv2.warpAffine(face, cv2.getAffineTransform(points, moved), face.shape, borderMode=cv2.BORDER_REFLECT_101)
    if alpha == 0:
        return face
    shift = [alpha * gaussian_filter(rng.uniform(-1, 1, face.shape), deviation, truncate=3) for _ in range(2)]
    grid = np.mgrid[:side, :side].astype(np.float64)
    return map_coordinates(face, grid + shift, order=1, mode="reflect")


def pixelate(face: np.ndarray, share: float, rng: Generator) -> np.ndarray:
    """Fewer pixels, then as many again."""
    small = cv2.resize(face, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, face.shape, interpolation=cv2.INTER_NEAREST)


def jpeg_compression(face: np.ndarray, quality: int, rng: Generator) -> np.ndarray:
    """Through JPEG of some quality."""
    _, code = cv2.imencode(".jpg", np.round(255 * face).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_GRAYSCALE)) / 255


def plasma(rng: Generator, side: int, decay: float) -> np.ndarray:
    """Fractal noise (side, side) in 0 to 1: octaves of smoothed noise, each `decay` times weaker than the last."""
    total = np.zeros((side, side))
    for octave in range(6):
        coarse = rng.random((2 ** (octave + 1), 2 ** (octave + 1)))
        smooth = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
        total += np.asarray(smooth, np.float64) / decay**octave
    return (total - total.min()) / np.ptp(total)


def _zoomed(picture: np.ndarray, factor: float) -> np.ndarray:
    """The middle of a picture, enlarged."""
    side = len(picture)
    cut = int(np.ceil(side / factor))
    first = (side - cut) // 2
    large = zoom(picture[first : first + cut, first : first + cut], factor, order=1)
    first = (len(large) - side) // 2
    return large[first : first + side, first : first + side]


def _streaked(picture: np.ndarray, radius: int, deviation: float, angle: float) -> np.ndarray:
    """The mean of a picture moved along one angle, weights falling with a Gaussian's tail."""
    along = np.arange(2 * radius + 1)
    weights = np.exp(-(along**2) / (2 * deviation**2))
    moved = [
        cv2.warpAffine(
            picture,
            np.array([[1, 0, a * np.cos(angle)], [0, 1, a * np.sin(angle)]]),
            picture.shape,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for a in along
    ]
    return np.average(moved, axis=0, weights=weights)


# Name: function and its strengths by severity.
CORRUPTIONS: dict[str, tuple[Callable[..., np.ndarray], tuple]] = {
    "gaussian_noise": (gaussian_noise, (0.04, 0.06, 0.08, 0.09, 0.10)),
    "shot_noise": (shot_noise, (500, 250, 100, 75, 50)),
    "impulse_noise": (impulse_noise, (0.01, 0.02, 0.03, 0.05, 0.07)),
    "defocus_blur": (defocus_blur, ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))),
    "glass_blur": (glass_blur, ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2))),
    "motion_blur": (motion_blur, ((6, 1.0), (6, 1.5), (6, 2.0), (8, 2.0), (9, 2.5))),
    "zoom_blur": (zoom_blur, (1.06, 1.11, 1.16, 1.21, 1.26)),
    "snow": (
        snow,
        (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
    ),
    "frost": (frost, ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))),
    "fog": (fog, ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))),
    "brightness": (brightness, (0.05, 0.1, 0.15, 0.2, 0.3)),
    "contrast": (contrast, (0.75, 0.5, 0.4, 0.3, 0.15)),
    "elastic_transform": (
        elastic_transform,
        ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
    ),
    "pixelate": (pixelate, (0.95, 0.9, 0.85, 0.75, 0.65)),
    "jpeg_compression": (jpeg_compression, (80, 65, 58, 50, 40)),
}
