"""`mmfer predict` on videos and cameras: what is printed, drawn and shown, and when it ends."""

import csv
import io
import json
import sys
import time
from contextlib import contextmanager
from dataclasses import replace

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from mmfer.cli import app
from mmfer.errors import MmferError
from mmfer.use import run as running
from mmfer.use.photos import Picture
from mmfer.use.predictor import Predictor
from tests.use.photos import CLASSES, Camera, made_face, write_video


class FakePredictor:
    """In each picture a face that moves on by two pixels; happy where it is light, sad where it is dark."""

    classes = CLASSES

    def predict(self, pictures):
        return [[made_face(left=40.0 + 2 * (p.frame or 0), happy=float(p.pixels.mean() > 100))] for p in pictures]


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setattr(Predictor, "load", lambda *args: FakePredictor())
    return lambda *args: CliRunner().invoke(app, ["predict", *map(str, args)])


@pytest.fixture
def clip(tmp_path):
    """A second of light, then a second of dark frames, 10 frames/s."""
    write_video(tmp_path / "v.mp4", [np.full((80, 120, 3), level, np.uint8) for level in [200] * 10 + [20] * 10])
    return tmp_path / "v.mp4"


def test_rows_have_track_and_time_and_the_summary_comes_last(run, clip):
    *rows, last = json.loads(run(clip, "--json").stdout)
    assert [row["seconds"] for row in rows] == [round(0.1 * n, 3) for n in range(20)]
    assert {row["faces"][0]["track"] for row in rows} == {1}
    assert last["source"] == str(clip)
    (track,) = last["summary"]["tracks"]
    assert (track["first"], track["last"], track["frames"], track["score"]) == (0.0, 1.9, 20, 0.5)
    assert track["expressions"] == {"happy": 0.6, "sad": 0.4}  # smoothed over 0.3 s: it turns 0.2 s after the light


def test_smoothing_can_be_turned_off(run, clip):
    *rows, last = [json.loads(line) for line in run(clip, "--jsonl", "--smooth", 0).stdout.splitlines()]
    assert [row["faces"][0]["probabilities"]["happy"] for row in rows] == [1] * 10 + [0] * 10
    assert last["summary"]["expressions"] == {"happy": 0.5, "sad": 0.5}


def test_csv_has_the_columns_and_no_summary(run, clip):
    rows = list(csv.DictReader(io.StringIO(run(clip, "--csv").stdout)))
    assert [(row["track"], row["frame"], float(row["seconds"])) for row in rows[:2]] == [("1", "0", 0), ("1", "1", 0.1)]
    assert len(rows) == 20


def test_the_table_ends_with_the_summary(run, clip):
    lines = run(clip).stdout.splitlines()
    assert lines[1].startswith("  track 1  happy  at 40,30, 80 x 80")
    assert lines[-2] == f"{clip}: 20 frames, 2.0 s, with a face 100%, 1 track: happy 60%, sad 40%"
    assert lines[-1] == "  track 1  0.00 to 1.90 s, seen 2.0 s, score 0.50: happy 60%, sad 40%"


def test_a_track_that_is_weak_for_most_of_its_time_is_said_to_be(run, clip, tmp_path, monkeypatch):
    def predict(self, pictures):
        return [[replace(made_face(), weak=p.frame >= 8), replace(made_face(left=200.0), weak=False)] for p in pictures]

    monkeypatch.setattr(FakePredictor, "predict", predict)
    named = []
    monkeypatch.setattr("mmfer.report.timeline.draw_timeline", lambda bands, *rest: named.extend(bands))
    lines = run(clip, "--timeline", tmp_path / "t.png").stdout.splitlines()
    assert lines[-2].startswith("  track 1  0.00 to 1.90 s, seen 2.0 s, score 0.50, weak: ")
    assert lines[-1].startswith("  track 2  0.00 to 1.90 s, seen 2.0 s, score 0.50: ")
    assert named == ["track 1, weak", "track 2"]


def test_the_table_names_the_tracks_seen_longest(run, clip, monkeypatch):
    def predict(self, pictures):
        return [[made_face(left=2000.0 * (p.frame + 1)), made_face(left=0.0)] for p in pictures]

    monkeypatch.setattr(FakePredictor, "predict", predict)
    lines = run(clip).stdout.splitlines()
    place = next(n for n, line in enumerate(lines) if "21 tracks" in line)
    assert len(lines) - place == 12
    assert lines[place + 2].startswith("  track 2  0.00 to 1.90 s")  # the one that stays
    assert lines[-1] == "  and 11 more, seen for less"


def test_a_list_is_printed_as_it_comes_and_is_the_json_of_the_whole(run, clip):
    printed = run(clip, "--json").stdout
    assert printed == json.dumps(json.loads(printed), indent=1) + "\n"
    assert json.loads(run(clip.with_name("none.mp4"), "--json").stdout)[0]["error"]


