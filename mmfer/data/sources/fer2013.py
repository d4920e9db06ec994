"""FER2013 (Goodfellow et al., 2013) in its public layouts, with the official splits.

    fer2013.csv, icml_face_data.csv      emotion, pixels, Usage
    train.csv and test.csv               emotion, pixels; test.csv has no labels and cannot be used
    train/<class>/*, test/<class>/*      images; names such as PublicTest_123.jpg name the official part; classes by
                                         name or as 0 to 6; with a folder validation/, that is PublicTest and test/
                                         PrivateTest

Each as it is, in a folder or in a zip. PrivateTest is the test set and PublicTest validates; where PrivateTest is
absent, PublicTest is the test set and a part of Training validates.
"""

import re
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from mmfer.config import Fer2013Source
from mmfer.data.duplicates import hold_out
from mmfer.data.faceset import digests, new_index
from mmfer.data.sources import kaggle
from mmfer.data.sources.archives import Archive, file_md5, open_archive, read_faces, source_path
from mmfer.data.sources.classes import check_counts, class_number
from mmfer.data.sources.tables import check_columns, read_table, table_columns
from mmfer.errors import MmferError

CLASSES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]  # also the CSV files' numbers 0 to 6
OFFICIAL = {  # images per class, in the order of CLASSES
    "Training": [3995, 436, 4097, 7215, 4830, 3171, 4965],
    "PublicTest": [467, 56, 496, 895, 653, 415, 607],
    "PrivateTest": [491, 55, 528, 879, 594, 416, 626],
}
A_TEST = "test"  # usage of images in a test folder whose names do not name the part
FOLDERS = {"train": "Training", "test": A_TEST} | {part.lower(): part for part in OFFICIAL}
VALIDATION = dict.fromkeys(["validation", "valid", "val"], "PublicTest")  # with it, test is PrivateTest
TOPS = FOLDERS | VALIDATION
KNOWN_MD5 = {
    "82154f990a5b1e932e1dfaae02406eee": "train and test folders without PrivateTest",
    "3f0dfb3d3fd99c811a1299cb947e3131": "train.csv of the Kaggle challenge",
}
LAYOUTS = (
    "fer2013.csv or icml_face_data.csv (emotion, pixels, Usage); train.csv (emotion, pixels); image folders "
    "train/<class> and test/<class>"
)


def read_fer2013(source: Fer2013Source, workers: int) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """Read FER2013 -> index, images uint8 (N, 48, 48), class names; `workers` threads decode images.

    The index has `usage`, the official part; index.attrs["notes"] lists what a reader of results must know.
    MmferError where the source is not readable as FER2013 as a whole.
    """
    path = source_path(source.path) if source.path else kaggle.download(source.kaggle, "fer2013")
    with open_archive(path) as archive:
        rows, images, notes = _read_rows(archive, workers)
    md5 = file_md5(path)
    if md5:
        notes.insert(0, f"{path.name}: md5 {md5}, {KNOWN_MD5.get(md5, 'not one that is known here')}")
    digest = digests(images)
    for part in sorted(set(rows["usage"]), key=[*OFFICIAL, A_TEST].index):
        notes += check_counts(rows["label"][rows["usage"] == part], CLASSES, _official(part), f"{path}: {part}")
    split, split_notes = _split(rows, digest, source)
    index = new_index(
        rows["source"].tolist(), rows["label"], split, digest=digest, usage=rows["usage"].astype("string")
    )
    index.attrs["notes"] = notes + split_notes
    return index, images, list(CLASSES)


def _official(part: str) -> list[int]:
    """Images per class of an official part; a test folder that names none holds both test parts."""
    if part == A_TEST:
        return [a + b for a, b in zip(OFFICIAL["PublicTest"], OFFICIAL["PrivateTest"], strict=True)]
    return OFFICIAL[part]


def _split(rows: pd.DataFrame, digest: list[str], source: Fer2013Source) -> tuple[np.ndarray, list[str]]:
    """Split of every row, and notes where it is not the official one."""
    usage = rows["usage"].to_numpy()
    parts = set(usage)
    split = np.full(len(rows), "train", dtype=object)
    if "Training" not in parts:
        raise MmferError(f"FER2013: no Training images (found: {', '.join(sorted(parts))}); download the dataset again")
    if {"PublicTest", "PrivateTest"} <= parts and A_TEST not in parts:
        split[usage == "PublicTest"], split[usage == "PrivateTest"] = "val", "test"
        return split, []
    split[usage != "Training"] = "test"
    notes = [_describe_test(parts - {"Training"}, source.holdout)]
    needed = ["val"] if (split == "test").any() else ["test", "val"]
    for name in needed:
        left = np.flatnonzero(split == "train")
        drawn = hold_out(rows["label"].to_numpy()[left], [digest[row] for row in left], source.holdout, source.seed)
        split[left[drawn]] = name
    return split, notes


