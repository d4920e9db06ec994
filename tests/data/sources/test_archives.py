"""Zips, folders and single files read alike; what an archive may not hold; images of any encoding."""

import hashlib
import io
import os
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image

from mmfer.data.sources.archives import (
    decode_grey,
    file_md5,
    open_archive,
    png_is_whole,
    read_faces,
    source_path,
)
from mmfer.errors import MmferError


@pytest.fixture
def faces(rng):
    return rng.integers(0, 256, (5, 48, 48), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path, faces):
    """Five faces below folder/a, and what operating systems leave beside them."""
    (tmp_path / "folder/a").mkdir(parents=True)
    for number, face in enumerate(faces):
        cv2.imwrite(str(tmp_path / f"folder/a/{number}.png"), face)
    (tmp_path / "folder/a/.DS_Store").write_bytes(b"x")
    (tmp_path / "folder/__MACOSX").mkdir()
    (tmp_path / "folder/__MACOSX/0.png").write_bytes(b"x")
    return tmp_path / "folder"


def pack(folder):
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return path


def test_a_zip_and_its_folder_hold_the_same_files_without_junk(folder, faces):
    for path in (folder, pack(folder)):
        with open_archive(path) as archive:
            assert list(archive.sizes) == [f"a/{number}.png" for number in range(5)]
            assert archive.read("a/3.png", 1 << 20) == (folder / "a/3.png").read_bytes()
            images, notes = read_faces(archive, list(archive.sizes), 2)
        assert (images == faces).all()
        assert notes == []


def test_order_of_the_names_and_number_of_threads_change_nothing(folder, faces, monkeypatch):
    monkeypatch.setattr("mmfer.data.sources.archives.CHUNK", 2)
    with open_archive(folder) as archive:
        images, _ = read_faces(archive, ["a/4.png", "a/0.png", "a/2.png"], 2)
    assert (images == faces[[4, 0, 2]]).all()


def test_a_file_that_is_larger_than_an_image_can_be_is_refused(folder):
    with open_archive(folder) as archive, pytest.raises(MmferError, match=r"a/0\.png has .* more than the 100 an"):
        archive.read("a/0.png", 100)


def test_colours_become_grey_and_are_counted(folder, rng):
    coloured = rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / "a/0.png"), coloured)
    with open_archive(folder) as archive:
        images, notes = read_faces(archive, ["a/0.png", "a/1.png"], 1)
    weights = np.array([0.114, 0.587, 0.299])  # blue, green, red: ITU-R BT.601
    np.testing.assert_allclose(images[0], coloured @ weights, atol=1)
    assert notes == ["1 images had colours and were converted to grey"]


@pytest.mark.parametrize("channels", [3, 4])
def test_grey_that_is_stored_as_colours_is_grey(faces, channels):
    data = cv2.imencode(".png", np.repeat(faces[0][..., None], channels, axis=2))[1].tobytes()
    image, coloured = decode_grey(data, "x")
    assert (image == faces[0]).all()
    assert not coloured


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_an_image_that_is_cut_off_is_named(faces, suffix):
    data = cv2.imencode(suffix, faces[0])[1].tobytes()
    with pytest.raises(MmferError, match=r"faces\.zip: a: not an image that can be decoded"):
        decode_grey(data[:-100], "faces.zip: a")


def test_sixteen_bits_are_named(faces):
    data = cv2.imencode(".png", faces[0].astype(np.uint16) * 257)[1].tobytes()
    with pytest.raises(MmferError, match="x: uint16 pixels, 8 bits expected"):
        decode_grey(data, "x")


def test_the_md5_is_that_of_a_file_and_none_of_a_folder(folder):
    path = pack(folder)
    assert file_md5(path) == hashlib.md5(path.read_bytes()).hexdigest()
    assert file_md5(folder) is None


@pytest.mark.parametrize("change", [lambda zip_: zip_[40:], lambda zip_: zip_[:2000] + zip_[2900:]])
def test_a_zip_that_lacks_bytes_is_refused(folder, change):
    path = pack(folder)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(MmferError, match=r"damaged zip \(bytes are missing or added\); download it again"):
        with open_archive(path):
            pass


def test_damaged_members_are_named(folder):
    path = pack(folder)
    data = bytearray(path.read_bytes())
    at = data.find((folder / "a/2.png").read_bytes())
    data[at + 100] ^= 255
    path.write_bytes(data)
    with open_archive(path) as archive, pytest.raises(MmferError, match=r"a/2\.png is damaged .*download"):
        archive.read("a/2.png", 1 << 20)


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", None)
    for side in (3000, 20_000):  # the second is more than Pillow opens without a word
        content = io.BytesIO()
        Image.new("1", (side, side)).save(content, "png")
        assert len(content.getvalue()) < 64 << 10
        with pytest.raises(MmferError, match=r"^a\.png: more than 4,194,304 pixels"):
            decode_grey(content.getvalue(), "a.png")


@pytest.mark.parametrize("at", [33, -12])  # its pixels, as Pillow finds them; its end, which Pillow does not look at
def test_a_png_part_that_claims_more_bytes_than_there_are_is_not_decoded(monkeypatch, faces, at):
    data = bytearray(cv2.imencode(".png", faces[0])[1].tobytes())
    data[at:at] = bytes.fromhex("b0fffcdb") + b"IDAT"  # OpenCV would take 2.8 GiB for it
    monkeypatch.setattr(cv2, "imdecode", None)
    assert not png_is_whole(data)
    with pytest.raises(MmferError, match=r"^a: not an image that can be decoded"):
        decode_grey(bytes(data), "a")


def test_what_pillow_does_not_know_is_not_decoded(monkeypatch, faces):
    data = bytearray(cv2.imencode(".png", faces[0])[1].tobytes())
    data[28] ^= 1  # the kind of pixels, under another sum
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(MmferError, match=r"^a: not an image that can be decoded"):
        decode_grey(bytes(data), "a")


def test_pipes_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with (
        pytest.raises(MmferError, match=r"pipe\.csv: neither a file nor a folder"),
        open_archive(tmp_path / "pipe.csv"),
    ):
        pass


def test_a_name_that_no_index_can_hold_is_told(folder):
    with open(os.fsencode(folder / "a") + b"/\xff.png", "wb"):
        pass
    with pytest.raises(MmferError, match="a/\ufffd\\.png: its name is not UTF-8"), open_archive(folder):
        pass


def test_a_zip_for_another_program_and_a_name_that_is_in_it_twice_are_refused(folder):
    path = pack(folder)
    whole = path.read_bytes()
    at = whole.find(b"PK\1\2")
    path.write_bytes(whole[: at + 6] + b"\xad\x00" + whole[at + 8 :])  # version 17.3 is needed to extract
    with pytest.raises(MmferError, match=r"damaged zip .*17\.3"), open_archive(path):
        pass
    path.write_bytes(whole)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("a/2.png", b"another")
    with pytest.raises(MmferError, match=r"a/2\.png is in it twice"), open_archive(path):
        pass


def test_the_home_of_a_user_that_is_not_there_is_named():
    with pytest.raises(MmferError, match=r"~nobody-of-that-name/a\.zip: .*correct source\.path"):
        source_path("~nobody-of-that-name/a.zip")


def test_folders_that_are_links_are_read_once(folder, faces, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "train").symlink_to(folder)
    (folder / "a" / "back").symlink_to(linked)
    with open_archive(linked) as archive:
        assert list(archive.sizes) == [f"train/a/{number}.png" for number in range(5)]
        assert (read_faces(archive, list(archive.sizes), 1)[0] == faces).all()
