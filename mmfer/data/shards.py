"""Shards: the faces of a data set in several folders of at most so many rows, so that no process holds more.

data/big/raw is cut into data/big/0/raw, data/big/1/raw and so on. Each is a FaceSet as any other, of the data set
big/0, big/1: the stages clean, hide, augment and extract take such a name, each shard anywhere, in any order. What they
have made of all of them is joined below data/big. Splits, folds and marks of duplicates are those of the whole: no
image comes to train in one shard that tests in another. The random copies of big/1 are not those that big would have.
"""

from __future__ import annotations  # pandas takes 0.3 s to import

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmfer.data.faceset import (
    PART,
    FaceSet,
    check_made_of,
    create_array,
    new_faceset,
    open_faceset,
    read_index,
    write_rows,
)
from mmfer.errors import MmferError

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 8192  # rows that are copied at a time


def shards(data: Path) -> list[Path]:
    """The shards of a data folder, in their order."""
    return sorted((path for path in data.glob("*") if path.name.isdigit()), key=lambda path: int(path.name))


def cut(data: Path, rows: int, name: str = "raw") -> list[FaceSet]:
    """Cut the FaceSet `data`/`name`, raw or clean, into shards of `rows` rows, the last of what is left.

    MmferError if there are shards of an earlier cut into more.
    """
    whole = open_faceset(data / name)
    starts = range(0, len(whole), rows)
    if len(shards(data)) > len(starts):
        raise MmferError(f"{shards(data)[len(starts)]}: a shard of another cut; delete the numbered folders in {data}")
    for number, start in enumerate(starts):
        part = slice(start, min(start + rows, len(whole)))
        made_by = _of_cut(whole.made_by, rows)
        _write(data / str(number) / name, f"{whole.dataset}/{number}", made_by, [(whole, part, 0)])
    return [open_faceset(folder / name) for folder in shards(data)]


def join(data: Path, name: str) -> FaceSet:
    """Write the FaceSet `data`/`name`, such as features, of those of all shards, one after the other.

    MmferError if a shard lacks it, or has made it otherwise than the others, or of other faces than it now holds.
    """
    folders = shards(data)
    if not folders:
        raise MmferError(f"{data}: no shards; cut them first with `python -m stages.shards`")
    made = [open_faceset(folder / name) for folder in folders]
    for faces in made:
        if faces.made_by != made[0].made_by:
            raise MmferError(f"{faces.folder}: not made as {made[0].folder} was; run the stage that makes it again")
        check_made_of(faces, open_faceset(faces.folder.with_name("raw")))
    before = np.cumsum([0, *(len(open_faceset(folder / "raw")) for folder in folders)]).tolist()
    pieces = [(faces, slice(0, len(faces)), first) for faces, first in zip(made, before, strict=False)]
    _write(data / name, made[0].dataset.split("/")[0], _of_whole(made[0].made_by), pieces)
    return open_faceset(data / name)


def _of_cut(made_by: dict[str, Any], rows: int) -> dict[str, Any]:
    """What made a shard: the cut follows the download, so that what was made of another cut is told apart."""
    if "from" not in made_by:
        return {"stage": "shards", "params": {"rows": rows}, "from": made_by}
    return made_by | {"from": _of_cut(made_by["from"], rows)}


def _of_whole(made_by: dict[str, Any]) -> dict[str, Any]:
    """What made the same of the whole: without the cut."""
    return made_by["from"] if made_by["stage"] == "shards" else made_by | {"from": _of_whole(made_by["from"])}


Piece = tuple[FaceSet, slice, int]  # rows of a FaceSet, and what is added to the rows that `parent` names


def _write(target: Path, dataset: str, made_by: dict[str, Any], pieces: list[Piece]) -> None:
    first, rows = pieces[0][0], sum(part.stop - part.start for _, part, _ in pieces)
    with new_faceset(target, dataset, first.classes, _index(pieces), made_by) as folder:
        for name, array in first.arrays.items():
            create_array(folder, name, (rows, *array.shape[1:]))
        place = 0
        for faces, part, _ in pieces:
            for chunk in _slices(part, CHUNK):
                for name in first.arrays:
                    # Opened anew: pages of a memmap count as memory of this process for as long as it is open.
                    write_rows(folder, name, place, open_faceset(faces.folder).array(name)[chunk])
                place += chunk.stop - chunk.start


def _index(pieces: list[Piece]) -> Iterator[pd.DataFrame]:
    for faces, rows, before in pieces:
        for part in _slices(rows, PART):
            index = read_index(faces.folder, rows=part)
            yield index.assign(
                **{name: index[name] + np.int32(before) for name in ("parent", "other") if name in index}
            )


def _slices(rows: slice, size: int) -> list[slice]:
    return [slice(start, min(start + size, rows.stop)) for start in range(rows.start, rows.stop, size)]