def test_a_timeline_is_drawn_of_each_video(run, clip, tmp_path):
    result = run(clip, clip, "--csv", "--timeline", tmp_path / "out" / "t.png")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["t-2.png", "t.png"]
    assert result.stderr == f"timeline in {tmp_path}/out/t.png, {tmp_path}/out/t-2.png\n"
    pixels = cv2.imread(str(tmp_path / "out" / "t.png")).astype(int)
    middle = pixels[pixels.shape[0] // 3]
    assert np.abs(middle[len(middle) // 3] - middle[len(middle) * 9 // 10]).max() > 60  # happy, then sad


def test_a_timeline_of_photos_alone_is_none(run, tmp_path):
    cv2.imwrite(str(tmp_path / "p.png"), np.full((80, 120, 3), 200, np.uint8))
    result = run(tmp_path / "p.png", "--timeline", tmp_path / "t.svg")
    assert (result.exit_code, result.stderr) == (0, "no timeline: there was no video\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--timeline", "t.jpg"], r"--timeline t.jpg: neither .png nor .svg"),
        (["--camera", "front"], "--camera front: neither a number, such as 0, nor an address"),
    ],
)
def test_misuse_is_one_line_before_anything_is_read(run, clip, arguments, said):
    result = run(clip, *arguments)
    assert isinstance(result.exception, MmferError)
    assert said in str(result.exception)
    assert result.stdout == ""


def test_a_window_that_is_closed_ends_all(run, clip, monkeypatch):
    shown = []

    @contextmanager
    def window():
        yield lambda picture, faces: shown.append(picture.frame) or len(shown) < 3

    monkeypatch.setattr(running, "window", window)
    result = run(clip, "--jsonl", "--show")
    *rows, last = [json.loads(line) for line in result.stdout.splitlines()]
    assert shown == [row["frame"] for row in rows] == [0, 1, 2]
    assert (last["summary"]["frames"], result.exit_code) == (3, 0)


def test_ctrl_c_is_the_way_to_end_a_camera_and_it_is_summed_up(run, plug_in):
    import signal

    plug_in(Camera(frames=20, end=lambda: signal.raise_signal(signal.SIGINT) or time.sleep(60)))
    result = run("--camera", 0, "--jsonl")
    *rows, last = [json.loads(line) for line in result.stdout.splitlines()]
    assert rows
    assert (last["source"], last["summary"]["frames"]) == ("camera 0", len(rows))
    assert (result.exit_code, result.stderr) == (0, "")


def test_a_camera_that_vanishes_is_one_line_and_exit_code_1(run, plug_in):
    plug_in(Camera(frames=20))
    result = run("--camera", 0, "--jsonl")
    kinds = [next(iter(json.loads(line).keys() - {"source", "width", "height"})) for line in result.stdout.splitlines()]
    assert "gave no more frames after" in result.stderr
    assert (result.stderr.count("\n"), result.exit_code) == (1, 1)
    assert kinds[-1] == "error"
    assert "summary" in kinds[-2]


def test_no_camera_is_one_line(run):
    result = run("--camera", 97)
    assert result.stderr == "error: camera 97: no frame can be read; connect it, or name another with --camera\n"
    assert result.exit_code == 2


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_how_far_a_video_is_and_the_time_left(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    pixels = np.zeros((4, 4, 3), np.uint8)
    with running._progress() as moved_on:
        moved_on(Picture("p.png", pixels))
        for number in range(0, 8, 2):
            time.sleep(0.12)
            moved_on(Picture("folder/v.mp4", pixels, number, number / 10, 10.0, length=10))
    said = sys.stderr.getvalue()
    assert "v.mp4:  70%" in said
    assert "7/10" in said
    assert " frames/s" in said
    assert "<00:0" in said


def test_elsewhere_there_is_no_bar(run, clip):
    assert run(clip).stderr == ""


def test_bars_of_videos_that_follow_each_other_start_anew(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    frame = Picture("v.mp4", np.zeros((4, 4, 3), np.uint8), 0, 0.0, 10.0, length=4)
    with running._progress() as moved_on:
        photo = replace(frame, source="p.png", frame=None, length=0)
        for one in (frame, replace(frame, frame=3), frame, photo, photo):
            time.sleep(0.12)
            moved_on(one)
    assert "v.mp4: 100%" in sys.stderr.getvalue()
    assert "\r2 pictures [" in sys.stderr.getvalue()


def test_a_fault_is_one_line_whatever_the_name_of_its_file(run, tmp_path):
    (tmp_path / "a\nerror: b.jpg").write_bytes(b"x")
    (line,) = run(tmp_path / "a\nerror: b.jpg").stderr.splitlines()
    assert "a error: b.jpg: not a photo" in line
