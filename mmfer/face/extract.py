"""Stage extract: the landmarks and the HOG of every image, copies included (paper, 1.1)."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from mmfer.config import ExtractParams
from mmfer.data.faceset import FaceSet, create_array, new_faceset, open_faceset, write_rows
from mmfer.face.hog import hog_length
from mmfer.face.points import N_POINTS
from mmfer.face.prepare import describe

CHUNK = 8192  # rows that a thread takes at a time


def write_features(augmented: Path, clean: Path, target: Path, params: ExtractParams, workers: int) -> FaceSet:
    """Augmented and clean FaceSets -> features FaceSet: landmarks and HOG of every row of the augmented one."""
    faces = open_faceset(augmented, needs=("images", "transforms"))
    originals = open_faceset(clean, needs=("landmarks",))
    made_by = {"stage": "extract", "params": params.model_dump(), "from": faces.made_by}
    parents = faces.index["parent"].to_numpy()
    with new_faceset(target, faces.dataset, faces.classes, faces.index, made_by) as folder:
        create_array(folder, "landmarks", (len(faces), N_POINTS, 2))
        create_array(folder, "hog", (len(faces), hog_length(params)))

        def work(start: int) -> None:
            rows = slice(start, start + CHUNK)
            seen = describe(faces.images[rows], originals.landmarks[parents[rows]], faces.transforms[rows], params)
            for name in ("landmarks", "hog"):
                write_rows(folder, name, start, seen[name])

        starts = range(0, len(faces), CHUNK)
        with ThreadPoolExecutor(workers) as pool:  # the kernel releases the GIL
            list(tqdm(pool.map(work, starts), total=len(starts), desc="features", unit="chunk", disable=None))
    return open_faceset(target)
