"""Test faces made harder: hidden, badly lit, turned (paper, figure 7), and corrupted; then cleaned as any other image.

Mouth and eyes are hidden, and glasses or a mask worn, where the landmarks of the clean face say that these are, and not
as mmfer.face.occlude hides them. After that nothing is known: the detector, the landmarks, the alignment and the HOG
are those of the perturbed image, and where no face is found the fall-back is that of cleaning, the plain frame.
"""

import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.random import Generator

from mmfer.config import FACE_PX, CleanParams, ExtractParams, PerturbParams
from mmfer.data.faceset import (
    FaceSet,
    check_made_of,
    create_array,
    new_faceset,
    open_faceset,
    read_index,
    write_index,
    write_rows,
)
from mmfer.face.detection import CHUNK, prepare_models
from mmfer.face.geometry import CENTRE
from mmfer.face.points import EYES, LEFT_EYE, MOUTH, N_POINTS, PARTS, RIGHT_EYE
from mmfer.face.prepare import see
from mmfer.parallel import each, ranges
from mmfer.testing.corruptions import CORRUPTIONS, corrupt

BITS = 4  # of the parts of a pixel in OpenCV's drawing

Change = Callable[[np.ndarray, np.ndarray, Generator], np.ndarray]  # face, its landmarks, generator -> face


def conditions(params: PerturbParams) -> dict[str, Change]:
    """Every condition by name: `clean`, the paper's, and `<corruption> <severity>`."""
    paper: dict[str, Change] = {
        "clean": lambda face, points, rng: face,
        "mouth hidden": lambda face, points, rng: hide(face, points[MOUTH]),
        "eyes hidden": lambda face, points, rng: hide(face, points[EYES]),
        "mouth and eyes hidden": lambda face, points, rng: hide(hide(face, points[MOUTH]), points[EYES]),
        "dark glasses": lambda face, points, rng: wear_glasses(face, points),
        "surgical mask": lambda face, points, rng: wear_mask(face, points),
        "high brightness": lambda face, points, rng: lighten(face, params.brightness),
        "low brightness": lambda face, points, rng: lighten(face, -params.brightness),
        "colour distortion": lambda face, points, rng: distort_colour(face, params.gamma, rng),
        "rotation": lambda face, points, rng: move(face, params.rotate_deg * _sign(rng), (0, 0)),
        "head shift": lambda face, points, rng: move(face, 0, params.shift_px * _direction(rng)),
    }
    corrupted = {
        f"{name} {severity}": lambda face, points, rng, n=name, s=severity: corrupt(face, n, s, rng)
        for name in CORRUPTIONS
        for severity in params.severities
    }
    return paper | corrupted


