"""Pictures of one data set's faces: the paper's figures 1, 2 and 7, and contact sheets of what the stages made."""

from pathlib import Path

import numpy as np

from mmfer.config import FACE_PX, StudyParams
from mmfer.data.faceset import FaceSet, count_splits, open_faceset
from mmfer.files import new_folder
from mmfer.report import figures
from mmfer.testing.corruptions import is_corruption

SHEET = 60  # faces of a contact sheet
ON_THE_PAGE = {  # of rendered faces; those of real people stay below data/
    "modalities.png": "Figure 1: the three modalities of one face",
    "faces.png": "Figure 2: example faces and images by class",
    "conditions.png": "Figure 7: what the networks see of four faces",
}


def write_sheets(data: Path, params: StudyParams) -> None:
    """Draw `data`/sheets from the FaceSets in `data`."""
    raw, clean, augmented = (
        open_faceset(data / "raw", needs=("images",)),
        open_faceset(data / "clean"),
        open_faceset(data / "augmented", needs=("images",)),
    )
    features = open_faceset(data / "features", needs=("landmarks", "hog"))
    perturbed = open_faceset(data / "perturbed", needs=("images",))
    with new_folder(data / "sheets") as folder:
        modalities(augmented, features, folder / "modalities.png", params.seed)
        examples(raw, clean, folder / "faces.png", params)
        conditions(perturbed, four_faces(perturbed, params.seed), folder / "conditions.png")
        rejected(raw, clean, folder / "rejected.png")
        copies(augmented, folder / "copies.png")
        hidden(open_faceset(data / "hidden"), folder / "hidden.png")
        corruptions(perturbed, folder / "perturbed.png")


def modalities(augmented: FaceSet, features: FaceSet, path: Path, seed: int) -> None:
    """Figure 1: the three modalities of one face, the kept test face that the seed draws."""
    index = augmented.index
    tested = (index["copy"] == 0) & index["kept"] & ((index["split"] == "test") | (index["fold"] >= 0))
    row = int(np.random.default_rng(seed).choice(np.flatnonzero(tested)))
    extract = features.made_by["params"]
    grid = {"orientations": extract["orientations"], "block_cells": extract["block_cells"]}
    cells = FACE_PX // extract["cell_px"]
    face, values = augmented.images[row], features.hog[row].astype(np.float32)
    figures.modalities(face, features.landmarks[row], values, path, cells=cells, **grid)


def examples(raw: FaceSet, clean: FaceSet, path: Path, params: StudyParams) -> None:
    """Figure 2: example faces of each class and the class counts."""
    rng, faces = np.random.default_rng(params.seed), {}
    for label, name in enumerate(raw.classes):
        rows = np.flatnonzero((raw.index["label"] == label) & clean.index["kept"])
        faces[name] = raw.images[np.sort(rng.choice(rows, min(params.faces_per_class, len(rows)), replace=False))]
    title = f"{raw.dataset}: example faces and images per class"
    by_split = count_splits(raw.index, raw.classes).groupby("split", sort=False)
    counts = {split: dict(zip(part["class"], part["images"], strict=True)) for split, part in by_split}
    figures.sample_faces(faces, counts, title, path)


def four_faces(perturbed: FaceSet, seed: int) -> np.ndarray:
    """Four faces (rows of the clean condition) of four classes, as the seed draws them among those found when clean.

    Fewer where fewer classes have one.
    """
    clean = perturbed.index[perturbed.index["condition"] == "clean"].reset_index(drop=True)
    rng, labels = np.random.default_rng(seed), np.unique(clean["label"][clean["found"]])
    drawn = np.sort(rng.choice(labels, min(4, len(labels)), replace=False))
    faces = [rng.choice(np.flatnonzero(clean["found"] & (clean["label"] == label))) for label in drawn]
    return np.array(faces, dtype=np.int64)


def conditions(perturbed: FaceSet, faces: np.ndarray, path: Path) -> None:
    """Figure 7: faces (rows of the clean condition) under each of the paper's conditions, as the networks see them."""
    names = [name for name in perturbed.index["condition"].unique() if not is_corruption(name)]
    each = (perturbed.index["condition"] == "clean").sum()
    rows = [place * each + face for face in faces for place in range(len(names))]
    figures.contact_sheet(perturbed.images[rows], names * len(faces), len(names), path, title="what the networks see")


def rejected(raw: FaceSet, clean: FaceSet, path: Path) -> None:
    """The first images in which no face was found, with their classes."""
    index = clean.index
    rows = index.index[~index["kept"]].to_numpy()
    captions = [raw.classes[label] for label in index["label"][rows[:SHEET]]]
    title = f"{raw.dataset}: {len(rows):,} of {len(index):,} images without a face (first {min(SHEET, len(rows))})"
    figures.contact_sheet(raw.images[rows[:SHEET]], captions, 12, path, title=title)


def copies(augmented: FaceSet, path: Path) -> None:
    """The first copies of the first training faces."""
    rows = np.flatnonzero(augmented.index["trainable"])[:SHEET]
    figures.contact_sheet(
        augmented.images[rows], None, 12, path, title=f"{augmented.dataset}: copies of training faces"
    )


def hidden(faces: FaceSet, path: Path) -> None:
    """The first training faces of which a part is hidden; no picture where there are none."""
    if len(faces):
        title = f"{faces.dataset}: training faces with a part hidden"
        figures.contact_sheet(faces.images[:SHEET], None, 12, path, title=title)


def corruptions(perturbed: FaceSet, path: Path) -> None:
    """One face under every condition and corruption."""
    each = int((perturbed.index["condition"] == "clean").sum())
    names = perturbed.index["condition"].to_numpy()[::each]
    title = f"{perturbed.dataset}: a test face under each condition"
    figures.contact_sheet(perturbed.images[::each], list(names), 10, path, title=title)
