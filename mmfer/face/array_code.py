"""Landmarks, transforms and visibility of faces in few bytes, exactly.

landmarks         where they lie on a grid, as detected ones do, by mmfer.data.shapes; else as `visible`
transforms        what `foretold` says of them is less than they are, in units of their last place, as `visible`
visible           the floats as planes of their first, second, third and fourth bytes, by LZMA
"""

import lzma
import math

import numpy as np

from mmfer.config import CleanParams
from mmfer.data import shapes
from mmfer.data.faceset import FaceSet
from mmfer.face.geometry import CENTRE, NOSE_DROP
from mmfer.face.points import LEFT_EYE, N_POINTS, NOSE_BASE, RIGHT_EYE

FLOATS = {"landmarks": (68, 2), "transforms": (2, 3), "visible": (5,)}  # float32; shape of a row
LZMA_MEMORY = 2**26  # bytes that opening may take; what is written needs 9 MiB


def encode(faces: FaceSet, cleaning: CleanParams) -> dict[str, bytes]:
    """The parts of faces, by name; landmarks begin with 1 where they are on a grid, else with 0."""
    landmarks, found = np.array(faces.landmarks), faces.index["kept"].to_numpy()
    on_grid = shapes.encode(landmarks.reshape(len(landmarks), -1))
    off = _ordinals(faces.transforms) - _ordinals(foretold(landmarks, found, cleaning))
    return {
        "landmarks": b"\1" + on_grid if on_grid else b"\0" + compressed(landmarks),
        "transforms": compressed((off << 1) ^ (off >> 31)),  # signs last: small numbers have small bytes
        "visible": compressed(faces.visible),
    }


def decode(parts: dict[str, bytes], found: np.ndarray, cleaning: CleanParams) -> dict[str, np.ndarray]:
    """The arrays of faces, some of which were found (n,); ValueError names a part that is damaged."""
    landmarks, *others = FLOATS
    arrays = {landmarks: _landmarks(parts[landmarks], landmarks, len(found))}
    arrays |= {name: floats(parts[name], name, (len(found), *FLOATS[name])) for name in others}
    code = arrays["transforms"].view(np.uint32)
    off = (code >> 1).view(np.int32) ^ -(code & 1).view(np.int32)
    arrays["transforms"] = (_ordinals(foretold(arrays["landmarks"], found, cleaning)) + off).view(np.float32)
    return arrays


def _landmarks(code: bytes, name: str, rows: int) -> np.ndarray:
    shape = FLOATS[name]
    if code[:1] != b"\1":
        return floats(code[1:], name, (rows, *shape))
    try:
        return np.concatenate(list(shapes.decode(code[1:], rows, math.prod(shape)))).reshape(rows, *shape)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _ordinals(floats: np.ndarray) -> np.ndarray:
    """Float32 -> int32 that neighbours differ by one in."""
    return np.ascontiguousarray(floats).view(np.int32)


def foretold(landmarks: np.ndarray, found: np.ndarray, params: CleanParams) -> np.ndarray:
    """What `geometry.alignment` gives for landmarks (n, 68, 2) of faces that were found (n,), but for the last bits.

    By steps that every processor takes alike; those of complex numbers and of sums may end in other bits elsewhere.
    """
    half, height = params.eye_distance_px / 2, params.eye_height_px
    nose = height + NOSE_DROP * params.eye_distance_px
    places = ((CENTRE - half, height), (CENTRE + half, height), (CENTRE, nose))
    to_x, to_y = CENTRE, (2 * height + nose) / 3
    with np.errstate(all="ignore"):
        groups = range(N_POINTS)[RIGHT_EYE], range(N_POINTS)[LEFT_EYE], [NOSE_BASE]
        points = [_mean([landmarks[:, k].astype(np.float64) for k in group]) for group in groups]
        centre = _mean(points)
        spread, cos, sin = 0.0, 0.0, 0.0
        for point, (u, v) in zip(points, places, strict=True):
            x, y = (point - centre).T
            spread = spread + x * x + y * y
            cos = cos + x * (u - to_x) + y * (v - to_y)
            sin = sin + x * (v - to_y) - y * (u - to_x)
        cos, sin = cos / np.maximum(spread, 1e-6), sin / np.maximum(spread, 1e-6)
        x, y = centre.T
        rows = [cos, -sin, to_x - (cos * x - sin * y), sin, cos, to_y - (sin * x + cos * y)]
        transforms = np.stack(rows, axis=1).astype(np.float32).reshape(-1, 2, 3)
    transforms[~(found & params.align)] = np.eye(2, 3)
    return np.where(np.isfinite(transforms), transforms, np.float32(0))  # bits of NaN are a processor's own


def _mean(points: list[np.ndarray]) -> np.ndarray:
    """Their mean, added in their order."""
    return sum(points[1:], points[0]) / len(points)


def compressed(numbers: np.ndarray) -> bytes:
    """Numbers of four bytes -> all their first bytes, then all their second ones, and so on: they repeat; by LZMA."""
    return lzma.compress(np.ascontiguousarray(numbers).reshape(-1, 1).view(np.uint8).T.tobytes())


def floats(code: bytes, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Bytes of `compressed` -> float32 of a shape; ValueError where they are damaged, or fewer."""
    length = 4 * math.prod(shape)
    try:
        planes = lzma.LZMADecompressor(lzma.FORMAT_XZ, LZMA_MEMORY).decompress(code, length)
    except (lzma.LZMAError, EOFError) as error:
        raise ValueError(f"{name}: damaged ({error})") from None
    if len(planes) < length:
        raise ValueError(f"{name}: ends within the {shape[0]:,} faces")
    return np.frombuffer(planes, np.uint8).reshape(4, -1).T.copy().view(np.float32).reshape(shape)
