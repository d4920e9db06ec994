"""Photos, folders, videos, a camera, standard input -> pictures in RGB as they are displayed, or what is wrong.

A source that cannot be read becomes a Fault in its place among the others, so that the rest is still processed.
"""

import glob
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mmfer.errors import MmferError
from mmfer.files import files_below
from mmfer.use.live import ADDRESS, name_of, read_camera
from mmfer.use.photos import MAX_BYTES, Picture, decode, read_photo
from mmfer.use.videos import VIDEOS, read_video

PHOTOS = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif"}
PHOTOS |= {".ppm", ".pgm", ".pbm", ".pnm", ".apng", ".mpo", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".avif"}
PHOTOS |= {".heic", ".heif", ".hif", ".jxl", ".jxr", ".psd", ".tga", ".exr"}  # some are told, not read
RAW = {".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".raw"}  # of cameras; as TIFF, thumbnails
RAW |= {".crw", ".nrw", ".pef", ".srw", ".sr2", ".rwl", ".x3f", ".3fr", ".iiq", ".erf", ".kdc", ".mrw"}
COPIES = (".faces.jpg", ".faces.mp4")  # how the names of annotated copies end
STDIN = "-"


@dataclass(frozen=True)
class Fault:
    """A source of which something cannot be read, and why: one line."""

    source: str
    message: str


def read_media(
    paths: list[str],
    camera: int | str | None = None,
    every: int = 1,
    copies: Path | None = None,
    stop: threading.Event | None = None,
) -> Iterator[Picture | Fault]:
    """Pictures of files, folders, patterns and `-` (a photo on standard input), then of a camera, in this order.

    Of videos and the camera every `every`th frame; a camera, a number or an address, goes on until `stop` is set or
    the caller stops. Annotated copies of an earlier run are passed over in folders, among what a pattern matches, and
    in the folder `copies`.
    """
    for path in paths:
        if copies and is_copy(path) and Path(path).resolve().parent == copies.resolve():
            continue  # as a shell gives them for *.jpg
        for source in _sources(path):
            yield from [source] if isinstance(source, Fault) else _read_source(source, every)
    if camera is not None:
        yield from _or_fault(read_camera(camera, every, stop or threading.Event()), name_of(camera))


def is_copy(path: str) -> bool:
    """Whether a file has the name of an annotated copy."""
    return path.endswith(COPIES)


def _sources(path: str) -> list[str | Fault]:
    """The files that a path names: itself, those of a folder and its subfolders, or those that a pattern matches."""
    if ADDRESS.fullmatch(path):
        return [Fault(path, f"{path}: an address; name a camera or video with --camera, or download the photo")]
    if os.path.isdir(path):
        return [*_in_folder(path)] or [Fault(path, f"{path}: a folder without photos or videos; name another one")]
    if path == STDIN or os.path.exists(path) or not glob.has_magic(path):
        return [path]
    matches = [match for match in sorted(glob.glob(path, recursive=True)) if not is_copy(match)]
    files = [file for match in matches for file in (_in_folder(match) if os.path.isdir(match) else [match])]
    return [*dict.fromkeys(files)] or [Fault(path, f"{path}: no file matches; correct the pattern")]


def _in_folder(path: str) -> list[str]:
    files = [str(file) for file in files_below(Path(path)) if file.suffix.lower() in PHOTOS | RAW | VIDEOS]
    return [file for file in files if not is_copy(file)]


def _read_source(source: str, every: int) -> Iterator[Picture | Fault]:
    if Path(source).suffix.lower() in VIDEOS and os.path.isfile(source):
        yield from _or_fault(read_video(source, source, every), source)
        return
    try:
        if source == STDIN:
            yield replace(decode(sys.stdin.buffer.read(MAX_BYTES + 1), "standard input"), source=STDIN)
        else:
            yield _read_photo(Path(source))
    except MmferError as error:
        yield Fault(source, str(error))


def _read_photo(path: Path) -> Picture:
    if path.suffix.lower() in RAW and path.is_file():
        raise MmferError(f"{path}: the raw picture of a camera; convert it to JPEG or TIFF")
    return read_photo(path)


def _or_fault(frames: Iterator[Picture], name: str) -> Iterator[Picture | Fault]:
    """The frames of a video or camera, then a Fault if there should be more."""
    try:
        yield from frames
    except MmferError as error:
        yield Fault(name, str(error))