def _describe_test(tests: set[str], share: float) -> str:
    part = f"{share:.0%} of Training"
    if not tests:
        return (
            f"FER2013: neither PublicTest nor PrivateTest has labels here: {part} is the test set and as large a share "
            "of the rest validates; results do not compare with published ones"
        )
    if tests == {"PublicTest"}:
        return (
            f"FER2013: PrivateTest is absent: {part} validates (whole groups of duplicates), PublicTest is the test set"
        )
    if tests == {"PrivateTest"}:
        return (
            f"FER2013: PublicTest is absent: {part} validates (whole groups of duplicates), PrivateTest is the test set"
        )
    return (
        f"FER2013: file names do not part PublicTest from PrivateTest: {part} validates (whole groups of duplicates), "
        "all of them are the test set; results do not compare with published ones"
    )


def _read_rows(archive: Archive, workers: int) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """Table (source, label, usage), images and notes of the one layout that the archive has."""
    tables = table_columns(archive)
    full = official_tables(tables)
    folders = [
        path for path in archive.images() if len(path.parts) > 2 and path.parts[-3].lower() in FOLDERS | VALIDATION
    ]
    layouts = full + ([f"folders such as {folders[0].parent}"] if folders else [])
    if len(layouts) > 1:
        raise MmferError(f"{archive.path}: more than one layout ({'; '.join(layouts)}); set source.path to just one")
    if folders:
        return _read_folders(archive, folders, workers)
    if full:
        return *read_official(archive, full[0]), []
    return _read_train(archive, tables)


def official_tables(tables: dict[str, list[str]]) -> list[str]:
    """Names of those CSV files that have the columns of fer2013.csv; `tables` as of tables.table_columns."""
    return [name for name, columns in tables.items() if {"emotion", "pixels", "usage"} <= set(columns)]


def read_official(archive: Archive, name: str) -> tuple[pd.DataFrame, np.ndarray]:
    """A CSV with the columns of fer2013.csv -> table (source, label, usage), images uint8 (N, 48, 48).

    MmferError names the line that is wrong, or whose Usage is not an official part.
    """
    table, images = read_table(archive, name, len(CLASSES))
    table["usage"] = table["usage"].map(official_part)
    unknown = sorted(set(table["usage"]) - set(OFFICIAL))
    if unknown:
        row = table["source"][table["usage"] == unknown[0]].iloc[0]
        raise MmferError(f"{archive.path}: {row}: unknown Usage {unknown[0]!r}; known: {', '.join(OFFICIAL)}")
    return table, images


def official_part(usage: str) -> str:
    """The official part that a Usage means, written in any case, with a space or as validation; else as it is."""
    name = re.sub("[^a-z]", "", usage.lower())
    return {"train": "Training", **VALIDATION, **{part.lower(): part for part in OFFICIAL}}.get(name, usage)


def _read_train(archive: Archive, tables: dict[str, list[str]]) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """train.csv of the challenge; any other CSV must have the column Usage."""
    names = {PurePosixPath(name).name.lower(): name for name in tables}
    if "train.csv" in names:
        table, images = read_table(archive, names["train.csv"], len(CLASSES))
        notes = ["test.csv has no labels: its images are left out"] if "test.csv" in names else []
        return table.assign(usage="Training"), images, notes
    for name, columns in tables.items():
        check_columns(archive, name, columns, ["emotion", "pixels", "usage"])
    found = ", ".join(sorted(archive.sizes)[:3]) or "nothing"
    raise MmferError(f"{archive.path}: no layout of FER2013 (found: {found}); known: {LAYOUTS}")


def _read_folders(
    archive: Archive, paths: list[PurePosixPath], workers: int
) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    places = sorted({str(PurePosixPath(*path.parts[:-3])) for path in paths})
    if len(places) > 1:
        raise MmferError(f"{archive.path}: train and test folders in {' and in '.join(places)}; set source.path to one")
    stray = set(archive.images()) - set(paths)
    if stray:
        raise MmferError(f"{archive.path}: {min(stray)} is not in train/<class> or test/<class>; move or remove it")
    label = [_class_number(path, archive) for path in paths]
    tops = [path.parts[-3].lower() for path in paths]
    parts = TOPS | ({"test": "PrivateTest"} if VALIDATION.keys() & set(tops) else {})
    usage = [_named_part(path) or parts[top] for path, top in zip(paths, tops, strict=True)]
    moved = sum(parts[top] not in (part, A_TEST) for top, part in zip(tops, usage, strict=True))
    notes = [f"{moved:,} file names name another part than their folder does; the names count"] if moved else []
    names = [str(path) for path in paths]
    images, image_notes = read_faces(archive, names, workers)
    return pd.DataFrame({"source": names, "label": label, "usage": usage}), images, notes + image_notes


def _class_number(path: PurePosixPath, archive: Archive) -> int:
    """The class of an image by its folder: a name, or a number as in the CSV files."""
    folder = path.parts[-2]
    if folder in map(str, range(len(CLASSES))):
        return int(folder)
    return class_number(folder, CLASSES, f"{archive.path}: {path.parent}")


def _named_part(path: PurePosixPath) -> str | None:
    """The official part that a file name such as PublicTest_123.jpg names."""
    return FOLDERS.get(path.name.split("_")[0].lower()) if "_" in path.name else None
