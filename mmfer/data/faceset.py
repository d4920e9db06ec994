"""FaceSet, the one dataset contract: a folder of arrays in which row i of every file is the same face.

    index.parquet   source, label, split, fold, subject, sequence, frame, digest, and what a stage adds
    images.npy      uint8 (N, 48, 48)       grey faces
    landmarks.npy   float32 (N, 68, 2)      x, y in pixels, iBUG 300-W order
    hog.npy         float16 (N, 900)        histogram of oriented gradients
    visible.npy     float32 (N, 5)          probability that brows, eyes, nose, mouth, jaw can be seen
    transforms.npy  float32 (N, 2, 3)       affine from the raw image to this image, pixels to pixels
    faceset.json    format version, dataset, classes in order, counts, what made it

Not every folder holds every file. Folders are written to a temporary sibling and renamed; arrays are opened as
read-only memmaps, and the index is read when it is asked for, whole or some rows and columns of it.
"""

from __future__ import annotations  # pandas takes 0.3 s to import, and using a network needs none of it

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ConfigDict, Field

from mmfer.config import FACE_PX, Block, check
from mmfer.errors import MmferError
from mmfer.files import new_folder, write_json

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
ARRAYS = {
    "images": ("uint8", (FACE_PX, FACE_PX)),
    "landmarks": ("float32", (68, 2)),
    "hog": ("float16", (None,)),
    "visible": ("float32", (5,)),
    "transforms": ("float32", (2, 3)),
}
COLUMNS = ["source", "label", "split", "fold", "subject", "sequence", "frame", "digest"]
SPLITS = ("train", "val", "test")
PART = 65_536  # rows of the index that are written, and can be read, at a time


class MadeBy(Block):
    """A stage, its parameters, and what made that which it took."""

    model_config = ConfigDict(extra="allow")
    stage: str
    params: dict[str, Any]
    origin: MadeBy | None = Field(None, alias="from")


class Head(Block):
    """What faceset.json has to hold."""

    model_config = ConfigDict(extra="allow")
    dataset: str
    classes: list[str]
    rows: int
    arrays: list[str]
    made_by: MadeBy


@dataclass(frozen=True)
class FaceSet:
    """An opened folder: the index as a table, the arrays that it holds as read-only memmaps.

    Asking for an array that the folder does not hold is an MmferError that names the file.
    """

    folder: Path
    dataset: str
    classes: list[str]
    rows: int
    arrays: dict[str, np.ndarray] = field(default_factory=dict)  # by the names in ARRAYS
    made_by: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.rows

    @cached_property
    def index(self) -> pd.DataFrame:
        """The whole table, read once; about 100 bytes a row."""
        return read_index(self.folder)

    def columns(self, *names: str) -> pd.DataFrame:
        """Some columns of the index, all rows."""
        return self.index[list(names)] if "index" in vars(self) else read_index(self.folder, list(names))

    def parts(self, *names: str) -> Iterator[pd.DataFrame]:
        """Some columns of the index (all without names), PART rows at a time, numbered as they are in the whole."""
        for start in range(0, self.rows, PART):
            if "index" in vars(self):
                yield self.index.iloc[start : start + PART][list(names) or list(self.index)]
            else:
                part = read_index(self.folder, list(names) or None, slice(start, start + PART))
                yield part.set_axis(range(start, start + len(part)))

    @property
    def images(self) -> np.ndarray:
        """Grey faces, uint8 (N, 48, 48)."""
        return self.array("images")

    @property
    def landmarks(self) -> np.ndarray:
        """Points x, y in pixels, float32 (N, 68, 2)."""
        return self.array("landmarks")

    @property
    def hog(self) -> np.ndarray:
        """Histograms of oriented gradients, float16 (N, length)."""
        return self.array("hog")

    @property
    def visible(self) -> np.ndarray:
        """Probability that each of mmfer.face.points.PARTS can be seen, float32 (N, 5)."""
        return self.array("visible")

    @property
    def transforms(self) -> np.ndarray:
        """Affine transforms from the raw image to this one, float32 (N, 2, 3)."""
        return self.array("transforms")

    def array(self, name: str) -> np.ndarray:
        """An array by its name in ARRAYS; MmferError where the folder does not hold it."""
        if name not in self.arrays:
            raise MmferError(f"{self.folder / name}.npy: not found; {_remedy(self.folder)}")
        return self.arrays[name]


def open_faceset(folder: Path, needs: tuple[str, ...] = ()) -> FaceSet:
    """Open a FaceSet folder that holds at least the arrays in `needs`, such as ("images", "hog").

    MmferError if a file is missing, truncated, or does not match the index.
    """
    with _damaged(folder):
        rows = count_rows(folder)
        head = json.loads((folder / "faceset.json").read_text(encoding="utf-8"))
    found = head.get("format") if isinstance(head, dict) else None
    if found != FORMAT:
        raise MmferError(f"{folder}/faceset.json: format {found}, expected {FORMAT}; {_remedy(folder)}")
    check(Head, head, f"{folder}/faceset.json")
    if head["rows"] != rows:
        raise MmferError(f"{folder}: index.parquet does not match faceset.json; {_remedy(folder)}")
    arrays = {name: _open_array(folder, name, rows) for name in ARRAYS if name in {*head["arrays"], *needs}}
    return FaceSet(folder, head["dataset"], head["classes"], rows, arrays, head["made_by"])


