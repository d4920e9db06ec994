"""Videos: every frame that can be read, when it is shown, then a line where some cannot be read."""

import os

import cv2
import numpy as np
import pytest

from mmfer.use.media import Fault, read_media
from tests.use.photos import write_video


def test_a_video_gives_its_frames_in_order(video):
    frames = list(read_media([str(video)]))
    assert [frame.frame for frame in frames] == list(range(12))
    assert {(frame.rate, frame.length) for frame in frames} == {(10.0, 12)}
    assert [frame.seconds for frame in frames] == [round(0.1 * n, 3) for n in range(12)]
    np.testing.assert_allclose([frame.pixels.mean() for frame in frames], 20 * np.arange(12), atol=4)


def test_every_third_frame(video):
    frames = list(read_media([str(video)], every=3))
    assert [(frame.frame, frame.seconds) for frame in frames] == [(0, 0), (3, 0.3), (6, 0.6), (9, 0.9)]
    np.testing.assert_allclose([frame.pixels.mean() for frame in frames], [0, 60, 120, 180], atol=4)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "empty; copy or download it again"), (b"no video" * 100, "no frame can be read; convert or copy it again")],
)
def test_a_video_without_frames_is_told(tmp_path, content, said, capfd):
    (tmp_path / "x.mp4").write_bytes(content)
    (fault,) = read_media([str(tmp_path / "x.mp4")])
    assert fault.message == f"{tmp_path}/x.mp4: {said}"
    assert capfd.readouterr().err == ""  # OpenCV's own messages would stand between ours


KINDS = [("mp4", "mp4v"), ("avi", "MJPG"), ("mkv", "mp4v"), ("webm", "VP80"), ("wmv", "WMV2"), ("mpg", "PIM1")]


def moving(count=50):
    """Frames (120, 160, 3) of a pattern that moves, so that each needs some bytes."""
    rng = np.random.default_rng(0)
    picture = cv2.resize(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC)
    return [np.roll(picture, 3 * n, axis=1) for n in range(count)]


@pytest.fixture(params=KINDS, ids=lambda kind: kind[0])
def clip(request, tmp_path):
    """A video of 50 frames in each container."""
    ending, code = request.param
    path = tmp_path / f"clip.{ending}"
    write_video(path, moving(), 25.0, code)
    return path


def frames_and_faults(path):
    items = list(read_media([str(path)]))
    return [item for item in items if not isinstance(item, Fault)], [item for item in items if isinstance(item, Fault)]


def test_a_whole_video_gives_all_frames_and_no_fault(clip):
    frames, faults = frames_and_faults(clip)
    assert [frame.frame for frame in frames] == list(range(50))
    assert not faults


def boxes_first(content):
    """An mp4 with its moov before its mdat, as for the web: what is cut off then is frames."""
    start = content.index(b"moov") - 4
    moov = bytearray(content[start:])
    place = moov.index(b"stco") + 12
    for entry in range(place, place + 4 * int.from_bytes(moov[place - 4 : place], "big"), 4):
        moov[entry : entry + 4] = (int.from_bytes(moov[entry : entry + 4], "big") + len(moov)).to_bytes(4, "big")
    kept = content.index(b"ftyp") - 4 + int.from_bytes(content[:4], "big")
    return content[:kept] + bytes(moov) + content[kept:start]


