"""A data set in one file, to train on another computer: what stands in data/<dataset>/raw and clean, exactly.

A pack is a zip of these parts, each stored as it is:

    pack.json         what its class Head names
    index.parquet     the index of clean, whose columns `raw_columns` are that of raw
    images.dct        the faces (mmfer.data.dct)
    landmarks.xz      the floats as planes of their first, second, third and fourth bytes, by LZMA
    transforms.xz     likewise
    visible.xz        likewise

All of it opens with numpy, pandas and numba, and nothing depends on a decoder that may differ from version to version.
What is opened is compared with digests of what was packed.
"""

import hashlib
import io
import json
import lzma
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pyarrow.parquet
from pydantic import Field
from tqdm import tqdm

from mmfer.config import FACE_PX, Block, check
from mmfer.data import dct
from mmfer.data.faceset import SPLITS, check_made_of, create_array, new_faceset, open_faceset, write_array, write_rows
from mmfer.errors import MmferError
from mmfer.files import new_file

FORMAT = 2
HEAD, INDEX, IMAGES = "pack.json", "index.parquet", "images.dct"
FLOATS = {"landmarks": (68, 2), "transforms": (2, 3), "visible": (5,)}  # float32; shape of a row
PARTS = (HEAD, INDEX, IMAGES, *(f"{name}.xz" for name in FLOATS))
SAMPLE = 64  # faces by which the table of the cosine transform is chosen
LZMA_MEMORY = 2**26  # bytes that opening may take; what is written needs 9 MiB


class Head(Block):
    """What pack.json says."""

    format: int
    dataset: str
    classes: list[str]
    rows: int = Field(ge=1)
    splits: dict[str, int]
    made_by: dict[str, Any] = Field(description="of clean; that of raw is its `from`")
    raw_columns: list[str]
    table: list[Annotated[int, Field(ge=1, le=255)]] = Field(min_length=64, max_length=64)
    sha256: dict[str, str] = Field(description="of index.parquet, and of the bytes of each array")


