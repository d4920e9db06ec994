"""CK+ (Lucey et al., 2010) in its public layouts, cut into folds for cross-validation.

    CK+48: <class>/S010_004_00000017.png         person, sequence and frame in the name; 48x48
    ckextended.csv: emotion, pixels, Usage       no persons: only the leaking random split is possible
    cohn-kanade-images/S005/001/*.png, Emotion/S005/001/*_emotion.txt        the original tree, whole frames

Three last frames of each of the 327 sequences that have an expression: 981 images of 118 persons.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
from tqdm import tqdm

from mmfer.config import CkplusSource
from mmfer.data.cutting import cut_face, cut_square, find_boxes
from mmfer.data.duplicates import draw_order, join_groups
from mmfer.data.faceset import digests, new_index
from mmfer.data.sources import kaggle
from mmfer.data.sources.archives import (
    MAX_FRAME_BYTES,
    Archive,
    decode_grey,
    file_md5,
    open_archive,
    read_faces,
    source_path,
)
from mmfer.data.sources.classes import check_counts, class_number
from mmfer.data.sources.tables import read_table, table_columns
from mmfer.errors import MmferError

CLASSES = ["angry", "contempt", "disgust", "fear", "happy", "sadness", "surprise"]
OFFICIAL = [135, 54, 177, 75, 207, 84, 249]  # images per class, three of each sequence
EMOTION_CODES = {1: 0, 2: 1, 3: 2, 4: 3, 5: 4, 6: 5, 7: 6}  # of the original's emotion files; 0 is neutral
TABLE_CODES = {0: 0, 1: 2, 2: 3, 3: 4, 4: 5, 5: 6, 7: 1}  # of ckextended.csv; 6 is neutral
NEUTRAL = {"neutral", "neutrality"}  # a folder that some copies have beside those of the classes
FRAMES = 3
KNOWN_MD5 = {"60fcecd0162376026099070b680ca11a": "CK+48"}
NAME = re.compile(r"(S\d+)_(\d+)_(\d+)")
EMOTION = re.compile(r"[0-7](\.0*)?(e\+00)?")


def read_ckplus(source: CkplusSource, workers: int) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """Read CK+ -> index, images uint8 (N, 48, 48), class names; `workers` threads decode images.

    Every row is in the split train; `fold` says which training tests it. index.attrs["notes"] lists what a reader of
    results must know. MmferError where the source is not readable as CK+, or has no persons and split is subject.
    """
    path = source_path(source.path) if source.path else kaggle.download(source.kaggle, "ckplus")
    with open_archive(path) as archive:
        rows, images, notes = _read_rows(archive, workers)
    md5 = file_md5(path)
    if md5:
        notes.insert(0, f"{path.name}: md5 {md5}, {KNOWN_MD5.get(md5, 'not one that is known here')}")
    notes += check_counts(rows["label"].to_numpy(), CLASSES, OFFICIAL, str(path))
    if source.split == "subject" and rows["subject"].isna().any():
        raise MmferError(f"{path}: names no persons, so only source.split: random is possible; it leaks identity")
    digest = digests(images)
    groups = join_groups(rows["subject"], digest) if source.split == "subject" else pd.Series(digest)
    fold = draw_folds(rows["label"].to_numpy(), groups.to_numpy(dtype=str), source.folds, source.seed)
    if source.split == "random":
        notes.append("CK+: random folds: the same persons are in training and test; results measure identity as well")
    columns = {name: rows[name] for name in ("subject", "sequence", "frame")}
    index = new_index(rows["source"].tolist(), rows["label"], "train", fold=fold, digest=digest, **columns)
    index.attrs["notes"] = notes
    return index, images, list(CLASSES)


def draw_folds(labels: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Labels (N,) and group of each row -> fold of each row, int8 (N,); a group is in one fold, classes are spread.

    Greedy, largest groups first: each goes where the classes that it brings are rarest. Depends on the seed and the
    groups' names, not on the order of the rows. MmferError if there are fewer groups than folds.
    """
    table = pd.crosstab(groups, labels)
    if len(table) < folds:
        raise MmferError(
            f"CK+: {len(table)} groups of images (of a person, or equal ones) do not fill {folds} folds; lower "
            "source.folds (at least 3), or take a whole copy of CK+ (118 persons)"
        )
    table = table.iloc[np.lexsort([draw_order(table.index, seed), -table.sum(axis=1)])]
    share = table.to_numpy() / table.to_numpy().sum(axis=0)
    filled = np.zeros((folds, share.shape[1]))
    chosen = {}
    for group, brings in zip(table.index, share, strict=True):
        best = int(np.argmin((filled * (brings > 0)).sum(axis=1) + 1e-3 * filled.sum(axis=1)))
        filled[best] += brings
        chosen[group] = best
    return np.array([chosen[group] for group in groups], dtype=np.int8)


