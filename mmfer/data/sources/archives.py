"""Public datasets as people have them: a zip, a folder or one CSV file (.csv, .csv.gz), read in place, never unpacked.

Nothing in them is trusted: member names, sizes and contents are checked, and a fault is named by its file.
"""

import gzip
import hashlib
import io
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

import cv2
import numpy as np

from mmfer.config import FACE_PX
from mmfer.errors import MmferError
from mmfer.files import as_utf8, files_below, is_junk

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".pgm"}
MAX_TOTAL_BYTES = 8 << 30  # the original CK+ is about 2 GiB
MAX_RATIO = 200  # pixels as text shrink three times, images hardly
RATIO_FROM_BYTES = 10 << 20  # a smaller file does no harm at any ratio
MAX_FACE_BYTES = 64 << 10  # a 48x48 image without any compression has 9 KiB; also bounds what a decoder can allocate
MAX_FRAME_BYTES = 4 << 20
MAX_FRAME_PIXELS = 4 << 20
CHUNK = 256  # images that a thread decodes at a time
TABLES = (".csv", ".csv.gz")
# The last: a compression that Python lacks.
DAMAGE = (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError)


def source_path(text: str) -> Path:
    """The path that params.yaml gives, ~ as the shell reads it; MmferError where it names an unknown user's home."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise MmferError(f"{text}: {error}; correct source.path in params.yaml") from None


@dataclass(frozen=True)
class Archive:
    """The files of a zip or folder, or one plain file: {name relative to its top: bytes}, sorted by name."""

    path: Path
    sizes: dict[str, int]
    opener: Callable[[str], IO[bytes]]

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Open a file for reading; MmferError where its compressed data are damaged."""
        try:
            with self.opener(name) as file:
                yield file
        except DAMAGE as error:
            raise MmferError(f"{self.path}: {name} is damaged ({error}); download the archive again") from None

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of a file; MmferError where they are more than `limit`."""
        if self.sizes[name] > limit:
            raise MmferError(
                f"{self.path}: {name} has {self.sizes[name]:,} bytes, more than the {limit:,} an image here can need; "
                "check that this is the dataset you mean"
            )
        with self.open(name) as file:
            return file.read()

    def images(self) -> list[PurePosixPath]:
        """Paths of the files that are images by their suffix."""
        paths = map(PurePosixPath, self.sizes)
        return [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a zip, a folder or a .csv file; MmferError where it is missing, truncated, hostile or something else."""
    if not path.exists():
        raise MmferError(f"{path}: not found; correct source.path in params.yaml")
    if not path.is_dir() and not path.is_file():  # a pipe or device: it may never end
        raise MmferError(f"{path}: neither a file nor a folder; correct source.path in params.yaml")
    if path.is_dir():
        files = [file for file in files_below(path) if file.is_file()]  # train and test may be links to another disk
        sizes = {file.relative_to(path).as_posix(): _size(file) for file in files}
        odd = next((name for name in sizes if as_utf8(name) != name), None)
        if odd:
            raise MmferError(f"{path}: {as_utf8(odd)}: its name is not UTF-8, as that of an index has to be; rename it")
        yield Archive(path, sizes, _folder_opener(path))
    elif zipfile.is_zipfile(path):
        try:
            archive = zipfile.ZipFile(path)
        except DAMAGE as error:
            raise MmferError(f"{path}: damaged zip ({error}); download it again") from None
        with archive:
            members = _check_members(path, archive.infolist())
            sizes = {name: info.file_size for name, info in sorted(members.items())}
            yield Archive(path, sizes, lambda name: archive.open(members[name]))
    elif path.name.lower().endswith(TABLES):
        yield Archive(path, {path.name: _size(path)}, _folder_opener(path.parent))
    else:
        raise MmferError(f"{path}: {_what_is_wrong(path)}")


def _folder_opener(folder: Path) -> Callable[[str], IO[bytes]]:
    def open_file(name: str) -> IO[bytes]:
        return cast(IO[bytes], gzip.open(folder / name)) if _is_packed(name) else (folder / name).open("rb")

    return open_file


def _is_packed(name: str) -> bool:
    return name.lower().endswith(".csv.gz")


def _size(file: Path) -> int:
    """Bytes of a file, of a .csv.gz unpacked; MmferError where these are many more, or damaged."""
    size = file.stat().st_size
    if not _is_packed(file.name):
        return size
    unpacked, limit = 0, min(max(RATIO_FROM_BYTES, MAX_RATIO * size), MAX_TOTAL_BYTES)
    try:
        with gzip.open(file) as content:
            while piece := content.read(1 << 20):
                unpacked += len(piece)
                if unpacked > limit:
                    raise MmferError(f"{file}: unpacks to more than {limit:,} bytes: a bomb; do not use this file")
    except DAMAGE as error:
        raise MmferError(f"{file}: damaged ({error}); download it again") from None
    return unpacked


