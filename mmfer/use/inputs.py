"""What people have of photos -> pictures in RGB: paths, bytes, files, Pillow's images, arrays, tensors, data URLs."""

import base64
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import unquote_to_bytes

import numpy as np
from PIL import Image

from mmfer.errors import MmferError
from mmfer.use.photos import Picture, decode, displayed, orientation, read_photo
from mmfer.use.pixels import to_rgb
from mmfer.use.videos import VIDEOS

T = TypeVar("T")
SINGLE = (str, os.PathLike, bytes, bytearray, memoryview, Image.Image, Picture, Mapping)  # the last is refused
PIXELS = 24_000_000  # of the pictures of a group, from which on no other is added
KINDS = "a path, the bytes of a photo, an open file, a PIL image, an array, a tensor or a data URL"


def as_list(images: Any) -> list[Any]:
    """One photo, or several in a list, a stack of four dimensions or whatever can be gone through -> a list."""
    return [images] if is_one(images) else list(images)


def is_one(images: Any) -> bool:
    """Whether this is a photo (or none at all), not something to go through."""
    if isinstance(images, SINGLE) or hasattr(images, "read"):
        return True
    array = _as_array(images)
    if array is not None and array.ndim < 4 and array.dtype.kind not in "OUST":
        return True
    return not isinstance(images, Iterable)


def as_picture(image: Any, name: str, bgr: bool = False) -> Picture:
    """A photo of any kind -> the photo; arrays and tensors hold RGB, or BGR if `bgr`. MmferError if it is none.

    `name` is its source where it has no path, and what a MmferError says.
    """
    if isinstance(image, Picture):
        return image
    if isinstance(image, str) and image[:5].lower() == "data:":
        return decode(data_url(image, name), name)
    if isinstance(image, str | os.PathLike):
        return _named_photo(os.fsdecode(image))
    if isinstance(image, Image.Image):
        return Picture(name, _pixels(image, name))
    array = _as_array(image)
    if array is not None and not isinstance(image, memoryview):
        return Picture(name, _rgb(array, name, bgr))
    return decode(_content(image, name), name)


def in_groups(items: Iterable[T], most: int | None = None) -> Iterator[list[T]]:
    """Pictures, and whatever stands among them, in lists of `most`, or of fewer as soon as these have PIXELS."""
    held: list[T] = []
    for item in items:
        held.append(item)
        if len(held) == most or sum(other.pixels.size // 3 for other in held if isinstance(other, Picture)) >= PIXELS:
            yield held
            held = []
    if held:
        yield held


def read_ahead(items: Iterable[T]) -> Iterator[T]:
    """Items, of which a thread makes the next one while one is worked on."""
    end, made = object(), iter(items)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, made, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, made, end)
            yield cast(T, item)


def _named_photo(path: str) -> Picture:
    if "://" in path:
        raise MmferError(f"{path}: an address; download the photo and give its bytes, or the path of its file")
    if os.path.isdir(path) or Path(path).suffix.lower() in VIDEOS:
        raise MmferError(f"{path}: a folder or video, not one photo; `table` takes it, and so does `mmfer predict`")
    return read_photo(Path(path))


def _content(image: Any, name: str) -> bytes:
    """The bytes of a photo, or of an open file from its start."""
    if hasattr(image, "read"):
        try:
            if hasattr(image, "seekable") and image.seekable():
                image.seek(0)  # as Pillow does: a buffer that was just written stands at its end
            image = image.read()
        except (OSError, ValueError) as error:
            raise MmferError(f"{name}: the file cannot be read ({error}); open it again, as bytes") from None
    if not isinstance(image, bytes | bytearray | memoryview):
        raise MmferError(f"{name}: {type(image).__name__} is no photo; give {KINDS}")
    return bytes(image)


def from_text(text: str, name: str) -> bytes:
    """The bytes of a photo that was sent as base64, in one line or several, or as a data URL."""
    if text[:5].lower() == "data:":
        return data_url(text, name)
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise MmferError(f"{name}: not base64 ({error}); encode the bytes of the photo") from None


def data_url(url: str, name: str) -> bytes:
    """The bytes that a data URL holds (RFC 2397)."""
    head, comma, data = url.partition(",")
    try:
        content = unquote_to_bytes(data)
        content = base64.b64decode(content, validate=True) if head.endswith(";base64") else content
    except ValueError as error:
        raise MmferError(f"{name}: a data URL that is not base64 ({error}); write it again") from None
    if not comma or not content:
        raise MmferError(f"{name}: a data URL without data; write data:image/jpeg;base64,...")
    return content


def _pixels(image: Image.Image, name: str) -> np.ndarray:
    if not all(image.size):
        raise MmferError(f"{name}: {image.size[0]} x {image.size[1]} pixels; give a photo that has some")
    try:
        image.load()  # opened, and maybe not read until now
    except OSError as error:
        raise MmferError(f"{name}: truncated or damaged ({error}); copy or download it again") from None
    except (ValueError, AssertionError):  # what Pillow has for an image whose file was closed, the latter by a `with`
        raise MmferError(f"{name}: its file was closed before it was read; give its path, or load() it first") from None
    return displayed(image, orientation(image))


def _as_array(image: Any) -> np.ndarray | None:
    """An array as it is, a tensor (C, H, W) with its channels last; None for anything else."""
    if isinstance(image, np.ndarray):
        return image
    if type(image).__module__.partition(".")[0] == "torch" and hasattr(image, "detach"):
        values = image.detach().cpu()
        array = (values.float() if values.is_floating_point() else values).numpy()
        return np.moveaxis(array, 0, -1) if array.ndim == 3 and array.shape[0] in (1, 3, 4) else array
    return np.asarray(image) if hasattr(image, "__array__") else None


def _rgb(array: np.ndarray, name: str, bgr: bool) -> np.ndarray:
    try:
        rgb = to_rgb(array)
    except MmferError as error:
        raise MmferError(f"{name}: {error}") from None
    return np.ascontiguousarray(rgb[..., ::-1]) if bgr else rgb
