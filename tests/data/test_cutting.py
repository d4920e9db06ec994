"""The square that is cut out of a photo, and who may use a detector at one time."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import dlib
import numpy as np
import pytest

from mmfer.data import cutting
from mmfer.data.cutting import FRONTAL, cut_face, cut_square, face_detector, find_boxes
from mmfer.data.synthetic.faces import render_face
from mmfer.errors import MmferError


def test_a_cut_beyond_the_photo_repeats_its_edge():
    grey = np.tile(np.arange(100, dtype=np.uint8), (100, 1))
    cut = cut_face(grey, np.array([-40.0, 0, 60, 100]))
    assert cut.shape == (48, 48)
    assert (cut[:, :15] == 0).all()  # 54 of 127 columns lie left of the photo
    assert cut[0, -1] == pytest.approx(72, abs=2)


def test_the_cut_gives_the_frame_of_fer2013_back_pixel_by_pixel(rng):
    face = rng.integers(0, 256, (48, 48), dtype=np.uint8)
    canvas = np.zeros((400, 500), np.uint8)
    canvas[60:252, 90:282] = np.kron(face, np.ones((4, 4), np.uint8))
    box = np.array([0, 0, 151, 151]) + [90 + 20.5, 60 + 20.5 + 17] * 2  # 192 = 1.27 * 151; the frame reaches higher
    assert (cut_face(canvas, box) == face).all()


def test_a_square_within_the_photo_is_that_part_of_it(rng):
    grey = rng.integers(0, 256, (90, 120), dtype=np.uint8)
    assert (cut_square(grey, 50, 20, 48) == grey[20:68, 50:98]).all()


def test_boxes_are_around_the_face_and_end_with_their_last_pixels():
    face, landmarks = render_face("neutral", seed=0, size=200, frontal=True)
    canvas = np.full((300, 400), 90, np.uint8)
    canvas[60:260, 150:350] = face
    boxes, scores = find_boxes(canvas, 0.0)
    assert (boxes.shape, boxes.dtype, scores.shape) == ((1, 4), np.int64, (1,))
    left, top, right, bottom = boxes[0]
    assert abs((right - left) - (bottom - top)) <= 1
    eyes_to_mouth = landmarks[36:] + np.array([150, 60])
    assert (eyes_to_mouth > [left, top]).all()
    assert (eyes_to_mouth < [right, bottom]).all()
    assert not len(find_boxes(canvas, scores[0] + 0.1)[0])


def test_the_file_of_the_detector_holds_dlibs_own_to_the_byte(tmp_path):
    dlib.get_frontal_face_detector().save(str(tmp_path / "own"))
    assert FRONTAL.read_bytes() == (tmp_path / "own").read_bytes()


@pytest.mark.parametrize("content", [None, b"", b"no detector"])
def test_a_missing_or_damaged_file_of_the_detector_is_one_line(content, tmp_path, monkeypatch):
    if content is not None:
        (tmp_path / "detector.svm").write_bytes(content)
    monkeypatch.setattr(cutting, "FRONTAL", tmp_path / "detector.svm")
    monkeypatch.setattr(cutting, "_idle_detectors", [])
    message = r"detector\.svm: not dlib's frontal detector \(.*\); install mmfer again"
    with pytest.raises(MmferError, match=message) as caught:
        find_boxes(np.zeros((100, 100), np.uint8), 0.0)
    assert "\n" not in str(caught.value)


def test_an_image_without_a_face_has_no_boxes():
    boxes, scores = find_boxes(np.zeros((100, 100), np.uint8), 0.0)
    assert (boxes.shape, scores.shape) == ((0, 4), (0,))


def test_threads_that_detect_at_one_time_never_share_a_detector():
    meet = Barrier(2)

    def lend(_: int) -> int:
        with face_detector() as detector:
            meet.wait()
            return id(detector)

    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(lend, range(2)))) == 2


def test_a_detector_that_was_given_back_is_lent_again():
    with face_detector() as first:
        pass
    with face_detector() as second:
        assert second is first
