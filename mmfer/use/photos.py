"""The bytes of a photo -> its pixels in RGB as they are displayed, or what is wrong with them in one line.

Photos are known by their content, not their names; of an animation the first picture counts.
"""

import io
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import (
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
    features,
)

from mmfer.errors import MmferError, install
from mmfer.use.pixels import deep_grey, to_eight_bits, to_rgb

MAX_BYTES = 2**30  # of a file: 80 megapixels of four times 16 bits have 0.6 GiB without any compression
MAX_PIXELS = 80_000_000  # that are decoded
MAX_JPEG = 250_000_000  # pixels of a JPEG, which is decoded at a half, a quarter or an eighth of its size
READERS = (  # not EPS: Pillow runs a program for it
    JpegImagePlugin.JpegImageFile,
    PngImagePlugin.PngImageFile,
    WebPImagePlugin.WebPImageFile,
    TiffImagePlugin.TiffImageFile,
    BmpImagePlugin.BmpImageFile,
    GifImagePlugin.GifImageFile,
    PpmImagePlugin.PpmImageFile,
    Jpeg2KImagePlugin.Jpeg2KImageFile,
)
FORMATS = tuple(reader.format for reader in READERS) + (
    ("AVIF",) if "avif" in features.modules and features.check("avif") else ()
)
JPEG, JPEG_END = b"\xff\xd8", b"\xff\xd9"
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
JXL = (b"\xff\x0a", b"\0\0\0\x0cJXL ")
_TURN = Image.Transpose
TURNS = {  # of what EXIF calls an orientation; 1 is as it lies
    **{2: _TURN.FLIP_LEFT_RIGHT, 3: _TURN.ROTATE_180, 4: _TURN.FLIP_TOP_BOTTOM, 5: _TURN.TRANSPOSE},
    **{6: _TURN.ROTATE_270, 7: _TURN.TRANSVERSE, 8: _TURN.ROTATE_90},
}
FILLINGS = (b"\x00" * 4096, b"\x55" * 4096)  # as if more of a JPEG's picture followed
logging.getLogger("PIL").setLevel(logging.CRITICAL)  # what is wrong with a photo stands in its MmferError
_decoding, _counting = [0], threading.Lock()  # threads that decode
_silence = ExitStack()  # closed by the last of them


