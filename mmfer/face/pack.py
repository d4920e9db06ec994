"""A data set in one file, to train on another computer: data/<dataset>/raw, clean and hidden, exactly.

A pack is a zip of these parts, each stored as it is:

    pack.json         what its class Head names
    index.parquet     the index of clean, whose columns `raw_columns` are that of raw
    images.dct        the faces (mmfer.data.dct)
    landmarks, transforms, visible
                      by mmfer.face.array_code
    hidden/...        where there are hidden faces (mmfer.face.hide): these three of them, and `scores`, of the detector

All of it opens with numpy, pandas and numba, and nothing depends on a decoder that may differ from version to version.
The pixels of hidden faces are not in it: they are painted again, which needs OpenCV but no detector.
What is opened is compared with digests of what was packed.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet
import scipy
from pydantic import Field
from tqdm import tqdm

from mmfer.config import FACE_PX, Block, CleanParams, HideParams, check
from mmfer.data import dct
from mmfer.data.faceset import (
    SPLITS,
    FaceSet,
    check_made_of,
    create_array,
    new_faceset,
    open_faceset,
    read_index,
    write_array,
    write_index,
    write_rows,
)
from mmfer.errors import MmferError
from mmfer.face.array_code import FLOATS, compressed, decode, encode, floats
from mmfer.face.hide import paint, trained, variants_of, with_found
from mmfer.face.points import PARTS
from mmfer.files import new_file
from mmfer.parallel import each, ranges
from mmfer.zips import stored_zip

FORMAT = 3
HEAD, INDEX, IMAGES = "pack.json", "index.parquet", "images.dct"
HIDDEN, SCORES = "hidden/", "hidden/scores"
PAINTED = 256  # hidden faces that a worker paints at a time
SAMPLE = 64  # faces by which the table of the cosine transform is chosen


class Hidden(Block):
    """What the head says of hidden faces."""

    params: HideParams
    rows: int = Field(ge=1)
    painted_by: dict[str, str] = Field(description="versions of what the pixels come from")


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
    hidden: Hidden | None = None
    sha256: dict[str, str] = Field(
        description="of index.parquet, of each array's bytes, of what `_drawn` of hidden gives"
    )


def write_pack(data: Path, target: Path) -> Head:
    """Write the FaceSets raw, clean and, if there are any such faces, hidden of the folder `data` as one file.

    Returns what its head says. MmferError where raw or clean is missing, or one is damaged or was made of other faces.
    """
    raw = open_faceset(data / "raw", needs=("images",))
    clean = open_faceset(data / "clean", needs=tuple(FLOATS))
    check_made_of(clean, raw)
    if not clean.index.reindex(columns=raw.index.columns).equals(raw.index):
        raise MmferError(f"{data}/clean: its index is not that of {data}/raw; run the stage clean again")
    hidden = _open_hidden(data / "hidden", clean)
    cleaning = CleanParams(**clean.made_by["params"])
    table = dct.choose_table(raw.images[:: -(-len(raw) // SAMPLE)])
    parts = {INDEX: clean.index.to_parquet(index=False, compression="zstd")}
    parts[IMAGES] = dct.encode(_chunks(raw.images), table)
    parts |= encode(clean, cleaning)
    arrays = raw.arrays | clean.arrays
    digests = {INDEX: hashlib.sha256(parts[INDEX]).hexdigest()}
    if hidden:
        parts |= {HIDDEN + name: part for name, part in encode(hidden, cleaning).items()}
        parts[SCORES] = compressed(hidden.index["face_score"].to_numpy())
        arrays |= {HIDDEN + name: array for name, array in hidden.arrays.items()}
        digests[HIDDEN + INDEX] = hashlib.sha256(_drawn(hidden.index)).hexdigest()
    head = Head(
        format=FORMAT,
        dataset=raw.dataset,
        classes=raw.classes,
        rows=len(raw),
        splits={split: int((raw.index["split"] == split).sum()) for split in SPLITS},
        made_by=clean.made_by,
        raw_columns=list(raw.index),
        table=table.tolist(),
        hidden=_said_of(hidden) if hidden else None,
        sha256=digests | {name: hashlib.sha256(array.data).hexdigest() for name, array in arrays.items()},
    )
    parts = {HEAD: json.dumps(head.model_dump(), indent=2).encode()} | parts
    with new_file(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, part in parts.items():
            archive.writestr(zipfile.ZipInfo(name), part)  # of no date: equal data make equal packs
    return head


def read_head(pack: Path) -> Head:
    """What the head of a pack says; MmferError where the file is no pack, or one of another version."""
    return _read_head(_read_parts(pack, HEAD)[HEAD], pack)


def read_pack(pack: Path, data: Path) -> Head:
    """Write the FaceSets raw and clean that a pack holds below the folder `data`; return what its head says.

    MmferError where the file is no pack, one of another version, cut short, or not as it was packed; then what `data`
    holds is as before. Hidden faces are `read_hidden`'s.
    """
    parts = _read_parts(pack, HEAD, INDEX, IMAGES, *FLOATS)
    head = _read_head(parts[HEAD], pack)
    index = _read_index(parts, head, pack)
    if not {*head.raw_columns} <= set(index) or not {"from", "params"} <= set(head.made_by):
        raise MmferError(
            f"{pack}: {HEAD} names columns or an origin that are not there; copy it again, or make it again"
        )
    columns, origin = index[[*dict.fromkeys(head.raw_columns)]], head.made_by["from"]
    with (
        new_faceset(data / "clean", head.dataset, head.classes, index, head.made_by) as clean,
        new_faceset(data / "raw", head.dataset, head.classes, columns, origin) as raw,
    ):
        for name, array in _decode(parts, "", index["kept"].to_numpy(), head, pack).items():
            write_array(clean, name, array)
        _write_images(parts[IMAGES], head, raw, pack)
    return head


def read_hidden(pack: Path, data: Path, workers: int) -> FaceSet:
    """Write the FaceSet hidden that a pack holds beside its raw and clean ones, which `read_pack` wrote below `data`.

    Its pixels are painted by so many processes. MmferError where they or anything else are not as they were packed,
    and where the pack has no hidden faces; then what `data` holds is as before.
    """
    head = read_head(pack)
    if head.hidden is None:
        raise MmferError(f"{pack}: has no hidden faces; make them with the stage hide, then the pack with `mmfer pack`")
    parts = _read_parts(pack, SCORES, *(HIDDEN + name for name in FLOATS))
    raw, clean, params, rows = (
        open_faceset(data / "raw"),
        open_faceset(data / "clean"),
        head.hidden.params,
        head.hidden.rows,
    )
    drawn = variants_of(clean, trained(clean), params)
    if len(drawn) != rows:
        raise MmferError(f"{pack}: {HEAD} claims {rows:,} hidden faces instead of {len(drawn):,}; make the pack again")
    try:
        scores = floats(parts[SCORES], SCORES, (rows,))
    except ValueError as error:
        raise MmferError(f"{pack}: {error}; copy the pack again") from None
    arrays = _decode(parts, HIDDEN, ~np.isnan(scores), head, pack)
    made_by = {"stage": "hide", "params": params.model_dump(), "from": clean.made_by}
    with new_faceset(data / "hidden", raw.dataset, raw.classes, drawn, made_by) as folder:
        for name, array in arrays.items():
            write_array(folder, name, array)
        create_array(folder, "images", (rows, FACE_PX, FACE_PX))
        folders = [path.absolute() for path in (raw.folder, clean.folder, folder)]
        jobs = [(*folders, part, params.seed) for part in ranges(rows, PAINTED, workers)]
        shares = np.concatenate(each(_paint_rows, jobs, workers, "hidden faces", prefer="processes"))
        index = with_found(drawn, scores, shares)
        painted = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        said = {HIDDEN + "images": painted.data, HIDDEN + INDEX: _drawn(index)}
        if any(hashlib.sha256(content).hexdigest() != head.sha256.get(name) for name, content in said.items()):
            raise MmferError(
                f"{pack}: hidden faces are painted otherwise here, by {_painters()}, than where they were packed, by "
                f"{head.hidden.painted_by}; install those versions, or make the pack again"
            )
        write_index(folder, index)
    return open_faceset(data / "hidden")


def _open_hidden(folder: Path, clean: FaceSet) -> FaceSet | None:
    """The FaceSet hidden; None where there is none or it has no rows."""
    if not folder.exists():
        return None
    hidden = open_faceset(folder, needs=("images", *FLOATS))
    if not len(hidden):
        return None
    check_made_of(hidden, clean)
    index, shares = hidden.index, hidden.index[[f"hidden_{part}" for part in PARTS]].to_numpy()
    drawn = variants_of(clean, trained(clean), _hide_params(hidden))
    if len(drawn) != len(index) or not with_found(drawn, index["face_score"].to_numpy(), shares).equals(index):
        raise MmferError(
            f"{folder}: not the variants of the training faces of {clean.folder}; run the stage hide again"
        )
    return hidden


def _said_of(hidden: FaceSet) -> Hidden:
    return Hidden(params=_hide_params(hidden), rows=len(hidden), painted_by=_painters())


def _hide_params(hidden: FaceSet) -> HideParams:
    return HideParams(**hidden.made_by["params"])


def _painters() -> dict[str, str]:
    return {"numpy": np.__version__, "opencv": cv2.__version__, "scipy": scipy.__version__}


def _drawn(index: pd.DataFrame) -> bytes:
    """What the index of hidden says that is not of the index of clean."""
    names = ["parent", "variant", "other", "face_score", "kept", *(f"hidden_{part}" for part in PARTS)]
    return b"".join(index[name].to_numpy().tobytes() for name in names)


def _paint_rows(raw: Path, clean: Path, folder: Path, rows: slice, seed: int) -> np.ndarray:
    """Paint some rows of hidden and write them -> hidden shares of the parts (n, 5) float32."""
    drawn = read_index(folder, ["parent", "variant", "other"], rows)
    faces, shares = paint(open_faceset(raw), open_faceset(clean), drawn, seed)
    write_rows(folder, "images", rows.start, faces)
    return shares


def _chunks(images: np.ndarray) -> Iterator[np.ndarray]:
    for start in tqdm(range(0, len(images), dct.CHUNK), "pack", unit_scale=dct.CHUNK, unit="face", disable=None):
        yield images[start : start + dct.CHUNK]


def _decode(parts: dict[str, bytes], prefix: str, found: np.ndarray, head: Head, pack: Path) -> dict[str, np.ndarray]:
    """Landmarks, transforms and visibility of faces, some of which were found (n,), compared with their digests."""
    cleaning = check(CleanParams, head.made_by["params"], f"{pack}: {HEAD}")
    try:
        arrays = decode({name: parts[prefix + name] for name in FLOATS}, found, cleaning)
    except ValueError as error:
        raise MmferError(f"{pack}: {prefix}{error}; copy the pack again") from None
    for name, array in arrays.items():
        _compare(prefix + name, hashlib.sha256(array.data), head, pack)
    return arrays


def _read_parts(pack: Path, *names: str) -> dict[str, bytes]:
    """Parts of a pack as they are stored; no more memory is taken than the file has bytes."""
    if not pack.is_file():
        raise MmferError(f"{pack}: not found; `mmfer pack` writes one")
    try:
        with stored_zip(pack) as archive:
            return {name: archive.read(name) for name in names}
    except Exception as error:  # zipfile raises whatever the damage leads it to
        with pack.open("rb") as file:
            fault = "damaged or cut short" if file.read(4) == b"PK\3\4" else "not a pack of mmfer"
        raise MmferError(f"{pack}: {fault} ({error}); copy it again, or make it with `mmfer pack`") from None


def _read_head(content: bytes, pack: Path) -> Head:
    try:
        head = json.loads(content)
    except (ValueError, RecursionError):
        head = None
    version = head.get("format") if isinstance(head, dict) else None
    if version != FORMAT:
        raise MmferError(
            f"{pack}: a pack of format {version}, this mmfer opens {FORMAT}; pack and open with one version"
        )
    return check(Head, head, f"{pack}: {HEAD}")


def _read_index(parts: dict[str, bytes], head: Head, pack: Path) -> pd.DataFrame:
    _compare(INDEX, hashlib.sha256(parts[INDEX]), head, pack)
    try:
        rows = pyarrow.parquet.read_metadata(io.BytesIO(parts[INDEX])).num_rows
        # The coder spends more than a bit on every face, so that no head can claim much that the file does not hold.
        if rows != head.rows or rows > 8 * len(parts[IMAGES]):
            raise MmferError(f"{pack}: {HEAD} claims {head.rows:,} faces, which the file does not hold; make it again")
        index = pd.read_parquet(io.BytesIO(parts[INDEX]))
    except MmferError:
        raise
    except Exception as error:  # pyarrow and pandas each have their own
        raise MmferError(f"{pack}: {INDEX}: damaged ({error}); make the pack again") from None
    types = {name: str(index[name].dtype) for name in ("label", "kept") if name in index}
    if types != {"label": "int8", "kept": "bool"}:
        raise MmferError(f"{pack}: {INDEX}: columns of types {types}, int8 and bool expected; make the pack again")
    return index


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
