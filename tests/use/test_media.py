"""Files, folders, patterns, standard input: what is in them is read, what cannot be is told in its place."""

import io
import os
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from mmfer.use.media import Fault, read_media
from mmfer.use.photos import Picture
from tests.use.photos import encode, write_video


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


def test_pipes_and_devices_are_not_waited_for(tmp_path):
    for name in ("pipe.png", "pipe.mp4"):
        os.mkfifo(tmp_path / name)
    found = list(read_media([str(tmp_path / "pipe.png"), str(tmp_path / "pipe.mp4"), "/dev/zero"]))
    assert [item.message.split(";")[0] for item in found] == [f"{item.source}: no file" for item in found]
    assert len(found) == 3


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


def named(folder, items):
    return [os.path.relpath(item.source, folder) for item in items]


def test_a_folder_gives_every_kind_of_photo_and_passes_over_junk_and_annotated_copies(colours, tmp_path):
    names = ["a.jpe", "b.jfif", "c.pbm", "d.avif", "e.apng", "e.j2k", "e.mpo", "faces.jpg", "x.faces.png"]
    for name in [*names, "x.faces.jpg", "._a.png", ".thumbnails/t.png", "__MACOSX/m.png", "@eaDir/e.png"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(encode(colours))
    assert named(tmp_path, read_media([str(tmp_path)])) == names
    assert "x.faces.jpg" not in named(tmp_path, read_media([f"{tmp_path}/*.[jp]*g"]))
    assert named(tmp_path, read_media([f"{tmp_path}/x.faces.jpg"])) == ["x.faces.jpg"]  # by its name it is
    assert named(tmp_path, read_media([f"{tmp_path}/x.faces.jpg"], copies=tmp_path)) == []  # as of a shell's *.jpg


@pytest.mark.parametrize("name", ["IMG_1.HEIC", "a.jxl", "b.heif", "b.psd"])
def test_pictures_of_a_folder_that_cannot_be_read_are_told(colours, tmp_path, name):
    (tmp_path / "a.png").write_bytes(encode(colours))
    (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    faults = [item for item in read_media([str(tmp_path)]) if isinstance(item, Fault)]
    assert [fault.source for fault in faults] == [f"{tmp_path}/{name}"]
    assert re.match(r"(HEIC cannot|not a photo that can) be read", faults[0].message.split(": ")[1])


@pytest.mark.parametrize("name", ["a.NEF", "a.pef"])
def test_raw_pictures_of_cameras_are_told_not_taken_for_their_thumbnails(colours, tmp_path, name):
    (tmp_path / name).write_bytes(encode(colours, "TIFF"))
    (fault,) = read_media([str(tmp_path)])
    assert fault.message == f"{tmp_path}/{name}: the raw picture of a camera; convert it to JPEG or TIFF"


@pytest.mark.parametrize("name", ["a.QT", "b.vob", "c.f4v"])
def test_videos_are_known_by_the_ends_of_their_names_however_rare(tmp_path, name):
    write_video(tmp_path / "v.mp4", [np.full((80, 120, 3), 200, np.uint8)] * 3)
    (tmp_path / "v.mp4").rename(tmp_path / name)
    assert [item.frame for item in read_media([str(tmp_path)])] == [0, 1, 2]


def test_linked_folders_and_photos_are_followed_once(colours, tmp_path):
    for folder in ("folder", "elsewhere"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}.png").write_bytes(encode(colours))
    (tmp_path / "folder" / "linked").symlink_to("../elsewhere")
    (tmp_path / "folder" / "p.png").symlink_to("../elsewhere/elsewhere.png")
    (tmp_path / "elsewhere" / "back").symlink_to("../folder")
    found = named(tmp_path / "folder", read_media([str(tmp_path / "folder")]))
    assert found == ["folder.png", "linked/elsewhere.png", "p.png"]


def test_a_pattern_goes_into_the_folders_that_it_matches(colours, tmp_path):
    for name in ("a1/x.png", "a2/sub/y.png", "b/z.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(encode(colours))
    assert named(tmp_path, read_media([f"{tmp_path}/a*"])) == ["a1/x.png", "a2/sub/y.png"]
    assert named(tmp_path, read_media([f"{tmp_path}/a2/**"])) == ["a2/sub/y.png"]


@pytest.mark.parametrize("address", ["http://example.org/a.jpg?size=large", "RTSP://10.0.0.1/live"])
def test_an_address_among_the_files_is_told_what_it_may_be(address):
    (fault,) = read_media([address])
    assert fault.message == f"{address}: an address; name a camera or video with --camera, or download the photo"