@dataclass(frozen=True)
class Picture:
    """A photo, or a frame of a video or camera."""

    source: str
    pixels: np.ndarray  # (H, W, 3) uint8, RGB
    frame: int | None = None  # number in its video, from 0
    seconds: float | None = None  # when a frame is shown, by the container's clock where it has one
    rate: float = 0.0  # frames of the video shown in a second
    length: int = 0  # frames that the video states; 0 where it does not
    whole: tuple[int, int] | None = None  # width, height of a photo that is so large that it was decoded smaller

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the whole photo."""
        return self.whole or (self.pixels.shape[1], self.pixels.shape[0])

    @property
    def factor(self) -> int:
        """By how much the whole photo is larger than the pixels here."""
        return round(self.size[0] / self.pixels.shape[1])

    def follows(self, other: "Picture | None") -> bool:
        """Whether this is a later frame of the video that the other one is of."""
        if self.frame is None or other is None or other.frame is None:
            return False
        return self.source == other.source and self.frame > other.frame


def read_photo(path: Path) -> Picture:
    """A photo, turned as EXIF says; MmferError if it cannot be read."""
    try:
        if path.exists() and not path.is_file():  # a pipe or device may never end
            raise MmferError(f"{path}: no file; name a photo, or give `-` to read it from standard input")
        if path.stat().st_size > MAX_BYTES:
            raise MmferError(f"{path}: {_too_long()}")
        content = path.read_bytes()
    except FileNotFoundError:
        raise MmferError(f"{path}: no such file; correct the path") from None
    except (OSError, ValueError) as error:  # the latter: a name with a zero byte
        reason = getattr(error, "strerror", None) or error
        raise MmferError(f"{path}: {reason}; name a photo that can be read") from None
    return decode(content, str(path))


def decode(content: bytes, name: str, most: int | None = None) -> Picture:
    """The bytes of a photo -> the photo, turned as EXIF says; `name` is its source, and what a MmferError says.

    Refused is what has more pixels than `most`, or than can be decoded.
    """
    if not content:
        raise MmferError(f"{name}: empty; copy or download it again")
    if len(content) > MAX_BYTES:
        raise MmferError(f"{name}: {_too_long()}")
    try:
        with _without_warnings():  # of large and of half broken photos; they are refused or read below
            return _decode(content, name, most)
    except MmferError:
        raise
    except UnidentifiedImageError:
        raise MmferError(f"{name}: {_unknown(content)}") from None
    except MemoryError:
        raise MmferError(f"{name}: the memory is not enough to decode it; scale it down") from None
    except Image.DecompressionBombError:
        raise MmferError(f"{name}: more than {MAX_PIXELS:,} pixels; scale it down") from None
    except Exception as error:  # Pillow's decoders each have their own
        raise MmferError(f"{name}: truncated or damaged ({error}); copy or download it again") from None


@contextmanager
def _without_warnings() -> Iterator[None]:
    """No warnings while any thread is here: if each restored what it found, the silence of another one could stay."""
    with _counting:
        if not _decoding[0]:
            _silence.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        _decoding[0] += 1
    try:
        yield
    finally:
        with _counting:
            _decoding[0] -= 1
            if not _decoding[0]:
                _silence.close()


def _too_long() -> str:
    return f"more than {MAX_BYTES:,} bytes; convert it, or scale it down"


def _decode(content: bytes, name: str, most: int | None) -> Picture:
    with _open(content) as image:
        (width, height), jpeg = image.size, isinstance(image, JpegImagePlugin.JpegImageFile)
        limit = min(MAX_JPEG if jpeg else MAX_PIXELS, most or MAX_JPEG)
        if width * height > limit:
            raise MmferError(f"{name}: {width} x {height} is more than {limit:,} pixels; scale it down")
        _draft(image)
        # Of which Pillow keeps the upper 8 bits, even if these are empty; OpenCV has no CMYK of so many.
        deep = ";16" in str(image.tile) and not image.mode.startswith(("I", "CMYK"))
        whole = _loaded(image, content) if not deep or image.format == "PNG" else image  # OpenCV shows a part of a PNG
        pixels = displayed(_deep_colours(content) if deep else whole, orientation(whole))
    if width * height <= MAX_PIXELS:
        return Picture(name, pixels)
    turned = (pixels.shape[1] > pixels.shape[0]) != (width > height)
    return Picture(name, pixels, whole=(height, width) if turned else (width, height))


def _open(content: bytes) -> Image.Image:
    """The header of a photo, its pixels not yet decoded."""
    if content.startswith(JPEG):  # by itself, for Image.open refuses 180 megapixels before they can be halved
        return JpegImagePlugin.JpegImageFile(io.BytesIO(content))
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        return Image.open(io.BytesIO(content), formats=_plugins())


@cache
def _plugins() -> list[str]:
    """Formats of those plugins of the extra `formats` that are installed."""
    formats = []
    with suppress(ImportError):
        from pi_heif import register_heif_opener

        register_heif_opener()
        formats.append("HEIF")
    with suppress(ImportError):
        import pillow_jxl  # noqa: F401  it registers itself

        formats.append("JXL")
    return formats


def _unknown(content: bytes) -> str:
    """What is wrong with bytes that are in no format of these."""
    heif = content[4:8] == b"ftyp" and content[8:12] in HEIF_BRANDS
    if (heif and "HEIF" not in _plugins()) or (content.startswith(JXL) and "JXL" not in _plugins()):
        return f"{'HEIC' if heif else 'JPEG XL'} cannot be read; run `{install('pi_heif')}`, or convert it to JPEG"
    return f"not a photo that can be read ({', '.join([*FORMATS, *_plugins()])}); convert it"


def _draft(image: Image.Image) -> None:
    """Have a JPEG decoded at the largest of a half, a quarter or an eighth of its size that is small enough."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        factor = next(n for n in (2, 4, 8) if width * height <= MAX_PIXELS * n * n)
        image.draft(None, (width // factor, height // factor))


def orientation(image: Image.Image) -> Any:
    """How EXIF says that a Pillow image is turned; 1, as it lies, where that cannot be read."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # whatever the damage leads Pillow to: the pixels are none of it
        return 1


def displayed(image: Image.Image, turn: Any) -> np.ndarray:
    """Pixels (H, W, 3) uint8 of a Pillow image, turned as EXIF calls it, what is transparent white."""
    turned = image.transpose(TURNS[turn]) if turn in TURNS else image
    if turned.mode.startswith(("I", "F")):  # 16 and 32 bit
        return to_rgb(deep_grey(np.asarray(turned)))
    if turned.mode == "La":  # grey levels times their alpha: Pillow makes nothing else of them
        turned = turned.convert("LA")
    if turned.has_transparency_data:
        turned = turned.convert("RGBA")
        white = Image.new("RGBA", turned.size, "white")
        turned = Image.alpha_composite(white, turned)
    return np.asarray(turned.convert("RGB"))


def _deep_colours(content: bytes) -> Image.Image:
    """A picture of 16 bits a colour -> one of 8."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    levels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if levels is None:
        raise OSError("16 bits a colour cannot be decoded")
    colours, alpha = to_eight_bits(levels[..., 2::-1]), to_eight_bits(levels[..., 3:])
    return Image.fromarray(np.concatenate([colours, alpha], axis=2))


def _loaded(image: Image.Image, content: bytes) -> Image.Image:
    """The photo, decoded. A JPEG may lack its end marker, as long as nothing of its picture is missing.

    Then whatever follows changes no pixel.
    """
    try:
        image.load()
        return image
    except OSError:
        if not isinstance(image, JpegImagePlugin.JpegImageFile):
            raise
        first, second = (_filled(content, filling) for filling in FILLINGS)
        if not np.array_equal(np.asarray(first), np.asarray(second)):
            raise
        return first


def _filled(content: bytes, filling: bytes) -> Image.Image:
    image = _open(content.rstrip(JPEG_END[:1]) + filling + JPEG_END)
    _draft(image)
    image.load()
    return image
