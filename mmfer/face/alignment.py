"""Where the face is: dlib detection (what is noise), 68 landmarks, alignment (paper, 4.1).

dlib's detector does not fire on 48 px images, so each is enlarged and given a border first. A rejected image keeps its
plain frame, and its landmarks are the predictor's on the whole image: the documented fall-back, counted by `kept`.
"""

from __future__ import annotations  # pandas takes 0.3 s to import, and using a network needs none of it

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from tqdm import tqdm

from mmfer.config import FACE_PX, CleanParams
from mmfer.data.faceset import FaceSet, count_splits, new_faceset, open_faceset, write_array
from mmfer.errors import MmferError
from mmfer.face.shape_predictor import find_landmarks, load_shape_model

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 256
RIGHT_EYE, LEFT_EYE, NOSE_BASE = slice(36, 42), slice(42, 48), 33  # iBUG 300-W, 0-based; the subject's right is at left
NOSE_DROP = 0.73  # height of eyes over nose base, in eye distances: mean of the frontal faces of FER2013
_idle_detectors: list[object] = []


def write_clean(source: Path, target: Path, params: CleanParams, workers: int) -> FaceSet:
    """Raw FaceSet folder -> clean FaceSet (landmarks in raw pixels, transforms).

    The index gains `face_score` (float32, NaN where no face reaches the threshold) and `kept` (bool).
    """
    raw = open_faceset(source, needs=("images",))
    scores, landmarks = find_faces(raw.images, params, workers)
    kept = ~np.isnan(scores)
    for split, found in raw.index.assign(kept=kept).groupby("split")["kept"]:
        if not found.any():
            raise MmferError(f"clean.threshold: {params.threshold} keeps no face of the {split} images; lower it")
    transforms = transforms_of(scores, landmarks, params)
    index = raw.index.assign(face_score=scores, kept=kept)
    made_by = {"stage": "clean", "params": params.model_dump(), "from": raw.made_by}
    with new_faceset(target, raw.dataset, raw.classes, index, made_by) as folder:
        write_array(folder, "landmarks", landmarks)
        write_array(folder, "transforms", transforms)
    return open_faceset(target)


def transforms_of(scores: np.ndarray, landmarks: np.ndarray, params: CleanParams) -> np.ndarray:
    """Transforms (N, 2, 3) float32 of faces that `find_faces` found; those that it did not find keep their frame."""
    transforms = np.tile(np.eye(2, 3, dtype=np.float32), (len(scores), 1, 1))
    found = ~np.isnan(scores) & params.align
    transforms[found] = alignment(landmarks[found], params)
    return transforms


def kept_shares(clean: FaceSet) -> pd.DataFrame:
    """Images and the share of them in which a face was found: columns split, class, images, kept."""
    counts = count_splits(clean.index, clean.classes)
    found = count_splits(clean.index[clean.index["kept"]], clean.classes)
    merged = counts.merge(found, on=["split", "class"], suffixes=("", "_kept"))
    return counts.assign(kept=(merged["images_kept"] / merged["images"]).round(4))


def find_faces(images: np.ndarray, params: CleanParams, workers: int) -> tuple[np.ndarray, np.ndarray]:
    """Faces (N, 48, 48) uint8 -> detector scores (N,) float32, NaN where below threshold; landmarks (N, 68, 2) float32.

    Landmarks are in pixels of the image; where no face was found they are fitted to the whole image.
    """
    load_shape_model()  # before the threads, each of which would read it
    size = min(CHUNK, max(-(-len(images) // workers), 1))  # a few faces are shared among all workers too
    starts = range(0, len(images), size)

    def work(start: int) -> tuple[np.ndarray, np.ndarray]:
        return _find_chunk(images[start : start + size], params)

    with ThreadPoolExecutor(workers) as pool:  # dlib releases the GIL
        silent = True if len(images) <= CHUNK else None  # None: where no terminal is attached
        done = list(
            tqdm(pool.map(work, starts), total=len(starts), desc="faces", unit="chunk", leave=False, disable=silent)
        )
    scores, landmarks = zip(*done, strict=True)
    return np.concatenate(scores), np.concatenate(landmarks)


def _find_chunk(images: np.ndarray, params: CleanParams) -> tuple[np.ndarray, np.ndarray]:
    side, border = params.detect_px, params.border_px
    factor = side / FACE_PX
    frame = (border, border, border + side - 1, border + side - 1)
    scores = np.full(len(images), np.nan, np.float32)
    large = np.zeros((len(images), side + 2 * border, side + 2 * border), np.uint8)
    inside, boxes = slice(border, border + side), np.tile(frame, (len(images), 1))
    with face_detector() as detector:
        for row, image in enumerate(images):
            large[row, inside, inside] = cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)
            found, values, _ = detector.run(large[row], 0, params.threshold)
            if found:
                scores[row], boxes[row] = max(values), edges(found[int(np.argmax(values))])
    # Pixel centres: x of the enlarged image is factor * (x + 0.5) - 0.5 + border.
    return scores, (find_landmarks(large, boxes) - border + 0.5) / factor - 0.5


def edges(box: Any) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a dlib rectangle; pixels, the last two inclusive."""
    return box.left(), box.top(), box.right(), box.bottom()


@contextmanager
def face_detector() -> Iterator[object]:
    """Lend dlib's frontal face detector: it is slow to make, and not safe to share between threads at one time."""
    import dlib

    try:
        detector = _idle_detectors.pop()
    except IndexError:
        detector = dlib.get_frontal_face_detector()
    yield detector
    _idle_detectors.append(detector)


def alignment(landmarks: np.ndarray, params: CleanParams) -> np.ndarray:
    """Landmarks (N, 68, 2) -> similarity transforms (N, 2, 3) float32 that bring eyes and nose base to fixed places.

    Least squares over three points (Umeyama, 1991), in complex numbers: the plane's similarities are z -> a z + b. The
    nose keeps the scale honest where a turned head brings the eyes together; the mouth is left out, for it is the
    expression.
    """
    points = np.stack(
        [landmarks[:, RIGHT_EYE].mean(1), landmarks[:, LEFT_EYE].mean(1), landmarks[:, NOSE_BASE]], axis=1
    )
    p = points[..., 0] + 1j * points[..., 1]
    middle, eyes, nose = (
        (FACE_PX - 1) / 2,
        params.eye_height_px,
        params.eye_height_px + NOSE_DROP * params.eye_distance_px,
    )
    half = params.eye_distance_px / 2
    q = np.array([middle - half + 1j * eyes, middle + half + 1j * eyes, middle + 1j * nose])
    centre = p.mean(axis=1, keepdims=True)
    spread = np.square(np.abs(p - centre)).sum(axis=1)
    a = (np.conj(p - centre) * (q - q.mean())).sum(axis=1) / np.maximum(spread, 1e-6)
    b = q.mean() - a * centre[:, 0]
    return np.stack([np.stack([a.real, -a.imag, b.real], -1), np.stack([a.imag, a.real, b.imag], -1)], 1).astype(
        np.float32
    )


def predict_landmarks(images: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Faces (N, 48, 48) uint8 and boxes (N, 4) x0 y0 x1 y1 in their pixels -> landmarks (N, 68, 2) float32."""
    factor = 2
    large = [cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR) for image in images]
    areas = np.round(boxes.astype(np.float64) * factor)
    return (find_landmarks(np.stack(large), areas) + 0.5) / factor - 0.5