def hide(face: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Paint the box around some landmarks, grown by 2 px on each side, in the mean grey of the face."""
    x0, y0 = np.floor(points.min(axis=0) - 2).astype(int).clip(0)
    x1, y1 = np.ceil(points.max(axis=0) + 3).astype(int).clip(0)
    hidden = face.copy()
    hidden[y0:y1, x0:x1] = round(float(face.mean()))
    return hidden


def wear_glasses(face: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Paint dark glasses: a round lens before each eye, a bridge, and arms to the sides of the face."""
    worn, (right, left) = face.copy(), (points[eye].mean(axis=0) for eye in (RIGHT_EYE, LEFT_EYE))
    across = left - right
    width, turn = float(np.linalg.norm(across)), float(np.degrees(np.arctan2(across[1], across[0])))
    for eye, side in ((right, points[0]), (left, points[16])):
        _line(worn, eye, side, 25)
        middle, axes = _fixed(eye + 0.1 * np.array([-across[1], across[0]])), _fixed(width * np.array([0.42, 0.34]))
        cv2.ellipse(worn, middle, axes, turn, 0, 360, 15, -1, cv2.LINE_AA, BITS)
    _line(worn, right, left, 15)
    return worn


def wear_mask(face: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Paint a surgical mask: light, from the bridge of the nose to under the chin, with three folds and two strings."""
    worn, (right, left) = face.copy(), (points[2], points[14])
    top, chin = points[28:30].mean(axis=0), points[8] + 0.1 * (points[8] - points[30])
    for edge, ear in ((right, points[0]), (left, points[16])):
        _line(worn, edge, ear, 220)
    outline = np.stack([top, left, points[12], points[10], chin, points[6], points[4], right])
    cv2.fillPoly(worn, [np.round(outline * 2**BITS).astype(np.int32)], 215, cv2.LINE_AA, BITS)
    for share in (0.3, 0.5, 0.7):
        _line(worn, right + share * (points[5] - right), left + share * (points[11] - left), 185)
    return worn


def _line(face: np.ndarray, start: np.ndarray, end: np.ndarray, grey: int) -> None:
    cv2.line(face, _fixed(start), _fixed(end), grey, 1, cv2.LINE_AA, BITS)


def _fixed(place: np.ndarray) -> tuple[int, int]:
    """A place in whole parts of a pixel, as OpenCV draws."""
    x, y = np.round(place * 2**BITS).astype(int).tolist()
    return x, y


def lighten(face: np.ndarray, share: float) -> np.ndarray:
    """Add a share of the grey range."""
    return np.clip(face + 255 * share, 0, 255).astype(np.uint8)


def distort_colour(face: np.ndarray, gamma: float, rng: Generator) -> np.ndarray:
    """The grey picture of a colour distortion: red, green and blue each get their own gamma, then become grey again.

    On a grey face a cast that only scales the channels is a change of brightness, and the system takes that out; a
    gamma of each channel, between 1 / gamma and gamma, also bends the tones.
    """
    bends = gamma ** rng.uniform(-1, 1, 3)
    channels = 255 * (face[..., None] / 255) ** bends
    return np.round(channels @ [0.299, 0.587, 0.114]).astype(np.uint8)


def move(face: np.ndarray, angle: float, shift: np.ndarray | tuple[float, float]) -> np.ndarray:
    """Turn about the centre by degrees and shift by pixels; the border is repeated."""
    matrix = cv2.getRotationMatrix2D((CENTRE, CENTRE), angle, 1.0)
    matrix[:, 2] += np.asarray(shift, np.float64)
    return cv2.warpAffine(face, matrix, face.shape, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _sign(rng: Generator) -> int:
    return 1 if rng.random() < 0.5 else -1


def _direction(rng: Generator) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)])


def write_perturbed(data: Path, target: Path, params: PerturbParams, workers: int) -> FaceSet:
    """Raw, clean and features FaceSets below `data` -> perturbed FaceSet: each drawn test face under each condition.

    It holds what a network sees: aligned images, landmarks, HOG, visibility. The index gains `parent` (raw row),
    `condition` and `found` (whether the detector still finds the face).
    """
    clean = open_faceset(data / "clean", needs=("landmarks",))
    features = open_faceset(data / "features")
    check_made_of(clean, open_faceset(data / "raw", needs=("images",)))
    check_made_of(features, clean)
    rows = drawn_rows(clean.columns("split", "fold"), params)
    made_by = {"stage": "perturb", "params": params.model_dump(), "from": features.made_by}
    drawn = clean.index.iloc[rows].assign(parent=rows)
    index = pd.concat([drawn.assign(condition=name, found=False) for name in conditions(params)])
    prepare_models(CleanParams(**clean.made_by["params"]))  # before the threads, each of which would read them
    with new_faceset(target, clean.dataset, clean.classes, index, made_by) as folder:
        shapes = {"images": (FACE_PX, FACE_PX), "landmarks": (N_POINTS, 2), "hog": (features.hog.shape[1],)}
        shapes["visible"] = (len(PARTS),)
        for name, shape in shapes.items():
            create_array(folder, name, (len(index), *shape))
        jobs = [(data.absolute(), folder.absolute(), part, params) for part in ranges(len(index), CHUNK, workers)]
        found = each(_write_changed, jobs, workers, "perturbed faces")
        write_index(folder, index.assign(found=np.concatenate(found)))
    return open_faceset(target)


def _write_changed(data: Path, folder: Path, rows: slice, params: PerturbParams) -> np.ndarray:
    raw, clean, features = (open_faceset(data / name) for name in ("raw", "clean", "features"))
    cleaning, extract = CleanParams(**clean.made_by["params"]), ExtractParams(**features.made_by["params"])
    changes, index = conditions(params), read_index(folder, ["parent", "condition"], rows)
    faces = []
    for row, name in zip(index["parent"], index["condition"], strict=True):
        stream = np.random.default_rng([params.seed, zlib.crc32(name.encode()), row])
        faces.append(changes[name](raw.images[row], clean.landmarks[row], stream))
    seen, found = see(np.stack(faces), cleaning, extract, 1)
    for name, array in seen.items():
        write_rows(folder, name, rows.start, array)
    return found


def drawn_rows(index: pd.DataFrame, params: PerturbParams) -> np.ndarray:
    """Raw rows of the test faces, all or as many as `images` says, drawn by the seed, in order."""
    tested = np.flatnonzero((index["split"] == "test") | (index["fold"] >= 0))
    if params.images is None or params.images >= len(tested):
        return tested
    return np.sort(np.random.default_rng(params.seed).choice(tested, params.images, replace=False))
