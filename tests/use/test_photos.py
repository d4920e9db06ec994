"""Photos of every kind as they are displayed, every fault in one line."""

import base64
import struct
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmfer.errors import MmferError
from mmfer.use import photos
from mmfer.use.photos import FORMATS, decode, read_photo
from tests.use.photos import encode

# The picture `colours` as libheif 1.21 writes it; what the project installs only reads.
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAX1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJpbG9j"
    "AAAAAERAAAEAAQAAAAABoQABAAAAAAAAAJcAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA/Wlw"
    "cnAAAADdaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AA"
    "AAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAA"
    "QAAAAEAAAAAoY2xhcAAAADwAAAABAAAAKAAAAAH////8AAAAAv///+gAAAACAAAAEHBpeGkAAAAAAwgICAAAABhpcG1hAAAAAAAAAAEAAQWB"
    "AgMFhAAAAJ9tZGF0AAAAkygBrwng46QQVab/35F/9KrQ9K/t5y4aju3TsuBhI9XUzy19QgQrWtflo8fN9uOk+6LTN+Kis+vUKhinf+g/+VWb"
    "R4z0MozgxQQkawAhLTOJTL2/YRsLUiTp8nJErFcYP+Y9scUoLb+waF5312X2DzW7j+b9m44VTkUm546Uj7ZqnmVrugbLhINdSsTId2i665l5"
    "vA=="
)


