"""Stage extract: the landmarks and the HOG of every image, copies included (paper, 1.1)."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mmfer.config import ExtractParams
from mmfer.data.faceset import FaceSet, create_array, new_faceset, open_faceset, write_rows
from mmfer.face.detection import predict_landmarks
from mmfer.face.hog import hog, hog_length
from mmfer.face.points import N_POINTS, move_landmarks

CHUNK = 8192  # rows that a thread takes at a time


def write_features(augmented: Path, clean: Path, target: Path, params: ExtractParams, workers: int) -> FaceSet:
    """Augmented and clean FaceSets -> features FaceSet: landmarks and HOG of every row of the augmented one."""
    faces = open_faceset(augmented, needs=("images", "transforms"))
    originals = open_faceset(clean, needs=("landmarks",))
    made_by = {"stage": "extract", "params": params.model_dump(), "from": faces.made_by}
    landmarks_of = predicted_landmarks if params.landmarks == "predict" else moved_landmarks
    with new_faceset(target, faces.dataset, faces.classes, faces.index, made_by) as folder:
        create_array(folder, "landmarks", (len(faces), N_POINTS, 2))
        create_array(folder, "hog", (len(faces), hog_length(params)))

        def work(start: int) -> None:
            rows = slice(start, start + CHUNK)
            write_rows(folder, "hog", start, hog(faces.images[rows], params))
            write_rows(folder, "landmarks", start, landmarks_of(faces, originals, rows))

        starts = range(0, len(faces), CHUNK)
        with ThreadPoolExecutor(workers) as pool:  # the kernel releases the GIL
            list(tqdm(pool.map(work, starts), total=len(starts), desc="features", unit="chunk", disable=None))
    return open_faceset(target)


def moved_landmarks(faces: FaceSet, originals: FaceSet, rows: slice) -> np.ndarray:
    """Landmarks (n, 68, 2) of augmented rows: those of the raw image, moved as the image was."""
    parents = faces.index["parent"].to_numpy()[rows]
    return move_landmarks(originals.landmarks[parents], faces.transforms[rows])


def predicted_landmarks(faces: FaceSet, originals: FaceSet, rows: slice) -> np.ndarray:
    """Landmarks (n, 68, 2) of augmented rows: dlib's predictor on each image, in the box of the moved landmarks."""
    moved = moved_landmarks(faces, originals, rows)
    corners = np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1)
    return predict_landmarks(faces.images[rows], corners)
