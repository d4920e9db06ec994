"""One photo or several, in every form in which people have them; what is none of these is one line."""

import base64
import io
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from mmfer.errors import MmferError
from mmfer.use.inputs import as_list, as_picture, in_groups, read_ahead
from mmfer.use.photos import Picture
from tests.use.photos import encode


@pytest.fixture
def file(colours, tmp_path):
    """A photo on disk."""
    (tmp_path / "p.png").write_bytes(encode(colours))
    return tmp_path / "p.png"


FORMS = {
    "string": lambda pixels, file: str(file),
    "path": lambda pixels, file: file,
    "bytes of a path": lambda pixels, file: FakePath(file),
    "bytes": lambda pixels, file: file.read_bytes(),
    "bytearray": lambda pixels, file: bytearray(file.read_bytes()),
    "memoryview": lambda pixels, file: memoryview(file.read_bytes()),
    "open file": lambda pixels, file: file.open("rb"),
    "buffer": lambda pixels, file: written(pixels),
    "PIL": lambda pixels, file: Image.open(file),
    "PIL RGBA": lambda pixels, file: Image.fromarray(pixels).convert("RGBA"),
    "array": lambda pixels, file: pixels,
    "float array": lambda pixels, file: pixels / 255,
    "tensor": lambda pixels, file: torch.from_numpy(pixels).permute(2, 0, 1),
    "tensor with channels last": lambda pixels, file: torch.from_numpy(pixels),
    "half tensor": lambda pixels, file: torch.from_numpy(pixels / 255).permute(2, 0, 1).bfloat16().requires_grad_(),
    "data URL": lambda pixels, file: "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode(),
}


class FakePath:
    """A path of another library."""

    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return str(self.path)


def closed():
    """A file that is closed already."""
    file = io.BytesIO(b"x")
    file.close()
    return file


def closed_image():
    """What is left of an image of Pillow after the block in which it was open."""
    with Image.open(io.BytesIO(encode(np.zeros((4, 4, 3), np.uint8)))) as image:
        return image


