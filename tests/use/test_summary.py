"""What a video showed, counted by hand."""

import gc
from dataclasses import replace

import numpy as np
import pytest

from mmfer.use import summary, timeline
from mmfer.use.media import Fault
from mmfer.use.photos import Picture
from mmfer.use.summary import Summary, summarised
from tests.use.photos import made_face

PIXELS = np.zeros((4, 4, 3), np.uint8)


def frame(number, seconds, source="v.mp4"):
    return Picture(source, PIXELS, number, seconds, 10.0)


def face(track, happy, score=0.5):
    return replace(made_face(happy=happy, score=score), track=track)


def told(found):
    return [item.told for item, _ in summarised(found) if isinstance(item, Summary)]


def test_every_frame_counts_for_as_long_as_it_was_shown():
    first = (frame(0, 0.0), [replace(face(1, 0.9, 0.4), weak=True), replace(face(2, 0.1), weak=True)])  # for 1 s
    second = (frame(1, 1.0), [face(1, 0.2, 0.8)])  # for 3 s
    third = (frame(2, 4.0), [])  # for as long as the one before
    (summed,) = (item for item, _ in summarised([first, second, third]) if isinstance(item, Summary))
    video = summed.told
    assert {key: value for key, value in video.items() if key != "tracks"} == {
        **{"first": 0.0, "last": 4.0, "frames": 3, "seconds": 7.0, "with_face": round(4 / 7, 4)},
        **{"score": round((0.4 + 0.5 + 0.8) / 3, 4), "expressions": {"happy": 0.2, "sad": 0.8}, "tracks_left_out": 0},
    }
    assert video["tracks"] == [
        {
            **{"track": 1, "first": 0.0, "last": 1.0, "frames": 2, "seconds": 4.0, "score": 0.6},
            **{"weak": 0.25},
            "expressions": {"happy": 0.25, "sad": 0.75},
        },
        {
            **{"track": 2, "first": 0.0, "last": 0.0, "frames": 1, "seconds": 1.0, "score": 0.5},
            **{"weak": 1.0},
            "expressions": {"happy": 0.0, "sad": 1.0},
        },
    ]
    assert summed.weak == {2}


def test_each_video_has_its_summary_after_its_last_frame_and_before_what_was_wrong_with_it():
    photo, fault = Picture("p.png", PIXELS), Fault("v.mp4", "cut off")
    items = [photo, frame(0, 0), frame(1, 0.1), fault, frame(0, 0), frame(0, 0, "w.mp4")]
    kinds = [type(item).__name__ for item, _ in summarised([(item, []) for item in items])]
    assert kinds == ["Picture", "Picture", "Picture", "Summary", "Fault", "Picture", "Summary", "Picture", "Summary"]
    assert told([(photo, []), (fault, [])]) == []


def test_a_video_without_faces_says_so():
    (video,) = told([(frame(0, 0.0), []), (frame(1, 0.1), [])])
    assert (video["with_face"], video["score"], video["expressions"], video["tracks"]) == (0, None, {}, [])


def test_one_frame_is_shown_for_as_long_as_the_rate_says():
    (video,) = told([(frame(0, 0.0), [face(1, 0.9)])])
    assert (video["seconds"], video["tracks"][0]["seconds"]) == (0.1, 0.1)


def test_of_very_many_tracks_those_that_were_seen_longest_are_kept(monkeypatch):
    monkeypatch.setattr(summary, "MOST", 5)
    monkeypatch.setattr(timeline, "MOST", 5)
    kept, held = [], []

    def found():
        for n in range(200):  # track 1 stays; of the others, each is seen in one frame
            yield frame(n, n * 10.0), [face(1, 0.9), face(n + 2, 0.1)]
        held.extend(one for one in gc.get_objects() if type(one) is summary._Seen)

    for item, _ in summarised(found()):
        kept.append(item)
    video = kept[-1].told
    assert len(video["tracks"]) == 5
    assert video["tracks_left_out"] == 196
    assert (video["tracks"][0]["track"], video["tracks"][0]["frames"]) == (1, 200)
    assert len(kept[-1].timeline.tracks) <= 10
    assert len(held) <= 12  # two lists of tracks, and the whole
    assert video["expressions"] == {"happy": 0.5, "sad": 0.5}  # the others still count in the whole


def test_frames_that_come_at_the_same_time_are_counted_too():
    (video,) = told([(frame(0, 0.0), [face(1, 0.9)]), (frame(1, 0.0), [face(2, 0.9)])])
    assert [track["expressions"] for track in video["tracks"]] == [{"happy": 1, "sad": 0}] * 2


@pytest.mark.parametrize("rate", [0.5, 30.0])
def test_the_start_need_not_be_zero(rate):
    (video,) = told([(frame(n, 100 + n / rate), [face(1, 0.9)]) for n in range(4)])
    assert (video["first"], video["seconds"]) == (100, pytest.approx(4 / rate, abs=1e-3))
