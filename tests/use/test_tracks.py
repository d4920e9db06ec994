"""Faces that move along known paths: their tracks are those paths, and probabilities are smoothed along them."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from mmfer.data.synthetic.faces import render_face
from mmfer.use.answers import answers
from mmfer.use.media import Fault, read_media
from mmfer.use.photos import Picture
from mmfer.use.predictor import Predictor
from mmfer.use.tracks import LOST, follow, match
from tests.use.photos import made_face, write_video

PIXELS = np.zeros((4, 4, 3), np.uint8)


def frame(number, rate=25.0, source="v.mp4"):
    return Picture(source, PIXELS, number, number / rate, rate)


def tracks(paths, rate=25.0, **options):
    """Paths {name: {frame: (left, top)}} of faces of 80 px -> {name: the tracks that it had}; order is no help."""
    last = max(max(places) for places in paths.values())
    shown = []
    for number in range(last + 1):
        here = [(name, places[number]) for name, places in paths.items() if number in places]
        shown.append(here[::-1] if number % 2 else here)
    found = ((frame(n, rate), [made_face(left=x, top=y) for _, (x, y) in here]) for n, here in enumerate(shown))
    had = {name: set() for name in paths}
    for here, (_, faces) in zip(shown, follow(found, **options), strict=True):
        for (name, _), face in zip(here, faces, strict=True):
            had[name].add(face.track)
    return had


def along(start, step, frames):
    return {n: (start[0] + step[0] * n, start[1] + step[1] * n) for n in frames}


def test_faces_that_pass_each_other_keep_their_tracks():
    paths = {"right": along((0, 0), (8, 0), range(60)), "left": along((500, 30), (-8, 0), range(60))}
    assert tracks(paths) == {"right": {1}, "left": {2}}


def test_faces_that_stand_close_together_keep_their_tracks(rng):
    seats = {f"seat {n}": (85.0 * n, 0.0) for n in range(6)}
    paths = {name: {n: tuple(seat + rng.normal(0, 4, 2)) for n in range(50)} for name, seat in seats.items()}
    assert tracks(paths) == {f"seat {n}": {n + 1} for n in range(6)}


def test_a_short_gap_is_bridged_also_where_the_face_moves_on():
    hidden = range(20, 20 + round(0.8 * 25))
    seen = [n for n in range(60) if n not in hidden]
    assert tracks({"walks": along((0, 0), (9, 2), seen)}) == {"walks": {1}}


@pytest.mark.parametrize(("unseen", "ends"), [(LOST - 0.1, False), (LOST + 0.1, True)])
def test_a_track_ends_after_a_time_unseen(unseen, ends):
    seen = [*range(20), *range(20 + round(unseen * 100), 250)]
    assert tracks({"sits": along((0, 0), (0, 0), seen)}, rate=100.0) == {"sits": {1, 2} if ends else {1}}


def test_whoever_appears_elsewhere_is_somebody_else():
    paths = {"leaves": along((0, 0), (0, 0), range(10)), "comes": along((300, 0), (0, 0), range(10, 20))}
    assert tracks(paths) == {"leaves": {1}, "comes": {2}}


def test_one_frame_in_two_seconds_is_enough_for_faces_that_stay():
    paths = {"a": along((0, 0), (3, 0), range(8)), "b": along((400, 0), (-3, 0), range(8))}
    assert tracks(paths, rate=0.5) == {"a": {1}, "b": {2}}


def test_a_face_of_another_size_is_not_the_same():
    here = np.array([[0.0, 0, 100, 100]])
    assert match(here, here + 10, np.array([0.5])) == [(0, 0)]
    assert match(here, np.array([[25.0, 25, 70, 70]]), np.array([0.5])) == []
    assert match(here, here + 60, np.array([0.5])) == []
    assert match(np.empty((0, 4)), here, np.empty(0)) == []


def test_the_best_pairs_of_all_are_taken_not_each_the_nearest():
    expected = np.array([[0.0, 0, 100, 100], [60, 0, 160, 100]])
    found = np.array([[50.0, 0, 150, 100], [110, 0, 210, 100]])  # the first is nearest to both
    assert match(expected, found, np.array([1.0, 1.0])) == [(0, 0), (1, 1)]


def test_each_video_counts_from_one_and_photos_and_faults_have_no_track():
    photo, fault = Picture("p.png", PIXELS), Fault("x", "broken")
    items = [frame(0), frame(1), photo, fault, frame(0, source="w.mp4"), frame(1, source="w.mp4"), frame(0)]
    shown = [made_face()]
    found = [(item, [] if isinstance(item, Fault) else shown) for item in items]
    assert [[face.track for face in faces] for _, faces in follow(found)] == [[1], [1], [None], [], [1], [1], [1]]
    assert [item for item, _ in follow(found)] == items


def happiness(values, times, smooth):
    found = [
        (Picture("v", PIXELS, n, t, 25.0), [replace(made_face(happy=p), candidates=("happy", "sad"))])
        for n, (t, p) in enumerate(zip(times, values, strict=True))
    ]
    return [faces[0] for _, faces in follow(found, smooth)]


def test_probabilities_fall_exponentially_with_time_not_with_frames():
    faces = happiness([1.0, 0.0, 0.0], [0.0, 0.1, 0.6], 0.3)
    expected = np.exp(-np.array([0, 0.1, 0.6]) / 0.3)
    np.testing.assert_allclose([face.probabilities["happy"] for face in faces], expected, rtol=1e-9)
    assert [face.expression for face in faces] == ["happy", "happy", "sad"]
    assert [face.candidates for face in faces] == [()] * 3  # they are promised for single pictures


def test_probabilities_stay_as_they_are_if_wanted():
    faces = happiness([1.0, 0.0], [0.0, 0.04], 0)
    assert [face.probabilities["happy"] for face in faces] == [1, 0]
    assert [face.candidates for face in faces] == [("happy", "sad")] * 2
    assert [face.track for face in faces] == [1, 1]


def test_what_is_kept_does_not_grow():
    paths = {n: {n: (0.0, 1000.0 * n)} for n in range(400)}  # in every frame somebody else
    assert [*tracks(paths, rate=1.0).values()] == [{n + 1} for n in range(400)]


def test_rendered_faces_that_move_along_known_paths_are_those_tracks(tmp_path):
    """At 5 frames/s: one goes right; one goes left below it, hidden for 0.6 s; one stays, one comes there later."""
    heads = {n: cv2.resize(render_face(seed=n, frontal=True)[0], (96, 96)) for n in range(4)}
    paths = {
        0: {n: (5 + 20 * n, 4) for n in range(11)},
        1: {n: (220 - 18 * n, 120) for n in [*range(3), *range(6, 11)]},
        2: {n: (290, 60) for n in range(3)},
        3: {n: (290, 60) for n in range(9, 11)},
    }
    frames = []
    for number in range(11):
        picture = np.full((220, 400, 3), 110, np.uint8)
        for name, places in paths.items():
            if number in places:
                x, y = places[number]
                picture[y : y + 96, x : x + 96] = heads[name][..., None]
        frames.append(picture)
    write_video(tmp_path / "v.mp4", frames, 5.0)
    had = {name: {} for name in paths}
    for item, faces in follow(answers(read_media([str(tmp_path / "v.mp4")]), Predictor.load())):
        for face in faces:
            middle = np.reshape(face.box, (2, 2)).mean(axis=0)
            here = {name: places[item.frame] for name, places in paths.items() if item.frame in places}
            far = {name: np.abs(middle - place - 48).max() for name, place in here.items()}
            nearest = min(far, key=far.get)
            assert far[nearest] < 25
            had[nearest][item.frame] = face.track
    kept = [set(found.values()) for found in had.values()]
    assert [len(tracks) for tracks in kept] == [1, 1, 1, 1]
    assert set.union(*kept) == {1, 2, 3, 4}
    assert sum(map(len, had.values())) >= 0.9 * sum(map(len, paths.values()))