def _what_is_wrong(path: Path) -> str:
    with path.open("rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    if is_zip:
        return f"truncated zip ({path.stat().st_size:,} bytes, no directory at its end); download it again"
    return "neither a zip nor a folder nor .csv or .csv.gz; unpack other archives (.tar.gz, .rar) and name the folder"


def _check_members(path: Path, members: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """{name with slashes: member} of the files in a zip; MmferError for what a sound archive does not hold."""
    size = path.stat().st_size
    if not all(0 <= member.header_offset < size for member in members):  # before its start, where bytes are lost
        raise MmferError(f"{path}: damaged zip (bytes are missing or added); download it again")
    total = sum(member.file_size for member in members)
    if total > MAX_TOTAL_BYTES:
        raise MmferError(
            f"{path}: unpacks to {total:,} bytes, more than {MAX_TOTAL_BYTES:,}; this is no face dataset or a bomb"
        )
    found = {}
    for member in members:
        name = member.filename.replace("\\", "/")  # some zips from Windows
        if name.startswith("/") or ".." in name.split("/") or name[1:2] == ":":
            raise MmferError(f"{path}: member {member.filename!r} points outside the archive; do not use this file")
        if member.file_size > max(RATIO_FROM_BYTES, MAX_RATIO * member.compress_size):
            raise MmferError(
                f"{path}: {name} unpacks from {member.compress_size:,} to {member.file_size:,} bytes: a decompression "
                "bomb; do not use this file"
            )
        if member.flag_bits & 1:
            raise MmferError(f"{path}: {name} is encrypted; unpack the archive and name the folder")
        if not member.is_dir() and not any(map(is_junk, PurePosixPath(name).parts)):
            if name in found:
                raise MmferError(f"{path}: {name} is in it twice; make the zip again, or unpack it and name the folder")
            found[name] = member
    return found


def file_md5(path: Path) -> str | None:
    """MD5 of a file, read in pieces; None for a folder."""
    if path.is_dir():
        return None
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def read_faces(archive: Archive, names: list[str], workers: int) -> tuple[np.ndarray, list[str]]:
    """Decode 48x48 images -> uint8 (N, 48, 48) in the order of `names`, and notes (how many had colours).

    MmferError names the first file that cannot be decoded or has another size.
    """
    images = np.empty((len(names), FACE_PX, FACE_PX), dtype=np.uint8)

    def fill(start: int) -> int:
        coloured = 0
        for row, name in enumerate(names[start : start + CHUNK], start):
            grey, has_colour = decode_grey(archive.read(name, MAX_FACE_BYTES), f"{archive.path}: {name}")
            if grey.shape != (FACE_PX, FACE_PX):
                height, width = grey.shape
                raise MmferError(
                    f"{archive.path}: {name} is {width}x{height}, {FACE_PX}x{FACE_PX} expected; remove or resize it"
                )
            images[row] = grey
            coloured += has_colour
        return coloured

    with ThreadPoolExecutor(workers) as pool:
        coloured = sum(pool.map(fill, range(0, len(names), CHUNK)))
    return images, [f"{coloured:,} images had colours and were converted to grey"] if coloured else []


def decode_grey(data: bytes, where: str) -> tuple[np.ndarray, bool]:
    """Encoded image -> (grey uint8 (H, W), whether it had colours); MmferError where it is broken or not 8 bit.

    One of more pixels than any frame has is refused before it is decoded.
    """
    pixels = _pixels(data)
    if pixels > MAX_FRAME_PIXELS:
        raise MmferError(f"{where}: more than {MAX_FRAME_PIXELS:,} pixels; check that this is the dataset you mean")
    known = pixels and _is_whole(data)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if known else None
    if image is None:
        raise MmferError(f"{where}: not an image that can be decoded; download the dataset again or remove the file")
    if image.dtype != np.uint8:
        raise MmferError(f"{where}: {image.dtype} pixels, 8 bits expected; convert or remove the file")
    if image.ndim == 2:
        return image, False
    if image.shape[2] == 2 or np.ptp(image[..., :3], axis=2).max() == 0:  # grey with alpha, or grey stored as colours
        return image[..., 0], False
    return cv2.cvtColor(image[..., :3], cv2.COLOR_BGR2GRAY), True


def _pixels(data: bytes) -> int:
    """Pixels that an image says it has; 0 where Pillow finds none, which OpenCV then is not asked for."""
    from PIL import Image  # here, for where networks are only trained it need not be

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                return image.width * image.height
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        return MAX_FRAME_PIXELS + 1
    except Exception:  # damaged in one of many ways
        return 0


def _is_whole(data: bytes) -> bool:
    """Whether an image is not cut off: decoders paint the missing part grey without a word."""
    if data.startswith(b"\xff\xd8"):
        return b"\xff\xd9" in data[-64:]
    return len(data) > 0 and png_is_whole(data)


def png_is_whole(data: bytes) -> bool:
    """Whether a PNG, if it is one, has all bytes that its parts say they have: OpenCV makes room for as many."""
    if not data.startswith(b"\x89PNG"):
        return True
    place = 8
    while place + 12 <= len(data):  # length, kind, content, sum
        if data[place + 4 : place + 8] == b"IEND":
            return True
        place += 12 + int.from_bytes(data[place : place + 4], "big")
    return False