def written(pixels):
    """A buffer that was just written, at its end."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer


@pytest.mark.parametrize("form", FORMS)
def test_a_photo_of_any_form_is_one_photo(form, colours, file):
    (photo,) = as_list(FORMS[form](colours, file))
    pixels = as_picture(photo, "photo 0").pixels
    assert np.abs(pixels.astype(int) - colours).max() <= (1 if "half" in form else 0)


@pytest.mark.parametrize("form", FORMS)
def test_several_photos_are_each_one_photo(form, colours, file):
    made = FORMS[form](colours, file)
    assert as_list([made]) == [made]
    assert as_list((made, made)) == [made, made]
    assert len(as_list(iter([made, made]))) == 2


def test_a_dictionary_is_not_gone_through():
    assert as_list({"image": "a.png"}) == [{"image": "a.png"}]


def test_stacks_and_columns_of_tables_are_several_photos(colours):
    stack = np.stack([colours, colours[::-1], colours[:, ::-1]])
    assert [photo.tolist() for photo in as_list(stack)] == [photo.tolist() for photo in stack]
    tensors = as_list(torch.from_numpy(stack).permute(0, 3, 1, 2))
    assert (as_picture(tensors[1], "x").pixels == stack[1]).all()
    assert as_list(pd.Series(["a.png", "b.png"])) == ["a.png", "b.png"]
    assert as_list(np.array(["a.png", "b.png"])) == ["a.png", "b.png"]


def test_arrays_and_tensors_are_bgr_where_it_is_said(colours):
    swapped = np.ascontiguousarray(colours[..., ::-1])
    for photo in (swapped, torch.from_numpy(swapped).permute(2, 0, 1)):
        assert (as_picture(photo, "x", bgr=True).pixels == colours).all()
        assert (as_picture(photo, "x").pixels == swapped).all()
    assert (as_picture(encode(colours), "x", bgr=True).pixels == colours).all()  # a file says what it holds
    assert (as_picture(Image.fromarray(colours), "x", bgr=True).pixels == colours).all()
    grey = colours[..., 0]
    assert (as_picture(grey, "x", bgr=True).pixels == grey[..., None]).all()


def test_an_image_of_pillow_is_turned_as_its_exif_says(colours):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.open(io.BytesIO(encode(colours, exif=exif)))
    assert (as_picture(image, "x").pixels == np.rot90(colours, -1)).all()


def test_grey_levels_times_their_alpha_are_laid_over_white():
    image = Image.fromarray(np.array([[[200, 255], [200, 0], [200, 102]]], np.uint8), "LA")
    plain = as_picture(image, "x").pixels
    assert plain[0, :, 0].tolist() == [200, 255, 233]  # 0.4 * 200 + 0.6 * 255
    np.testing.assert_allclose(as_picture(image.convert("La"), "x").pixels, plain, atol=1)


@pytest.mark.parametrize(
    ("photo", "message"),
    [
        (5, "photo 3: int is no photo; give a path, the bytes"),
        (None, "photo 3: NoneType is no photo"),
        ([[1, 2]], "photo 3: list is no photo"),
        ({"image": 1}, "photo 3: dict is no photo"),
        (io.StringIO("text"), "photo 3: str is no photo"),
        (b"", "photo 3: empty"),
        (b"some text" * 20, "photo 3: not a photo that can be read"),
        (np.zeros((3, 40, 60), np.uint8), r"photo 3: picture of shape \(3, 40, 60\): expected \(H, W\)"),
        (np.zeros(5), r"photo 3: picture of shape \(5,\)"),
        (torch.zeros(2, 40, 60), r"photo 3: picture of shape \(2, 40, 60\)"),
        ("data:image/png;base64,%%%", "photo 3: a data URL that is not base64"),
        ("data:image/png;base64,", "photo 3: a data URL without data"),
        ("data:", "photo 3: a data URL without data"),
        ("no/such.png", "no/such.png: no such file; correct the path"),
        ("a\0.png", "embedded null"),
        (Path("/"), "/: a folder or video, not one photo; `table` takes it"),
        ("clip.MP4", "clip.MP4: a folder or video, not one photo"),
        ("https://example.org/a.jpg", "https://example.org/a.jpg: an address; download the photo"),
        (closed_image(), "photo 3: its file was closed before it was read; give its path"),
        (Image.new("RGB", (0, 5)), "photo 3: 0 x 5 pixels; give a photo that has some"),
        (closed(), r"photo 3: the file cannot be read \(I/O operation on closed file"),
        (io.TextIOWrapper(io.BytesIO(b"\xff")), r"photo 3: the file cannot be read \('utf-8' codec"),
    ],
)
def test_what_is_no_photo_is_refused_in_one_line(photo, message):
    with pytest.raises(MmferError, match=message) as refused:
        as_picture(photo, "photo 3")
    assert "\n" not in str(refused.value)


def test_a_photo_that_pillow_has_opened_and_cannot_read_is_told(colours):
    content = encode(np.kron(colours, np.ones((8, 8, 1), np.uint8)), "JPEG")
    with pytest.raises(MmferError, match="x: truncated or damaged"):
        as_picture(Image.open(io.BytesIO(content[: len(content) // 2])), "x")


def test_of_large_photos_fewer_are_in_a_group(monkeypatch):
    monkeypatch.setattr("mmfer.use.inputs.PIXELS", 2 * 80 * 120)
    small, large = (Picture("x", np.zeros((80 * n, 120, 3), np.uint8)) for n in (1, 2))
    assert [len(group) for group in in_groups([small] * 5)] == [2, 2, 1]
    assert [len(group) for group in in_groups([large, "what is no photo", small, small])] == [1, 3]
    assert [len(group) for group in in_groups(["no photo"] * 5, 2)] == [2, 2, 1]
    assert not list(in_groups([]))


def test_the_next_item_is_made_while_one_is_worked_on():
    started = [threading.Event() for _ in range(4)]

    def items():
        for n in range(4):
            started[n].set()
            yield n

    for n in read_ahead(items()):
        assert n == 3 or started[n + 1].wait(10)
        assert not any(event.is_set() for event in started[n + 2 :])  # and no more than that


def test_what_goes_wrong_ahead_is_raised_after_what_came_before_it():
    def items():
        yield 1
        raise MmferError("broken")

    ahead = read_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(MmferError, match="broken"):
        next(ahead)
    assert list(read_ahead([])) == []
