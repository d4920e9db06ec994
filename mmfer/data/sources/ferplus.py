"""FER+ (Barsoum et al., 2016): the faces and official parts of FER2013 with the votes of ten raters for each.

    fer2013.csv, icml_face_data.csv   emotion (not used), pixels, Usage
    fer2013new.csv                    Usage, Image name (not used: empty where all votes are NF), and the votes for
                                      neutral, happiness, surprise, sadness, anger, disgust, fear, contempt, unknown and
                                      NF (no face); its rows are those of fer2013.csv, in their order

As in the published code: a single vote is taken for a slip and does not count; the label is the class that more than
half of the votes that do count are for; images without one, or where it is unknown or NF, are left out of every part.
What is left of the votes for the eight classes, as shares, is the distribution that `votes_<class>` of the index holds.
"""

from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from mmfer.config import FerplusSource
from mmfer.data.faceset import digests, new_index
from mmfer.data.sources.archives import Archive, open_archive, source_path
from mmfer.data.sources.classes import check_counts
from mmfer.data.sources.fer2013 import official_part, official_tables, read_official
from mmfer.data.sources.tables import read_rows, table_columns
from mmfer.data.votes import vote_columns
from mmfer.errors import MmferError

CLASSES = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"]
COLUMNS = [*CLASSES, "unknown", "nf"]
NUMBERS = {str(votes): votes for votes in range(11)}  # of ten raters
SPLITS = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
OFFICIAL = {  # images per class that the published votes leave, in the order of CLASSES
    "Training": [8740, 7287, 3149, 3014, 2100, 119, 532, 119],
    "PublicTest": [1182, 865, 415, 351, 287, 24, 62, 13],
    "PrivateTest": [1090, 893, 396, 384, 273, 18, 83, 16],
}
VOTES = "fer2013new.csv"
OUTSIDE = (
    "the labels are those of FER+, the majority of ten raters (Barsoum et al., 2016): they come from outside FER2013, "
    "whose own labels are not used; results do not compare with those of FER2013's labels"
)


def read_ferplus(source: FerplusSource, workers: int) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """Read FER+ -> index, images uint8 (N, 48, 48), class names; `workers` makes no difference.

    The index has `usage`, the official part, and `votes_<class>`, float32, which sum to 1; index.attrs["notes"] says
    where the labels come from and how many images are left out. MmferError where the two files are not sound, or not of
    the same faces.
    """
    if source.path is None:
        raise MmferError("params.yaml: source.path: FER+ needs fer2013.csv; name it, or a folder or zip that holds it")
    with open_archive(source_path(source.path)) as archive:
        rows, images = _read_faces(archive)
        votes = count_votes(_read_votes(*_find_votes(archive, source.votes), rows["usage"].tolist()))
    winner = majority(votes)
    notes = [OUTSIDE]
    for part in SPLITS:
        chosen = winner[rows["usage"] == part]
        labels = chosen[(chosen >= 0) & (chosen < len(CLASSES))]
        notes += check_counts(labels, CLASSES, OFFICIAL[part], f"{source.path}: {part}")
        notes.append(_left_out(part, chosen))
    kept = (winner >= 0) & (winner < len(CLASSES))
    rows, images, shares = rows[kept], images[kept], votes[kept, : len(CLASSES)]
    shares = (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)
    index = new_index(
        rows["source"].tolist(),
        winner[kept],
        rows["usage"].map(SPLITS).to_numpy(),
        digest=digests(images),
        usage=pd.array(rows["usage"], dtype="string"),
        **dict(zip(vote_columns(CLASSES), shares.T, strict=True)),
    )
    index.attrs["notes"] = notes
    return index, images, list(CLASSES)


def count_votes(votes: np.ndarray) -> np.ndarray:
    """Votes (N, 10) -> those that count: single ones are taken for slips."""
    return np.where(votes > 1, votes, 0)


def majority(votes: np.ndarray) -> np.ndarray:
    """Votes (N, C) -> the class (N,) that more than half of them are for, -1 where there is none."""
    return np.where(2 * votes.max(axis=1) > votes.sum(axis=1), votes.argmax(axis=1), -1)


def _left_out(part: str, winner: np.ndarray) -> str:
    """A note on those images of an official part that have no label; `winner` as `majority` gives it."""
    without = {"no majority": -1, "a majority for unknown": len(CLASSES), "a majority for no face": len(CLASSES) + 1}
    counts = {name: int((winner == number).sum()) for name, number in without.items()}
    shown = ", ".join(f"{count:,} with {name}" for name, count in counts.items())
    return f"{part}: {sum(counts.values()):,} of {len(winner):,} images are left out, as in FER+: {shown}"


def _read_faces(archive: Archive) -> tuple[pd.DataFrame, np.ndarray]:
    """Table (source, label, usage) and images of the one file with the columns of fer2013.csv."""
    names = official_tables(table_columns(archive))
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise MmferError(
            f"{archive.path}: one CSV file with emotion, pixels, Usage is needed, as fer2013.csv (found: {found}): "
            "FER+ goes by the order of its rows, which folders of images do not have"
        )
    return read_official(archive, names[0])


def _find_votes(archive: Archive, given: str | None) -> tuple[Archive, str]:
    """Where the file of votes is: the one that is named, or one with the faces, or beside them."""
    within = [name for name in archive.sizes if PurePosixPath(name).name.lower() == VOTES]
    if given is None and within:
        return archive, within[0]
    path = source_path(given) if given else archive.path.with_name(VOTES)
    if not path.is_file() or path.suffix.lower() != ".csv":
        raise MmferError(
            f"{path}: no such .csv file; take {VOTES} from github.com/microsoft/FERPlus and name it in source.votes"
        )
    with open_archive(path) as beside:  # a plain file: nothing to be closed
        return beside, path.name


def _read_votes(archive: Archive, name: str, usage: list[str]) -> np.ndarray:
    """The votes in a file for the images of these parts, int64 (N, 10); MmferError where it is not about them."""
    votes, parts = [], []
    for line, cells in read_rows(archive, name, ["usage", *COLUMNS]):
        where = f"{archive.path}: {name}, line {line}"
        votes.append(_parse_votes(cells, where))
        parts.append((official_part(cells["usage"].strip()), where))
    if len(votes) != len(usage):
        raise MmferError(
            f"{archive.path}: {name} has {len(votes):,} rows for {len(usage):,} images; take both files whole, as they "
            "were published"
        )
    for (part, where), expected in zip(parts, usage, strict=True):
        if part != expected:
            raise MmferError(
                f"{where}: Usage {part!r}, but {expected} of the image in this row; the rows of both files must be in "
                "the published order"
            )
    return np.array(votes, dtype=np.int64)


def _parse_votes(cells: dict[str, str], where: str) -> list[int]:
    texts = {column: cells[column].strip() for column in COLUMNS}
    for column, text in texts.items():
        if text not in NUMBERS:
            raise MmferError(f"{where}: {text!r} votes for {column}, 0 to 10 expected; download it again")
    votes = [NUMBERS[text] for text in texts.values()]
    if not 1 <= sum(votes) <= 10:
        raise MmferError(f"{where}: {sum(votes)} votes in all, 1 to 10 expected; download it again")
    return votes