def write_pack(data: Path, target: Path) -> Head:
    """Write the FaceSets raw and clean of the folder `data` as one file; return what its head says.

    MmferError where one of them is missing or damaged, or clean was made of other faces than raw holds.
    """
    raw = open_faceset(data / "raw", needs=("images",))
    clean = open_faceset(data / "clean", needs=tuple(FLOATS))
    check_made_of(clean, raw)
    if not clean.index.reindex(columns=raw.index.columns).equals(raw.index):
        raise MmferError(f"{data}/clean: its index is not that of {data}/raw; run the stage clean again")
    table = dct.choose_table(raw.images[:: -(-len(raw) // SAMPLE)])
    parts = {INDEX: clean.index.to_parquet(index=False, compression="zstd")}
    parts[IMAGES] = dct.encode(_chunks(raw.images), table)
    parts |= {f"{name}.xz": lzma.compress(_planes(clean.array(name))) for name in FLOATS}
    head = Head(
        format=FORMAT,
        dataset=raw.dataset,
        classes=raw.classes,
        rows=len(raw),
        splits={split: int((raw.index["split"] == split).sum()) for split in SPLITS},
        made_by=clean.made_by,
        raw_columns=list(raw.index),
        table=table.tolist(),
        sha256={INDEX: hashlib.sha256(parts[INDEX]).hexdigest()}
        | {name: hashlib.sha256(array.data).hexdigest() for name, array in (raw.arrays | clean.arrays).items()},
    )
    parts[HEAD] = json.dumps(head.model_dump(), indent=2).encode()
    with new_file(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in PARTS:
            archive.writestr(zipfile.ZipInfo(name), parts[name])  # of no date: equal data make equal packs
    return head


def read_head(pack: Path) -> Head:
    """What the head of a pack says; MmferError where the file is no pack, or one of another version."""
    return _read_head(_read_parts(pack, HEAD)[HEAD], pack)


def read_pack(pack: Path, data: Path) -> Head:
    """Write the FaceSets raw and clean that a pack holds below the folder `data`; return what its head says.

    MmferError where the file is no pack, one of another version, cut short, or not as it was packed; then what `data`
    holds is as before.
    """
    parts = _read_parts(pack, *PARTS)
    head = _read_head(parts[HEAD], pack)
    index = _read_index(parts, head, pack)
    if not set(head.raw_columns) <= set(index) or "from" not in head.made_by:
        raise MmferError(
            f"{pack}: {HEAD} names columns or an origin that are not there; copy it again, or make it again"
        )
    columns, origin = index[[*dict.fromkeys(head.raw_columns)]], head.made_by["from"]
    with (
        new_faceset(data / "clean", head.dataset, head.classes, index, head.made_by) as clean,
        new_faceset(data / "raw", head.dataset, head.classes, columns, origin) as raw,
    ):
        for name in FLOATS:
            write_array(clean, name, _read_floats(parts[f"{name}.xz"], name, head, pack))
        _write_images(parts[IMAGES], head, raw, pack)
    return head


def _chunks(images: np.ndarray) -> Iterator[np.ndarray]:
    for start in tqdm(range(0, len(images), dct.CHUNK), "pack", unit_scale=dct.CHUNK, unit="face", disable=None):
        yield images[start : start + dct.CHUNK]


def _planes(floats: np.ndarray) -> bytes:
    """Floats (n, ...) -> all their first bytes, then all their second ones, and so on: signs and exponents repeat."""
    return floats.reshape(-1, 1).view(np.uint8).T.tobytes()


def _read_parts(pack: Path, *names: str) -> dict[str, bytes]:
    """Parts of a pack as they are stored; no more memory is taken than the file has bytes."""
    if not pack.is_file():
        raise MmferError(f"{pack}: not found; `mmfer pack` writes one")
    size = pack.stat().st_size
    try:
        with zipfile.ZipFile(pack) as archive:
            for part in archive.infolist():
                if part.compress_type != zipfile.ZIP_STORED or part.file_size > size:
                    raise zipfile.BadZipFile(f"{part.filename} is not stored as it is")
            return {name: archive.read(name) for name in names}
    except Exception as error:  # zipfile raises whatever the damage leads it to
        with pack.open("rb") as file:
            fault = "damaged or cut short" if file.read(4) == b"PK\3\4" else "not a pack of mmfer"
        raise MmferError(f"{pack}: {fault} ({error}); copy it again, or make it with `mmfer pack`") from None


def _read_head(content: bytes, pack: Path) -> Head:
    try:
        head = json.loads(content)
    except ValueError:
        head = None
    version = head.get("format") if isinstance(head, dict) else None
    if version != FORMAT:
        raise MmferError(
            f"{pack}: a pack of format {version}, this mmfer opens {FORMAT}; pack and open with one version"
        )
    return check(Head, head, f"{pack}: {HEAD}")


def _read_index(parts: dict[str, bytes], head: Head, pack: Path) -> pd.DataFrame:
    _compare(INDEX, hashlib.sha256(parts[INDEX]), head, pack)
    rows = pyarrow.parquet.read_metadata(io.BytesIO(parts[INDEX])).num_rows
    # The coder spends more than a bit on every face, so that no head can claim much that the file does not hold.
    if rows != head.rows or rows > 8 * len(parts[IMAGES]):
        raise MmferError(f"{pack}: {HEAD} claims {head.rows:,} faces, which the file does not hold; make it again")
    return pd.read_parquet(io.BytesIO(parts[INDEX]))


def _read_floats(code: bytes, name: str, head: Head, pack: Path) -> np.ndarray:
    shape = (head.rows, *FLOATS[name])
    length = 4 * math.prod(shape)
    try:
        planes = lzma.LZMADecompressor(lzma.FORMAT_XZ, LZMA_MEMORY).decompress(code, length)
    except lzma.LZMAError as error:
        raise MmferError(f"{pack}: {name}.xz: damaged ({error}); copy the pack again") from None
    if len(planes) < length:
        raise MmferError(f"{pack}: {name}.xz: ends within the {head.rows:,} faces; copy the pack again")
    floats = np.frombuffer(planes, np.uint8).reshape(4, -1).T.tobytes()
    _compare(name, hashlib.sha256(floats), head, pack)
    return np.frombuffer(floats, np.float32).reshape(shape)


def _write_images(code: bytes, head: Head, folder: Path, pack: Path) -> None:
    create_array(folder, "images", (head.rows, FACE_PX, FACE_PX))
    digest, start = hashlib.sha256(), 0
    try:
        for faces in dct.decode(code, head.rows, FACE_PX, np.array(head.table)):
            write_rows(folder, "images", start, faces)
            digest.update(faces.data)
            start += len(faces)
    except ValueError as error:
        raise MmferError(f"{pack}: {IMAGES}: {error}; copy the pack again") from None
    _compare("images", digest, head, pack)


def _compare(name: str, digest: Any, head: Head, pack: Path) -> None:
    if digest.hexdigest() != head.sha256.get(name):
        raise MmferError(f"{pack}: {name} is not what was packed (sha256 differs); copy it again, or make it again")
