"""Reading pictures: every kind as it is displayed, every fault in one line, the rest still read."""

import io
import os
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, scalar_dtypes
from PIL import Image

from mmfer.errors import MmferError
from mmfer.use.media import FORMATS, Fault, Picture, decode, read_media, read_photo, to_rgb

SHAPES = array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
ARRAYS = st.one_of(
    arrays(scalar_dtypes(), SHAPES),
    arrays(st.sampled_from([np.uint8, np.uint16, np.bool_]), SHAPES),
    arrays(np.float32, SHAPES, elements=st.floats(0, 1, width=32)),
)


@pytest.fixture
def colours():
    """A picture (40, 60, 3) of four even quarters."""
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:20, :30], picture[:20, 30:] = (200, 40, 40), (40, 180, 40)
    picture[20:, :30], picture[20:, 30:] = (40, 40, 220), (240, 240, 240)
    return picture


def encode(image, kind="PNG", **options):
    """A Pillow image or array -> bytes of a file."""
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def write_video(path, frames, rate=10.0):
    height, width = frames[0].shape[:2]
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), rate, (width, height))
    for frame in frames:
        video.write(frame[..., ::-1])
    video.release()


@pytest.fixture
def video(tmp_path):
    """Twelve frames that grow lighter."""
    path = tmp_path / "some.mp4"
    write_video(path, [np.full((64, 96, 3), 20 * n, np.uint8) for n in range(12)])
    return path


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_its_colours(colours, kind):
    pixels = decode(encode(colours, kind), "x")
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
    pixels = decode(encode(np.ascontiguousarray(stored), "PNG", exif=exif), "x")
    assert (pixels == colours).all()


def test_alpha_is_laid_over_white(colours):
    alpha = np.full((40, 60), 255, np.uint8)
    alpha[:20] = 0
    pixels = decode(encode(np.dstack([colours, alpha])), "x")
    assert (pixels[:20] == 255).all()
    assert (pixels[20:] == colours[20:]).all()


def test_cmyk_becomes_rgb(colours):
    pixels = decode(encode(Image.fromarray(colours).convert("CMYK"), "TIFF"), "x")
    np.testing.assert_allclose(pixels.astype(int), colours.astype(int), atol=2)


def test_a_palette_with_a_transparent_colour_becomes_rgb():
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    assert decode(encode(image, transparency=1), "x").tolist() == [[[10, 20, 30], [255, 255, 255]]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_keep_their_upper_half(kind):
    levels = np.array([[0, 255, 256, 65535]], np.uint16)
    assert decode(encode(levels, kind), "x")[..., 0].tolist() == [[0, 0, 1, 255]]


def test_float_levels_go_from_least_to_most():
    levels = np.array([[-2.0, 0.0, 2.0, np.nan]], np.float32)
    assert decode(encode(levels, "TIFF"), "x")[..., 0].tolist() == [[0, 128, 255, 128]]


def test_grey_and_black_and_white_have_three_channels():
    grey = decode(encode(np.array([[7, 9]], np.uint8)), "x")
    assert grey.tolist() == [[[7] * 3, [9] * 3]]
    assert decode(encode(Image.fromarray(np.array([[False, True]]))), "x").tolist() == [[[0] * 3, [255] * 3]]


SHAPES = [(1, 1), (1, 300), (300, 1), (7, 5), (7, 5, 1), (7, 5, 3), (7, 5, 4)]


@settings(max_examples=300, deadline=None)
@given(ARRAYS)
def test_any_array_becomes_rgb_or_is_refused(array):
    try:
        rgb = to_rgb(array)
    except MmferError:
        return  # its messages are tested below; any other exception fails
    assert rgb.dtype == np.uint8
    assert rgb.shape == (*array.shape[:2], 3)
    assert rgb.flags.c_contiguous
    grey = array.ndim == 2 or array.shape[2] == 1
    highest = {"u": 255 if array.dtype == np.uint8 else 65535}.get(array.dtype.kind, 1)
    expected = np.broadcast_to(array.reshape(*array.shape[:2], -1)[..., :3], rgb.shape) / highest * 255
    assert np.abs(rgb - expected.astype(float)).max() <= 1
    assert not grey or (rgb[..., 0] == rgb[..., 2]).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, bool, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F", "reversed"])
def test_arrays_of_any_shape_type_and_order_become_rgb(rng, shape, dtype, order):
    whole = {"u": 255 if dtype is np.uint8 else 65535, "b": 1, "f": 1}[np.dtype(dtype).kind]
    array = (rng.random(shape) * whole).round(0 if whole > 1 else 6).astype(dtype)
    array = {"C": array, "F": np.asfortranarray(array), "reversed": array[::-1, ::-1]}[order]
    rgb = to_rgb(array)
    assert rgb.shape == (*shape[:2], 3)
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous
    three = array[..., None].repeat(3, -1) if array.ndim == 2 else array.repeat(3, -1) if shape[2] == 1 else array
    np.testing.assert_allclose(rgb / 255, three[..., :3].astype(float) / whole, atol=1 / 250)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0, 3), (5,), (5, 5, 2), (5, 5, 5), (2, 5, 5, 3), ()])
