"""Annotated copies of videos: each frame for as long as it was shown, and the sound of the original."""

import resource
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmfer.errors import MmferError
from mmfer.use import copies
from mmfer.use.copies import Copies
from mmfer.use.photos import Picture
from tests.use.photos import write_video


def frame(number, seconds, level, source="v.mp4"):
    return Picture(source, np.full((64, 96, 3), level, np.uint8), number, seconds, 10.0)


def levels(path):
    """Mean grey of each frame of a video."""
    video, found = cv2.VideoCapture(str(path)), []
    while (read := video.read())[0]:
        found.append(read[1].mean())
    return found


def drawn(folder, frames, every=1):
    with Copies(folder, every) as made:
        for one in frames:
            made.add(one, [])
    return made


def test_a_frame_is_repeated_for_as_long_as_it_was_shown(tmp_path):
    drawn(tmp_path, [frame(0, 0.0, 0), frame(1, 0.1, 50), frame(2, 0.2, 100), frame(3, 0.7, 150), frame(4, 0.8, 200)])
    expected = [0, 50, *[100] * 5, 150, 200]
    np.testing.assert_allclose(levels(tmp_path / "v.faces.mp4"), expected, atol=4)


def test_of_frames_that_come_faster_than_the_rate_the_last_is_written(tmp_path):
    drawn(tmp_path, [frame(n, n / 40, 50 * (n // 2)) for n in range(8)])
    np.testing.assert_allclose(levels(tmp_path / "v.faces.mp4"), [50, 100, 150], atol=4)


def test_one_frame_in_so_many_has_the_same_length(tmp_path):
    drawn(tmp_path, [frame(n, n / 10, 100) for n in range(0, 20, 4)], every=4)
    assert len(levels(tmp_path / "v.faces.mp4")) == 5
    assert cv2.VideoCapture(str(tmp_path / "v.faces.mp4")).get(cv2.CAP_PROP_FPS) == 2.5


def test_a_clock_that_jumps_does_not_fill_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(copies, "LONGEST", 2.0)
    drawn(tmp_path, [frame(0, 0.0, 0), frame(1, 2e3, 50), frame(2, 2e3 + 0.1, 100)])
    assert len(levels(tmp_path / "v.faces.mp4")) == 22


def test_a_rate_that_no_player_shows_is_not_written(tmp_path):
    drawn(tmp_path, [Picture("v.mp4", np.zeros((64, 96, 3), np.uint8), n, n / 1000, 1000.0) for n in range(100)])
    assert cv2.VideoCapture(str(tmp_path / "v.faces.mp4")).get(cv2.CAP_PROP_FPS) == 60


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("camera 0", "camera-0.faces.mp4"),
        ("rtsp://me:***@10.0.0.1:554/live?x=1", "me-10-0-0-1-554-live-x-1.faces.mp4"),
    ],
)
def test_cameras_have_copies_of_a_sensible_name_and_nothing_is_said_of_sound(tmp_path, source, name):
    made = drawn(tmp_path, [frame(0, 0.0, 0, source), frame(1, 0.1, 0, source)])
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert made.notes == []


def test_each_video_is_given_the_sound_of_its_own(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(copies, "add_sound", lambda *call: calls.append(call))
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, [np.zeros((64, 96, 3), np.uint8)])
    frames = [frame(n, n / 10, 0, str(tmp_path / name)) for name in ("a.mp4", "b.mp4") for n in range(3)]
    drawn(tmp_path / "out", frames)
    assert [(original.name, seconds) for _, original, seconds in calls] == [("a.mp4", 0.3), ("b.mp4", 0.3)]
    assert [Path(copy).name.partition(".")[2].partition(".")[2] for copy, *_ in calls] == ["a.faces.mp4", "b.faces.mp4"]


def test_what_the_copies_lack_is_said_once(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, [np.zeros((64, 96, 3), np.uint8)])
    made = drawn(tmp_path / "out", [frame(0, 0.0, 0, str(tmp_path / name)) for name in ("a.mp4", "b.mp4")])
    assert made.notes == ["copies of videos have no sound: ffmpeg is not installed"]
    assert len(made.written) == 2


@pytest.mark.parametrize("letter", ["n", "\u9854"])
def test_names_as_long_as_a_file_system_allows_have_copies(tmp_path, letter):
    name = letter * (250 // len(letter.encode())) + ".png"
    made = Copies(tmp_path)
    with made:
        for source in (name, "a" + name[:-5] + ".png", name):
            made.add(Picture(source, np.zeros((8, 8, 3), np.uint8)), [])
    assert len(list(tmp_path.iterdir())) == 3
    assert all(path.name.endswith(".faces.jpg") for path in made.written)


def test_a_photo_wider_than_a_jpeg_can_be_has_no_copy_and_it_is_said(tmp_path):
    with Copies(tmp_path) as made:
        made.add(Picture("wide.png", np.zeros((2, 65_501, 3), np.uint8)), [])
        made.add(Picture("small.png", np.zeros((2, 60, 3), np.uint8)), [])
    assert made.notes == ["wide.png: no copy, for a JPEG has at most 65,500 pixels a side"]
    assert [path.name for path in tmp_path.iterdir()] == ["small.faces.jpg"]


@pytest.fixture
def full_disk():
    """No file may become longer than 20,000 bytes."""
    before, heard = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, heard)


@pytest.mark.parametrize("number", [None, 0])
def test_a_full_disk_leaves_no_half_copy(tmp_path, rng, full_disk, number, capfd):
    noise = Picture("v.mp4", rng.integers(0, 256, (240, 320, 3), dtype=np.uint8), number, number, 10.0)
    with pytest.raises((OSError, MmferError), match=r"File too large|the copy of v\.mp4 is not whole; free space"):
        drawn(tmp_path, [noise])
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == ""
