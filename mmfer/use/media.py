"""Photos, folders, videos, a camera, standard input -> pictures in RGB as they are displayed, or what is wrong.

A source that cannot be read becomes a Fault in its place among the others, so that the rest is still processed. Photos
are known by their content, not their names; of an animation the first picture counts.
"""

import glob
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from mmfer.errors import MmferError

MAX_PIXELS = 80_000_000  # of a photo; refused before it is decoded
READERS = (  # not EPS: Pillow runs a program for it
    JpegImagePlugin.JpegImageFile,
    PngImagePlugin.PngImageFile,
    WebPImagePlugin.WebPImageFile,
    TiffImagePlugin.TiffImageFile,
    BmpImagePlugin.BmpImageFile,
    GifImagePlugin.GifImageFile,
    PpmImagePlugin.PpmImageFile,
)
FORMATS = tuple(reader.format for reader in READERS)
PHOTOS = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm"}
VIDEOS = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv"}
STDIN = "-"
logging.getLogger("PIL").setLevel(logging.CRITICAL)  # what is wrong with a photo stands in its Fault
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read at its first use; its messages would stand between ours


@dataclass(frozen=True)
class Picture:
    """A photo, or a frame of a video or camera."""

    source: str
    pixels: np.ndarray  # (H, W, 3) uint8, RGB
    frame: int | None = None  # number in its video, from 0
    rate: float = 0.0  # frames of the video shown in a second


@dataclass(frozen=True)
class Fault:
    """A source that cannot be read, and why: one line."""

    source: str
    message: str


def read_media(paths: list[str], camera: int | None = None, every: int = 1) -> Iterator[Picture | Fault]:
    """Pictures of files, folders, patterns and `-` (a photo on standard input), then of a camera, in this order.

    Of videos and the camera every `every`th frame; a camera goes on until the caller stops.
    """
    for path in paths:
        for source in _sources(path):
            yield from [source] if isinstance(source, Fault) else _read_source(source, every)
    if camera is not None:
        yield from _read_video(camera, every)


def _sources(path: str) -> list[str | Fault]:
    """The files that a path names: itself, those of a folder and its subfolders, or those that a pattern matches."""
    if path == STDIN:
        return [path]
    if os.path.isdir(path):
        files: list[str | Fault] = [
            str(file) for file in sorted(Path(path).rglob("*")) if file.suffix.lower() in PHOTOS | VIDEOS
        ]
        return files or [Fault(path, f"{path}: a folder without photos or videos; name another one")]
    if not os.path.exists(path) and glob.has_magic(path):
        matches: list[str | Fault] = [*sorted(glob.glob(path, recursive=True))]
        return matches or [Fault(path, f"{path}: no file matches; correct the pattern")]
    return [path]


def _read_source(source: str, every: int) -> Iterator[Picture | Fault]:
    if Path(source).suffix.lower() in VIDEOS and os.path.isfile(source):
        yield from _read_video(source, every)
        return
    try:
        pixels = decode(sys.stdin.buffer.read(), "standard input") if source == STDIN else read_photo(Path(source))
    except MmferError as error:
        yield Fault(source, str(error))
    else:
        yield Picture(source, pixels)


def read_photo(path: Path) -> np.ndarray:
    """A photo's pixels (H, W, 3) uint8 in RGB, turned as EXIF says; MmferError if it cannot be read."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise MmferError(f"{path}: no such file; correct the path") from None
    except OSError as error:
        raise MmferError(f"{path}: {error.strerror}; name a photo that can be read") from None
    return decode(content, str(path))


def decode(content: bytes, name: str) -> np.ndarray:
    """The bytes of a photo -> pixels (H, W, 3) uint8 in RGB, turned as EXIF says; `name` is what a MmferError says."""
    if not content:
        raise MmferError(f"{name}: empty; copy or download it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large and of half broken photos; they are refused or read below
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                width, height = image.size
                if width * height <= MAX_PIXELS:
                    return _displayed(image)
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        if isinstance(error, UnidentifiedImageError):
            raise MmferError(f"{name}: not a photo that can be read ({', '.join(FORMATS)}); convert it") from None
        raise MmferError(f"{name}: more than {MAX_PIXELS:,} pixels; scale it down") from None
    except Exception as error:  # Pillow's decoders each have their own
        raise MmferError(f"{name}: truncated or damaged ({error}); copy or download it again") from None
    raise MmferError(f"{name}: {width} x {height} is more than {MAX_PIXELS:,} pixels; scale it down")


def _displayed(image: Image.Image) -> np.ndarray:
    turned = ImageOps.exif_transpose(image)
    if turned.mode.startswith(("I", "F")):  # 16 and 32 bit
        return to_rgb(_deep_grey(np.asarray(turned)))
    if turned.has_transparency_data:
        turned = turned.convert("RGBA")
        white = Image.new("RGBA", turned.size, "white")
        turned = Image.alpha_composite(white, turned)
    return np.asarray(turned.convert("RGB"))


def _deep_grey(values: np.ndarray) -> np.ndarray:
    """Grey levels of a format without a fixed range -> uint16: 16 bits as they are, others from least to most."""
    if values.dtype.kind in "iu" and values.min() >= 0 and values.max() <= 65535:
        return values.astype(np.uint16)
    values = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    least, span = values.min(), np.ptp(values)
    return np.round((values - least) * (65535 / (span or 1.0))).astype(np.uint16)


def to_rgb(image: np.ndarray) -> np.ndarray:
    """Picture (H, W), (H, W, 1), RGB or RGBA; uint8, uint16, bool, or float from 0 to 1 -> (H, W, 3) uint8.

    Alpha is left out. MmferError for other shapes, types and values.
    """
    shape = image.shape[:2] if image.ndim == 3 and image.shape[2] == 1 else image.shape
    if not image.size or len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (3, 4)):
        raise MmferError(f"picture of shape {image.shape}: expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)")
    if image.dtype == np.uint16:
        levels = np.right_shift(image, 8).astype(np.uint8)
    elif image.dtype == bool or image.dtype.kind == "f":
        if not (image.min() >= 0 and image.max() <= 1):  # NaN is neither
            raise MmferError(f"picture of {image.dtype}: values must be 0 to 1, found {image.min()} to {image.max()}")
        levels = np.round(image.astype(np.float32) * 255).astype(np.uint8)
    elif image.dtype == np.uint8:
        levels = image
    else:
        raise MmferError(f"picture of {image.dtype}: expected uint8, uint16, bool, or float from 0 to 1; convert it")
    levels = np.ascontiguousarray(levels.reshape(shape))
    return cv2.cvtColor(levels, cv2.COLOR_GRAY2RGB) if levels.ndim == 2 else np.ascontiguousarray(levels[..., :3])


def _read_video(source: str | int, every: int) -> Iterator[Picture | Fault]:
    """Every `every`th frame of a video file, or of the camera of this number."""
    name = f"camera {source}" if isinstance(source, int) else source
    capture = _open_video(source)
    rate, number = capture.get(cv2.CAP_PROP_FPS) or 25.0, 0
    try:
        while capture.grab():
            if number % every == 0:
                read, pixels = capture.retrieve()
                if not read:
                    break
                yield Picture(name, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), number, rate)
            number += 1
    finally:
        capture.release()
    if not number:
        remedy = "connect it, or name another with --camera" if isinstance(source, int) else "convert or copy it again"
        yield Fault(name, f"{name}: no frame can be read; {remedy}")


def _open_video(source: str | int) -> cv2.VideoCapture:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2.VideoCapture(source)
