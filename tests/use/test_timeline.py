"""Probabilities of tracks over time in a bounded number of steps."""

from dataclasses import replace

import numpy as np
from PIL import Image

from mmfer.use import timeline
from mmfer.use.timeline import STEPS, Timeline, draw
from tests.use.photos import made_face


def face(track, happy):
    return replace(made_face(happy=happy), track=track)


def test_steps_have_the_mean_of_what_was_seen_in_them_and_nothing_where_nothing_was():
    line = Timeline(step=0.5)
    line.add([face(1, 1.0)], 0.0, 0.25)
    line.add([face(1, 0.5)], 0.25, 0.25)
    line.add([], 0.5, 0.5)
    line.add([face(1, 0.2), face(3, 0.0)], 1.0, 1.0)
    bands, edges = line.bands()
    np.testing.assert_allclose(bands[1][:, 0], [0.75, np.nan, 0.2, 0.2])
    np.testing.assert_allclose(bands[3][:, 1], [np.nan, np.nan, 1, 1])
    np.testing.assert_allclose(edges, [0, 0.5, 1, 1.5, 2])


def test_a_video_of_any_length_has_so_many_steps_and_no_time_is_lost():
    line = Timeline(step=0.04)
    for n in range(3 * STEPS):
        line.add([face(1, 0.75)], 0.04 * n, 0.04)
    line.add([], 1000.0, 5000.0)  # nobody is there for long
    bands, edges = line.bands()
    assert len(edges) - 1 == bands[1].shape[0] <= STEPS
    assert edges[-1] >= 6000 > edges[-2]
    np.testing.assert_allclose(line.tracks[1].sum(axis=0), 0.04 * 3 * STEPS * np.array([0.75, 0.25]), rtol=1e-3)
    seen = ~np.isnan(bands[1][:, 0])
    assert abs(seen.sum() * line.step - 0.04 * 3 * STEPS) < 2 * line.step
    np.testing.assert_allclose(bands[1][seen, 0], 0.75, rtol=1e-3)


def test_those_seen_longest_are_drawn(monkeypatch):
    monkeypatch.setattr(timeline, "SHOWN", 2)
    line = Timeline(step=1.0)
    for start, tracks in enumerate([[1, 2, 3], [1, 3], [3, 4]]):
        line.add([face(track, 0.5) for track in tracks], float(start), 1.0)
    assert list(line.bands()[0]) == [1, 3]


def test_the_picture_is_coloured_where_a_track_is_seen_and_white_elsewhere(tmp_path):
    line = Timeline(step=1.0)
    line.add([face(1, 1.0)], 0.0, 5.0)
    line.add([face(2, 0.0)], 5.0, 5.0)
    draw(line, 0.0, "v.mp4", tmp_path / "t.png")
    pixels = np.asarray(Image.open(tmp_path / "t.png").convert("RGB")).astype(int)
    height, width = pixels.shape[:2]
    coloured = np.ptp(pixels, axis=2) > 60
    upper, lower = coloured[: height * 45 // 100], coloured[height * 45 // 100 : height * 75 // 100]
    left, right = slice(0, width * 4 // 10), slice(width * 6 // 10, width)
    assert min(upper[:, left].mean(), lower[:, right].mean()) > 0.3
    assert max(upper[:, right].mean(), lower[:, left].mean()) < 0.02


def test_a_weak_track_is_called_so(tmp_path, monkeypatch):
    line, named = Timeline(step=1.0), []
    line.add([face(1, 1.0), face(2, 0.0)], 0.0, 5.0)
    monkeypatch.setattr("mmfer.report.timeline.draw_timeline", lambda bands, *rest: named.extend(bands))
    draw(line, 0.0, "v.mp4", tmp_path / "t.png", {2})
    assert named == ["track 1", "track 2, weak"]


def test_a_video_without_faces_can_be_drawn(tmp_path):
    line = Timeline(step=1.0)
    line.add([], 0.0, 5.0)
    draw(line, 0.0, "v.mp4", tmp_path / "t.svg")
    assert (tmp_path / "t.svg").read_text().count("<svg") == 1
