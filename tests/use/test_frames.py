"""Which frames are searched whole, which only near faces, and that nobody who is known gets lost by it."""

import numpy as np
import pytest

from mmfer.use.frames import STRETCH, find_all, middles
from mmfer.use.photos import Picture

PIXELS = np.zeros((4, 4, 3), np.uint8)


def frames(count, rate=25.0, source="v.mp4", first=0):
    return [Picture(source, PIXELS, n, n / rate, rate) for n in range(first, first + count)]


def searched(pictures, shown):
    """`shown` has the faces in each picture: who was found in each, and how each was searched.

    Near faces only they themselves are seen.
    """
    log = []

    def find(picture, near):
        n = next(place for place, other in enumerate(pictures) if other is picture)
        log.append((n, near))
        return [face for face in shown[n] if near is None or face in near]

    found = find_all(pictures, find, map)
    return found, sorted(n for n, near in log if near is None), sorted(n for n, near in log if near is not None)


def test_one_frame_of_a_stretch_is_searched_whole_and_the_others_near_its_faces():
    found, whole, near = searched(frames(8), [["a", "b"]] * 8)
    assert found == [["a", "b"]] * 8
    assert (whole, near) == ([4], [0, 1, 2, 3, 5, 6, 7])


def test_a_frame_that_lacks_a_known_face_is_searched_whole_so_that_a_cut_loses_nobody():
    shown = [["a"]] * 2 + [["b"]] * 6
    found, whole, _ = searched(frames(8), shown)
    assert found == shown
    assert whole == [0, 1, 4]


def test_who_comes_is_found_from_the_next_middle_on():
    found, whole, _ = searched(frames(16), [["a"]] * 7 + [["a", "b"]] * 9)
    assert [len(faces) for faces in found] == [1] * 8 + [2] * 8  # frame 7 lacks one: it belongs to the first stretch
    assert whole == [4, 12]


@pytest.mark.parametrize("rate", [5.0, 25.0, 60.0])
def test_no_frame_is_far_in_time_from_the_one_that_stands_for_it(rate):
    pictures = frames(40, rate)
    chosen = middles(pictures)
    assert max(abs(picture.seconds - pictures[n].seconds) for picture, n in zip(pictures, chosen, strict=True)) < 0.21
    assert len(set(chosen)) <= np.ceil(40 / rate / STRETCH) + 1 + (rate < 6) * 10


def test_photos_and_frames_far_apart_are_searched_whole():
    photos = [Picture("a.png", PIXELS), Picture("b.png", PIXELS)]
    pictures = [*photos, *frames(3, rate=2.0), *frames(1, source="w.mp4"), *frames(2, source="x.mp4", first=7)]
    assert middles(pictures) == [0, 1, 2, 3, 4, 5, 7, 7]
    assert middles([]) == []


def test_where_the_middle_has_no_face_the_others_are_not_searched_in_vain():
    found, whole, _ = searched(frames(8), [["a"]] * 2 + [[]] * 6)
    assert found == [[]] * 8
    assert whole == [4]