def count_rows(folder: Path) -> int:
    """Rows of a folder's index, of which nothing else is read."""
    import pyarrow.parquet as pq

    return pq.read_metadata(folder / "index.parquet").num_rows


def read_index(folder: Path, columns: list[str] | None = None, rows: slice = slice(None)) -> pd.DataFrame:
    """Columns (all without names) and consecutive rows of a folder's index, numbered from 0; no more of it is read."""
    import pyarrow.parquet as pq

    with _damaged(folder), pq.ParquetFile(folder / "index.parquet") as file:
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        ends = np.cumsum(sizes)
        start, stop, _ = rows.indices(file.metadata.num_rows)
        groups = np.flatnonzero((ends > start) & (ends - sizes < stop))
        table = file.read_row_groups(groups.tolist(), columns=columns)
        table.validate(full=True)  # text that is not UTF-8 would be noticed only where it is used
        before = int(ends[groups[0]] - sizes[groups[0]]) if len(groups) else 0
        return table.slice(start - before, stop - start).to_pandas()


@contextmanager
def _damaged(folder: Path) -> Iterator[None]:
    """Say which file is missing, or that the folder is damaged."""
    try:
        yield
    except FileNotFoundError as error:
        raise MmferError(f"{error.filename or folder / 'index.parquet'}: not found; {_remedy(folder)}") from None
    except (ValueError, OSError, RecursionError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise MmferError(f"{folder}: faceset.json or index.parquet is damaged ({error}); {_remedy(folder)}") from None


def check_made_of(made: FaceSet, source: FaceSet) -> None:
    """MmferError unless a FaceSet was made, straight or by way of others, of `source` as it is now."""
    chain = made.made_by
    while chain != source.made_by:
        if "from" not in chain:
            raise MmferError(f"{made.folder}: not made of {source.folder} as it is now; run the stage that makes it")
        chain = chain["from"]


def params_of(made_by: dict[str, Any], stage: str) -> dict[str, Any]:
    """The parameters of a stage among those that made a FaceSet; MmferError where it is none of these."""
    while made_by.get("stage") != stage:
        if not isinstance(made_by.get("from"), dict):
            raise MmferError(f"made_by: the stage {stage} is not named there; make the faces, or the model, again")
        made_by = made_by["from"]
    return made_by["params"]


def source_of(made_by: dict[str, Any]) -> dict[str, Any]:
    """The source's block of params.yaml as the download stage read it, from the `made_by` of any FaceSet after it."""
    while "from" in made_by:
        made_by = made_by["from"]
    return made_by.get("params", {})


def _open_array(folder: Path, name: str, rows: int) -> np.ndarray:
    path = folder / f"{name}.npy"
    dtype, shape = ARRAYS[name]
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise MmferError(f"{path}: not found; {_remedy(folder)}") from None
    except Exception as error:  # numpy reads the head of the file as Python, with all that may come of it
        raise MmferError(f"{path}: damaged ({error}); {_remedy(folder)}") from None
    fits = len(array.shape) == len(shape) + 1 and all(
        b in (None, a) for a, b in zip(array.shape[1:], shape, strict=True)
    )
    if array.dtype != dtype or not fits or len(array) != rows:
        raise MmferError(
            f"{path}: {array.dtype} {array.shape} does not match {rows} rows of {dtype}; {_remedy(folder)}"
        )
    return array


def _remedy(folder: Path) -> str:
    return f"rebuild it with `dvc repro` (delete {folder} first if that finds nothing to do)"


@contextmanager
def new_faceset(
    folder: Path,
    dataset: str,
    classes: list[str],
    index: pd.DataFrame | Iterable[pd.DataFrame] | None,
    made_by: dict,
    may_be_empty: bool = False,
) -> Iterator[Path]:
    """Yield a temporary folder, the index in it; on success faceset.json is added and it becomes `folder`.

    The index may come in parts; where it is None the block writes it, with `write_index`. The block writes the arrays,
    with `write_array`, or with `create_array` and `write_rows` where they do not fit into memory. `made_by` says which
    stage with which parameters. MmferError where no face is left, unless it `may_be_empty`.
    """
    with new_folder(folder) as temporary:
        if index is not None:
            write_index(temporary, index)
            _count_splits(temporary, classes, folder, may_be_empty)  # refused before there is work
        yield temporary
        splits = _count_splits(temporary, classes, folder, may_be_empty)
        head = {
            "format": FORMAT,
            "dataset": dataset,
            "classes": classes,
            "rows": sum(splits.values()),
            "splits": {split: splits[split] for split in SPLITS},
            "arrays": [name for name in ARRAYS if (temporary / f"{name}.npy").exists()],
            "made_by": made_by,
        }
        write_json(temporary / "faceset.json", head)


def write_index(folder: Path, index: pd.DataFrame | Iterable[pd.DataFrame]) -> None:
    """Write index.parquet from a table, or from parts of at most PART rows, each a row group that is read alone."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    if isinstance(index, pd.DataFrame):
        index = [index.iloc[start : start + PART] for start in range(0, max(len(index), 1), PART)]
    writer = None
    for part in index:
        table = pa.Table.from_pandas(part, schema=writer and writer.schema, preserve_index=False)
        writer = writer or pq.ParquetWriter(folder / "index.parquet", table.schema)
        writer.write_table(table)
    if writer:
        writer.close()


def _count_splits(temporary: Path, classes: list[str], folder: Path, may_be_empty: bool) -> Counter[str]:
    """Rows of each split; MmferError if the index breaks the contract."""
    import pyarrow.parquet as pq

    file = temporary / "index.parquet"
    missing = [column for column in COLUMNS if column not in pq.read_schema(file).names]
    if missing:
        raise MmferError(f"{folder}: the index lacks the columns {', '.join(missing)}; add them")
    splits: Counter[str] = Counter()
    for start in range(0, count_rows(temporary), PART):
        index = read_index(temporary, ["label", "split"], slice(start, start + PART))
        if not index["label"].between(0, len(classes) - 1).all():
            raise MmferError(f"{folder}: labels must be 0 to {len(classes) - 1}, found {sorted(set(index['label']))}")
        splits.update(index["split"].value_counts().to_dict())
    if not splits and not may_be_empty:
        raise MmferError(f"{folder}: no faces are left; loosen the parameters of this stage")
    unknown = set(splits) - set(SPLITS)
    if unknown:
        raise MmferError(f"{folder}: unknown split {', '.join(map(str, unknown))}; known: {', '.join(SPLITS)}")
    return splits


def write_array(folder: Path, name: str, array: np.ndarray) -> None:
    """Write a whole array (N rows) in its contract's dtype."""
    create_array(folder, name, array.shape)
    write_rows(folder, name, 0, array)


def create_array(folder: Path, name: str, shape: tuple[int, ...]) -> None:
    """Create a .npy file of full size, to be filled by `write_rows` from any number of workers."""
    dtype = np.dtype(ARRAYS[name][0])
    with (folder / f"{name}.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": dtype.str, "fortran_order": False, "shape": tuple(shape)})
        file.truncate(file.tell() + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)


