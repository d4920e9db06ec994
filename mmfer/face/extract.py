"""Stage extract: the landmarks and the HOG of every image, copies included (paper, 1.1); the visibility of its face."""

from pathlib import Path

import numpy as np

from mmfer.config import AugmentParams, ExtractParams
from mmfer.data.faceset import FaceSet, check_made_of, create_array, new_faceset, open_faceset, read_index, write_rows
from mmfer.face.hide import open_hidden, places, taken
from mmfer.face.hog import hog_length
from mmfer.face.points import N_POINTS, PARTS
from mmfer.face.prepare import describe
from mmfer.parallel import each, ranges

CHUNK = 4096  # rows that a worker takes at a time


def write_features(augmented: Path, clean: Path, target: Path, params: ExtractParams, workers: int) -> FaceSet:
    """Augmented and clean FaceSets -> features FaceSet: landmarks, HOG and visibility for each row of the former.

    MmferError if the copies are not of the faces that the clean one and, beside it, hidden hold.
    """
    faces = open_faceset(augmented, needs=("images", "transforms"))
    hidden = open_hidden(clean, AugmentParams(**faces.made_by["params"]))
    check_made_of(faces, open_faceset(clean, needs=("landmarks", "visible")) if hidden is None else hidden)
    made_by = {"stage": "extract", "params": params.model_dump(), "from": faces.made_by}
    with new_faceset(target, faces.dataset, faces.classes, faces.parts(), made_by) as folder:
        create_array(folder, "landmarks", (len(faces), N_POINTS, 2))
        create_array(folder, "hog", (len(faces), hog_length(params)))
        create_array(folder, "visible", (len(faces), len(PARTS)))
        folders = [path.absolute() for path in (augmented, clean, folder)]
        jobs = [(*folders, rows, params) for rows in ranges(len(faces), CHUNK, workers)]
        each(_write_described, jobs, workers, "features")  # the kernel releases the GIL
    return open_faceset(target)


def _write_described(augmented: Path, clean: Path, folder: Path, rows: slice, params: ExtractParams) -> None:
    faces, originals = open_faceset(augmented), open_faceset(clean)
    hidden = open_hidden(clean, AugmentParams(**faces.made_by["params"]))
    index = read_index(augmented, ["parent", "variant"], rows)
    parents, variants = (index[name].to_numpy(np.int64) for name in ("parent", "variant"))
    landmarks, visible = originals.landmarks[parents], originals.visible[parents]
    if hidden is not None:
        which = (parents, variants, places(hidden, len(originals))[0])
        landmarks = taken(originals.landmarks, hidden.landmarks, *which)
        visible = taken(originals.visible, hidden.visible, *which)
    seen = describe(faces.images[rows], landmarks, faces.transforms[rows], params) | {"visible": visible}
    for name in ("landmarks", "hog", "visible"):
        write_rows(folder, name, rows.start, seen[name])