def test_a_video_that_is_cut_off_gives_the_frames_before_and_one_fault(clip):
    content = clip.read_bytes()
    content = boxes_first(content) if clip.suffix == ".mp4" else content
    clip.write_bytes(content)
    assert len(frames_and_faults(clip)[0]) == 50
    clip.write_bytes(content[: len(content) // 2])
    frames, faults = frames_and_faults(clip)
    assert 20 <= len(frames) <= 30
    if clip.suffix != ".mpg":  # which states no length: nothing says that there was more
        of = "" if clip.suffix == ".wmv" else " of 50"
        said = f"{clip}: cut off or damaged, {len(frames)}{of} frames can be read; copy it again"
        assert [fault.message for fault in faults] == [said]


def test_a_broadcast_states_no_size_that_could_be_lacking(tmp_path):
    write_video(tmp_path / "v.wmv", moving(), 25.0, "WMV2")
    content = bytearray((tmp_path / "v.wmv").read_bytes())
    content[content.index(bytes.fromhex("a1dcab8c")) + 88] |= 1
    (tmp_path / "v.wmv").write_bytes(content[: len(content) // 2])
    frames, faults = frames_and_faults(tmp_path / "v.wmv")
    assert (len(frames) >= 20, faults) == (True, [])


def test_a_video_that_is_damaged_within_gives_the_frames_around_it_and_one_fault(clip):
    content = bytearray(clip.read_bytes())
    middle, length = len(content) // 2, len(content) // 8
    content[middle : middle + length] = bytes(length)
    clip.write_bytes(content)
    frames, faults = frames_and_faults(clip)
    assert 30 < len(frames) < 50
    assert [fault.message for fault in faults] == [
        f"{clip}: cut off or damaged, {len(frames)} of 50 frames can be read; copy it again"
    ]
    differences = [np.abs(frame.pixels.astype(int) - moving()[frame.frame]).mean() for frame in frames[:15]]
    assert max(differences) < 40


def test_frames_after_a_damage_keep_their_numbers(tmp_path):
    write_video(tmp_path / "v.mp4", moving(), 25.0)
    content = bytearray((tmp_path / "v.mp4").read_bytes())
    content[len(content) // 2 : len(content) * 5 // 8] = bytes(len(content) // 8)
    (tmp_path / "v.mp4").write_bytes(content)
    frames, _ = frames_and_faults(tmp_path / "v.mp4")
    assert [frame.frame for frame in frames][-3:] == [47, 48, 49]
    assert [frame.seconds for frame in frames][-3:] == [1.88, 1.92, 1.96]
    assert np.abs(frames[-1].pixels.astype(int) - moving()[49]).mean() < 12  # a keyframe came before


def test_a_clip_that_was_trimmed_without_being_encoded_anew_is_whole(tmp_path):
    write_video(tmp_path / "v.mp4", moving(), 25.0)
    content = bytearray((tmp_path / "v.mp4").read_bytes())
    entry = content.index(b"elst") + 12  # length in 1/1000 s, start in the track's own units
    content[entry : entry + 8] = (1200).to_bytes(4, "big") + content[entry + 4 : entry + 8]
    (tmp_path / "v.mp4").write_bytes(content)
    frames, faults = frames_and_faults(tmp_path / "v.mp4")
    assert (len(frames), faults) == (30, [])


def unevenly(content):
    """An mp4 of twelve frames whose first six come in half of the time, the others in one and a half of it."""
    made = bytearray(content)
    start = made.index(b"stts")  # version, count of entries, then (frames, ticks for each)
    count, ticks = (int.from_bytes(made[start + at : start + at + 4], "big") for at in (12, 16))
    assert count == 12
    entries = [2, count // 2, ticks // 2, count // 2, ticks * 3 // 2]
    made[start + 8 : start + 20] = b"".join(number.to_bytes(4, "big") for number in entries)
    for box in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts"):
        place = made.index(box) - 4
        made[place : place + 4] = (int.from_bytes(made[place : place + 4], "big") + 8).to_bytes(4, "big")
    return bytes(made)


def test_frames_of_uneven_time_have_the_time_that_the_container_gives(video):
    video.write_bytes(unevenly(video.read_bytes()))
    frames, faults = frames_and_faults(video)
    expected = [*(0.05 * n for n in range(6)), *(0.3 + 0.15 * n for n in range(6))]
    np.testing.assert_allclose([frame.seconds for frame in frames], expected, atol=2e-3)
    assert not faults


def test_where_no_clock_moves_on_frames_come_at_the_stated_rate(monkeypatch, tmp_path):
    (tmp_path / "v.webm").write_bytes(b"x")
    monkeypatch.setattr(cv2, "VideoCapture", lambda path: Uneven([0.0]))
    frames, _ = frames_and_faults(tmp_path / "v.webm")
    assert [frame.seconds for frame in frames] == pytest.approx([0.1 * n for n in range(30)], abs=1e-3)


class Uneven:
    """Thirty frames where forty are stated, as a length and a mean rate state them, each so long after the last."""

    def __init__(self, gaps):
        self.left, self.gaps, self.now = 30, gaps, 0.0

    def get(self, key):
        return {cv2.CAP_PROP_FRAME_COUNT: 40.0, cv2.CAP_PROP_FPS: 10.0, cv2.CAP_PROP_POS_MSEC: self.now}[key]

    def grab(self):
        self.left -= 1
        self.now += self.gaps[self.left % len(self.gaps)]
        return self.left >= 0

    def retrieve(self):
        return True, np.zeros((8, 8, 3), np.uint8)

    def release(self):
        pass


@pytest.mark.parametrize(("gaps", "faults"), [([100.0], 1), ([40.0, 250.0, 110.0], 0)])
def test_fewer_frames_than_stated_say_nothing_where_the_time_is_uneven(gaps, faults, monkeypatch, tmp_path):
    (tmp_path / "screen.webm").write_bytes(b"x")
    monkeypatch.setattr(cv2, "VideoCapture", lambda path: Uneven(gaps))
    found = frames_and_faults(tmp_path / "screen.webm")
    assert [len(items) for items in found] == [30, faults]


def test_a_name_that_is_not_utf8_is_read(video, tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4")
    os.rename(video, name)
    frames = list(read_media([name]))
    assert [frame.source for frame in frames] == [name] * 12