def write_rows(folder: Path, name: str, start: int, rows: np.ndarray) -> None:
    """Write rows from `start` on. Plain file writes: several times faster than assigning to a writable memmap."""
    path = folder / f"{name}.npy"
    rows = np.ascontiguousarray(rows, dtype=ARRAYS[name][0])
    with path.open("r+b") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        file.seek(start * rows[:1].nbytes, 1)
        file.write(rows.data)


def new_index(source: list[str], label: np.ndarray, split: np.ndarray | str, **columns: object) -> pd.DataFrame:
    """An index table with the contract's columns; those not given are -1 (fold), null (others)."""
    import pandas as pd

    index = pd.DataFrame({"source": pd.array(source, dtype="string"), "label": np.asarray(label, dtype=np.int8)})
    index["split"] = pd.Series(split, index=index.index, dtype="string")
    index["fold"] = np.asarray(columns.pop("fold", -1), dtype=np.int8) * np.ones(len(index), dtype=np.int8)
    for name in ("subject", "sequence"):
        index[name] = pd.Series(columns.pop(name, None), index=index.index, dtype="string")
    index["frame"] = pd.Series(columns.pop("frame", None), index=index.index, dtype="Int32")
    index["digest"] = pd.Series(columns.pop("digest", None), index=index.index, dtype="string")
    return index.assign(**columns)


def digests(images: np.ndarray) -> list[str]:
    """MD5 of the pixels of each image (N, 48, 48): equal faces have equal digests."""
    return [hashlib.md5(image.tobytes(), usedforsecurity=False).hexdigest() for image in images]


def rows_digest(index: pd.DataFrame, rows: np.ndarray) -> str:
    """SHA-256 over source, label and pixel digest of `rows` (row numbers), in their order -> 64 hexadecimal digits.

    Two results are about the same test faces where these agree. What later stages add to the index does not change it.
    """
    faces = index[["source", "label", "digest"]].iloc[rows].astype(str).to_numpy().tolist()
    return hashlib.sha256(json.dumps(faces).encode()).hexdigest()


def count_splits(index: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """Rows of each split and class, every class of every split named: columns split, class, images."""
    import pandas as pd

    splits = [split for split in SPLITS if (index["split"] == split).any()]
    everything = pd.MultiIndex.from_product([splits, range(len(classes))], names=["split", "label"])
    counts = index.groupby(["split", "label"]).size().reindex(everything, fill_value=0).rename("images").reset_index()
    counts.insert(1, "class", [classes[label] for label in counts.pop("label")])
    return counts