def _read_rows(archive: Archive, workers: int) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """Table (source, label, subject, sequence, frame), images and notes of the layout that the archive has."""
    emotions = [name for name in archive.sizes if name.endswith("_emotion.txt")]
    if emotions:
        return _read_original(archive, emotions, workers)
    tables = [name for name, columns in table_columns(archive).items() if {"emotion", "pixels"} <= set(columns)]
    if tables:
        return _read_csv(archive, tables[0])
    paths = archive.images()
    if not paths or any(len(path.parts) < 2 for path in paths):
        found = ", ".join(sorted(archive.sizes)[:3]) or "nothing"
        raise MmferError(
            f"{archive.path}: no layout of CK+ (found: {found}); known: CK+48 (<class>/S010_004_00000017.png), "
            "ckextended.csv, the original tree with its Emotion folder"
        )
    return _read_folders(archive, paths, workers)


def _read_folders(
    archive: Archive, paths: list[PurePosixPath], workers: int
) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    found, paths = len(paths), [path for path in paths if path.parts[-2].lower() not in NEUTRAL]
    names = [str(path) for path in paths]
    rows = _named_rows(names, archive)
    rows["label"] = [class_number(path.parts[-2], CLASSES, f"{archive.path}: {path.parent}") for path in paths]
    images, notes = read_faces(archive, names, workers)
    if found > len(paths):
        notes.insert(0, f"{found - len(paths):,} neutral images are left out")
    return rows, images, notes


def _named_rows(names: list[str], archive: Archive) -> pd.DataFrame:
    """Person, sequence and frame from file names such as S010_004_00000017.png."""
    people, numbers, frames = zip(*(_name_parts(archive, name) for name in names), strict=True)
    sequences = [f"{person}_{number}" for person, number in zip(people, numbers, strict=True)]
    return pd.DataFrame({"source": names, "subject": people, "sequence": sequences, "frame": list(map(int, frames))})


def _name_parts(archive: Archive, name: str) -> tuple[str, str, str]:
    """S010, 004 and 00000017 of a file S010_004_00000017.png or S010_004_00000017_emotion.txt."""
    match = NAME.search(PurePosixPath(name).name)
    if match is None:
        raise MmferError(
            f"{archive.path}: {name} does not name person, sequence and frame as S010_004_00000017 does; rename or "
            "remove it"
        )
    return match[1], match[2], match[3]


def _read_csv(archive: Archive, name: str) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    rows, images = read_table(archive, name, labels=8)
    known = rows["label"].isin(TABLE_CODES).to_numpy()
    rows = rows[known].assign(subject=None, sequence=None, frame=None, label=rows["label"][known].map(TABLE_CODES))
    notes = [f"{name}: {(~known).sum():,} neutral images are left out"] if not known.all() else []
    return rows.reset_index(drop=True), images[known], notes


def _read_original(archive: Archive, emotions: list[str], workers: int) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """The last three frames of each sequence with an emotion file, the face cut out of each."""
    codes = {"_".join(_name_parts(archive, name)[:2]): _emotion_code(archive, name) for name in emotions}
    frames: dict[str, list[str]] = {sequence: [] for sequence, code in codes.items() if code in EMOTION_CODES}
    for path in archive.images():
        match = NAME.search(path.name)
        if match and f"{match[1]}_{match[2]}" in frames:
            frames[f"{match[1]}_{match[2]}"].append(str(path))
    names = [name for sequence in sorted(frames) for name in sorted(frames[sequence])[-FRAMES:]]
    if not names:
        raise MmferError(f"{archive.path}: emotion files, but no frames beside them; add cohn-kanade-images")
    rows = _named_rows(names, archive)
    rows["label"] = rows["sequence"].map(codes).map(EMOTION_CODES)
    with ThreadPoolExecutor(workers) as pool:  # dlib releases the GIL
        faces = pool.map(partial(_cut_frame, archive), names)
        cut = list(tqdm(faces, total=len(names), desc="frames", unit="frame", disable=None))
    missed = sum(not found for _, found in cut)
    notes = [f"{missed:,} frames without a detected face: the largest centred square was taken"] if missed else []
    return rows, np.stack([image for image, _ in cut]), notes


def _emotion_code(archive: Archive, name: str) -> int:
    """The number from 0 to 7 that an emotion file holds, as 3.0000000e+00."""
    text = archive.read(name, 1024).decode(errors="replace").strip()
    if not EMOTION.fullmatch(text):
        raise MmferError(
            f"{archive.path}: {name} holds {text[:20]!r}, a number from 0 to 7 expected; download CK+ again"
        )
    return int(text[0])


def _cut_frame(archive: Archive, name: str) -> tuple[np.ndarray, bool]:
    """A whole frame -> its largest face, uint8 (48, 48), and whether there is one; else the largest centred square."""
    grey, _ = decode_grey(archive.read(name, MAX_FRAME_BYTES), f"{archive.path}: {name}")
    height, width = grey.shape
    boxes, _ = find_boxes(grey, 0.0)
    if len(boxes):
        largest = boxes[np.argmax(boxes[:, 2] - boxes[:, 0])]
        return cut_face(grey, largest + np.array([0, 0, 1, 1])), True
    side = min(height, width)
    return cut_square(grey, (width - side) // 2, (height - side) // 2, side), False