@pytest.mark.parametrize("kind", ["HEIC", "JXL"])
def test_formats_of_plugins_are_read_where_these_are_installed(colours, kind, monkeypatch):
    package = {"HEIC": "pi_heif", "JXL": "pillow_jxl"}[kind]
    pytest.importorskip(package)
    content = HEIC if kind == "HEIC" else encode(colours, "JXL", lossless=True)
    middles = np.s_[10::20, 15::30]
    np.testing.assert_allclose(decode(content, "x").pixels[middles].astype(int), colours[middles].astype(int), atol=8)
    with pytest.raises(MmferError, match=r"x: (not a photo that can be read \(JPEG.*HEIF|truncated or damaged)"):
        decode(content[: len(content) // 2], "x")
    monkeypatch.setitem(sys.modules, package, None)
    photos._plugins.cache_clear()
    with pytest.raises(MmferError, match=r"x: (HEIC|JPEG XL) cannot be read; run `pip install 'mmfer\[formats\]'`"):
        decode(content, "x")
    photos._plugins.cache_clear()


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_its_colours(colours, kind):
    pixels = decode(encode(colours, kind), "x").pixels
    assert pixels.dtype == np.uint8
    middles = np.s_[10::20, 15::30]
    np.testing.assert_allclose(pixels[middles].astype(int), colours[middles].astype(int), atol=6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_photo_as_it_is_displayed(colours, orientation):
    stored = {  # what a camera stores of the displayed picture
        1: colours,
        2: colours[:, ::-1],
        3: colours[::-1, ::-1],
        4: colours[::-1],
        5: colours.transpose(1, 0, 2),
        6: np.rot90(colours, 1),
        7: colours[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(colours, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decode(encode(np.ascontiguousarray(stored), "PNG", exif=exif), "x").pixels
    assert (pixels == colours).all()


def test_alpha_is_laid_over_white(colours):
    alpha = np.full((40, 60), 255, np.uint8)
    alpha[:20] = 0
    pixels = decode(encode(np.dstack([colours, alpha])), "x").pixels
    assert (pixels[:20] == 255).all()
    assert (pixels[20:] == colours[20:]).all()


def test_cmyk_becomes_rgb(colours):
    pixels = decode(encode(Image.fromarray(colours).convert("CMYK"), "TIFF"), "x").pixels
    np.testing.assert_allclose(pixels.astype(int), colours.astype(int), atol=2)


def test_cmyk_of_16_bits_is_read():
    """As TIFF 6.0 lays it out: a head, nine entries, the bits of each ink, the pixels."""
    inks = np.zeros((2, 4, 4), "<u2")
    inks[..., 0], inks[:, 2:, 3] = 65535, 32768  # cyan, and half of black
    entries = [(256, 4, 1, 4), (257, 4, 1, 2), (258, 3, 4, 122), (259, 3, 1, 1), (262, 3, 1, 5), (273, 4, 1, 130)]
    entries += [(277, 3, 1, 4), (278, 4, 1, 2), (279, 4, 1, inks.nbytes)]
    head = struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + b"".join(struct.pack("<HHII", *each) for each in entries)
    content = head + struct.pack("<I4H", 0, 16, 16, 16, 16) + inks.tobytes()
    assert decode(content, "x").pixels.tolist() == [[[0, 255, 255]] * 2 + [[0, 127, 127]] * 2] * 2


def test_a_palette_with_a_transparent_colour_becomes_rgb():
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    assert decode(encode(image, transparency=1), "x").pixels.tolist() == [[[10, 20, 30], [255, 255, 255]]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_keep_their_upper_half(kind):
    levels = np.array([[0, 255, 256, 65535]], np.uint16)
    assert decode(encode(levels, kind), "x").pixels[..., 0].tolist() == [[0, 0, 1, 255]]


def test_float_levels_go_from_least_to_most():
    levels = np.array([[-2.0, 0.0, 2.0, np.nan]], np.float32)
    assert decode(encode(levels, "TIFF"), "x").pixels[..., 0].tolist() == [[0, 128, 255, 128]]


def test_grey_and_black_and_white_have_three_channels():
    grey = decode(encode(np.array([[7, 9]], np.uint8)), "x").pixels
    assert grey.tolist() == [[[7] * 3, [9] * 3]]
    assert decode(encode(Image.fromarray(np.array([[False, True]]))), "x").pixels.tolist() == [[[0] * 3, [255] * 3]]


def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch):
    content = encode(Image.new("1", (20000, 5000)))
    monkeypatch.setattr("mmfer.use.photos.displayed", lambda image: pytest.fail("decoded"))
    with pytest.raises(MmferError, match=r"big\.png: 20000 x 5000 is more than 80,000,000 pixels; scale it down"):
        decode(content, "big.png")
    with pytest.raises(MmferError, match=r"big\.png: more than 80,000,000 pixels"):
        decode(encode(Image.new("1", (20000, 15000))), "big.png")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x.jpg: empty; copy or download it again"),
        (b"no photo at all" * 50, r"x.jpg: not a photo that can be read \(JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "x.jpg: not a photo"),
    ],
)
def test_what_is_no_photo_is_told_in_one_line(tmp_path, content, message):
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(MmferError, match=message):
        read_photo(tmp_path / "x.jpg")


def test_a_truncated_photo_is_told(colours):
    content = encode(np.kron(colours, np.ones((8, 8, 1), np.uint8)), "JPEG")
    with pytest.raises(MmferError, match="x: truncated or damaged"):
        decode(content[: len(content) // 2], "x")


def test_a_photo_with_a_wrong_extension_is_known_by_its_content(colours, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(encode(colours, "PNG"))
    assert (read_photo(tmp_path / "photo.jpg").pixels == colours).all()


def outcome(content):
    """What becomes of the bytes of a file; anything but a photo or one line fails the test."""
    try:
        pixels = decode(content, "x").pixels
    except MmferError as error:
        return "refused" if str(error).startswith("x: ") else str(error)
    return "read" if pixels.dtype == np.uint8 and pixels.shape[2:] == (3,) else str(pixels.shape)


def test_corrupted_files_give_a_photo_or_one_line(colours, rng):
    noisy = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    originals = [encode(image, kind) for kind in FORMATS for image in (colours, noisy)]
    outcomes = {"read": 0, "refused": 0}
    for number in range(400):
        content = bytearray(originals[number % len(originals)])
        for place in rng.integers(0, min(len(content), 400), rng.integers(1, 8)):
            content[place] = rng.integers(0, 256)
        content = content[: rng.integers(1, len(content))] if number % 3 == 0 else content
        outcomes[outcome(bytes(content))] += 1
    assert min(outcomes.values()) > 40


@pytest.mark.parametrize("kind", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (10, np.uint16), (12, np.uint16), (16, np.uint16)])
def test_a_deep_photo_looks_as_its_copy_of_8_bits(colours, kind, channels, bits, dtype):
    levels = cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY) if channels == 1 else colours[..., ::-1]
    opaque = np.full((40, 60), (1 << bits) - 1, dtype)
    deep = levels.astype(dtype) << (bits - 8)
    content = cv2.imencode(kind, np.dstack([deep, opaque]) if channels == 4 else deep)[1].tobytes()
    plain = cv2.imencode(".png", levels)[1].tobytes()
    assert (decode(content, "x").pixels == decode(plain, "x").pixels).all()


def test_alpha_of_16_bits_makes_10_bit_colours_no_darker(colours):
    deep = np.dstack([colours.astype(np.uint16) << 2, np.full((40, 60), 65535, np.uint16)])
    content = cv2.imencode(".png", deep)[1].tobytes()
    assert (decode(content, "x").pixels == colours[..., ::-1]).all()


def test_a_deep_photo_in_colours_is_turned(colours):
    content = cv2.imencode(".tiff", colours.astype(np.uint16) << 8)[1].tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    png = cv2.imencode(".png", colours[..., ::-1].astype(np.uint16) << 8)[1].tobytes()
    chunk = encode(colours, exif=exif).partition(b"eXIf")
    size = int.from_bytes(chunk[0][-4:], "big")
    turned = png[:33] + chunk[0][-4:] + b"eXIf" + chunk[2][: size + 4] + png[33:]
    assert (decode(turned, "x").pixels == np.rot90(colours, -1)).all()
    assert decode(content, "x").pixels.shape == (40, 60, 3)


@pytest.fixture(params=[{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 4}])
def jpeg(request, rng):
    """A JPEG of 400 x 300 with much in it, of each way of coding."""
    noise = cv2.resize(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8), (400, 300), interpolation=cv2.INTER_CUBIC)
    return encode(noise, "JPEG", **request.param)


@pytest.mark.parametrize("missing", [1, 2])
def test_a_jpeg_that_lacks_only_its_end_marker_is_read(jpeg, missing):
    assert (decode(jpeg[:-missing], "x").pixels == decode(jpeg, "x").pixels).all()


@pytest.mark.parametrize("missing", [3, 4, 10, 100, 5000])
def test_a_jpeg_that_lacks_the_end_of_its_picture_is_told(jpeg, missing):
    with pytest.raises(MmferError, match="x: truncated or damaged"):
        decode(jpeg[:-missing], "x")


@pytest.mark.parametrize(("limit", "factor"), [(120_000, 1), (119_999, 2), (30_000, 2), (29_999, 4), (2_000, 8)])
def test_a_large_jpeg_is_decoded_smaller(jpeg, limit, factor, monkeypatch):
    monkeypatch.setattr("mmfer.use.photos.MAX_PIXELS", limit)
    photo = decode(jpeg, "x")
    assert (photo.size, photo.factor) == ((400, 300), factor)
    assert photo.pixels.shape == (-(-300 // factor), 400 // factor, 3)
    whole = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    rows = 300 // factor  # the last one may lie halfway outside
    expected = cv2.resize(whole[: rows * factor], (400 // factor, rows), interpolation=cv2.INTER_AREA)
    assert np.abs(photo.pixels[:rows].astype(int) - expected).mean() < 3
    assert (decode(jpeg[:-2], "x").pixels == photo.pixels).all()


def test_a_large_jpeg_is_turned_and_says_its_size_as_displayed(colours, monkeypatch):
    monkeypatch.setattr("mmfer.use.photos.MAX_PIXELS", 2_000)
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = decode(encode(colours, "JPEG", exif=exif), "x")
    assert (photo.size, photo.pixels.shape) == ((40, 60), (30, 20, 3))


def test_pillows_own_limit_keeps_no_large_jpeg_out_and_ours_does(jpeg, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50_000)  # it refuses what has twice as many
    assert decode(jpeg, "x").size == (400, 300)
    monkeypatch.setattr("mmfer.use.photos.MAX_JPEG", 119_999)
    with pytest.raises(MmferError, match="x: 400 x 300 is more than 119,999 pixels; scale it down"):
        decode(jpeg, "x")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_that_cannot_be_read_turns_nothing(colours, kind):
    plain = decode(encode(colours, kind), "x").pixels
    content = encode(colours, kind, exif=b"Exif\0\0no TIFF")
    assert (decode(content, "x").pixels == plain).all()


def test_threads_that_decode_leave_the_warnings_as_they_were(colours):
    content, before = encode(colours), list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: decode(content, "x"), range(400)))
    assert list(warnings.filters) == before


def test_warnings_are_as_before_after_a_fault(colours):
    before = list(warnings.filters)
    with pytest.raises(MmferError):
        decode(encode(colours)[:60], "x")
    assert list(warnings.filters) == before


def test_a_file_of_more_bytes_than_a_photo_can_have_is_not_read(tmp_path, monkeypatch):
    with (tmp_path / "disk.jpg").open("wb") as file:
        file.truncate(photos.MAX_BYTES + 1)  # of zeros that take no room
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} is read"))
    with pytest.raises(MmferError, match=r"disk\.jpg: more than 1,073,741,824 bytes; convert it"):
        read_photo(tmp_path / "disk.jpg")


def test_more_bytes_than_a_photo_can_have_are_not_decoded(colours, monkeypatch):
    content = encode(colours)
    monkeypatch.setattr(photos, "MAX_BYTES", len(content))
    assert (decode(content, "x").pixels == colours).all()
    with pytest.raises(MmferError, match="x: more than"):
        decode(content + b"x", "x")


def test_a_sound_photo_that_memory_does_not_hold_is_not_called_damaged(colours, monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(photos, "displayed", full)
    with pytest.raises(MmferError, match="x: the memory is not enough to decode it"):
        decode(encode(colours), "x")