def test_arrays_of_other_shapes_are_refused(shape):
    with pytest.raises(MmferError, match=r"picture of shape \(.*expected \(H, W\)"):
        to_rgb(np.zeros(shape, np.uint8))


def test_arrays_of_other_types_and_values_are_refused():
    with pytest.raises(MmferError, match="picture of int64: expected uint8"):
        to_rgb(np.zeros((5, 5), np.int64))
    with pytest.raises(MmferError, match=r"values must be 0 to 1, found 0\.0 to 255\.0"):
        to_rgb(np.linspace(0, 255, 25).reshape(5, 5))
    with pytest.raises(MmferError, match="values must be 0 to 1, found nan"):
        to_rgb(np.full((5, 5), np.nan))


def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch):
    content = encode(Image.new("1", (20000, 5000)))
    monkeypatch.setattr("mmfer.use.media._displayed", lambda image: pytest.fail("decoded"))
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
    assert (read_photo(tmp_path / "photo.jpg") == colours).all()


def outcome(content):
    """What becomes of the bytes of a file; anything but a photo or one line fails the test."""
    try:
        pixels = decode(content, "x")
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


def test_a_folder_gives_its_photos_in_order_and_leaves_others_out(colours, tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("b.png", "a.JPG", "sub/c.png"):
        (tmp_path / name).write_bytes(encode(colours))
    (tmp_path / "notes.txt").write_text("no photo")
    found = [os.path.relpath(item.source, tmp_path) for item in read_media([str(tmp_path)])]
    assert found == ["a.JPG", "b.png", os.path.join("sub", "c.png")]


def test_a_pattern_gives_what_it_matches(colours, tmp_path):
    for name in ("a1.png", "a2.png", "b.png", "[x].png"):
        (tmp_path / name).write_bytes(encode(colours))
    assert [item.source[-6:] for item in read_media([f"{tmp_path}/a*.png"])] == ["a1.png", "a2.png"]
    assert [type(item) for item in read_media([f"{tmp_path}/[x].png"])] == [Picture]  # a file of that very name
    (fault,) = read_media([f"{tmp_path}/z*.png"])
    assert fault.message.endswith("no file matches; correct the pattern")


def test_faults_stand_in_their_place_and_the_rest_is_read(colours, tmp_path):
    (tmp_path / "good.png").write_bytes(encode(colours))
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "none").mkdir()
    paths = [str(tmp_path / name) for name in ("missing.png", "good.png", "empty.png", "none", "good.png")]
    items = list(read_media(paths))
    assert [type(item) for item in items] == [Fault, Picture, Fault, Fault, Picture]
    assert items[0].message.endswith("missing.png: no such file; correct the path")
    assert items[2].message.endswith("empty.png: empty; copy or download it again")
    assert items[3].message.endswith("none: a folder without photos or videos; name another one")
    assert all("\n" not in item.message for item in items if isinstance(item, Fault))


def test_standard_input_is_a_photo(colours, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(encode(colours))))
    (item,) = read_media(["-"])
    assert (item.pixels == colours).all()
    (fault,) = read_media(["-"])
    assert fault.message == "standard input: empty; copy or download it again"


def test_a_video_gives_its_frames_in_order(video):
    frames = list(read_media([str(video)]))
    assert [frame.frame for frame in frames] == list(range(12))
    assert {frame.rate for frame in frames} == {10.0}
    np.testing.assert_allclose([frame.pixels.mean() for frame in frames], 20 * np.arange(12), atol=4)


def test_every_third_frame(video):
    frames = list(read_media([str(video)], every=3))
    assert [frame.frame for frame in frames] == [0, 3, 6, 9]
    np.testing.assert_allclose([frame.pixels.mean() for frame in frames], [0, 60, 120, 180], atol=4)


@pytest.mark.parametrize("content", [b"", b"no video" * 100])
def test_a_video_without_frames_is_told(tmp_path, content, capfd):
    (tmp_path / "x.mp4").write_bytes(content)
    (fault,) = read_media([str(tmp_path / "x.mp4")])
    assert fault.message == f"{tmp_path}/x.mp4: no frame can be read; convert or copy it again"
    assert capfd.readouterr().err == ""  # OpenCV's own messages would stand between ours


def test_no_camera_is_told(capfd):
    (fault,) = read_media([], camera=97)
    assert fault.message == "camera 97: no frame can be read; connect it, or name another with --camera"
    assert capfd.readouterr().err == ""


def test_a_camera_is_released_when_the_caller_stops(monkeypatch):
    class Camera:
        released = False
        get, grab = (lambda self, key: 0.0), (lambda self: True)

        def retrieve(self):
            return True, np.array([[[1, 2, 3]]], np.uint8)

        def release(self):
            Camera.released = True

    monkeypatch.setattr(cv2, "VideoCapture", lambda number: Camera())
    stream = read_media([], camera=0)
    first = next(stream)
    assert (first.source, first.frame, first.rate, first.pixels.tolist()) == ("camera 0", 0, 25.0, [[[3, 2, 1]]])
    stream.close()
    assert Camera.released
