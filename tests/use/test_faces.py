"""What a notebook shows of the faces of a photo."""

import base64
import pickle
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from mmfer.use.drawing import LINE, draw_faces
from mmfer.use.faces import Answers, Faces
from tests.use.photos import encode, made_face


@pytest.fixture
def photo():
    return np.full((240, 320, 3), 150, np.uint8)


def shown(html):
    """The picture that an <img> holds, and its alternative text."""
    data, said = re.fullmatch(r'<img src="data:image/jpeg;base64,([^"]+)" alt="([^"]*)">', html).groups()
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)[..., ::-1], said


def test_a_notebook_shows_the_photo_with_boxes_and_bars(photo, tmp_path):
    faces = [made_face(), replace(made_face(left=180.0, happy=0.2), weak=True)]
    (tmp_path / "p.png").write_bytes(encode(photo))
    for given in (photo, tmp_path / "p.png", encode(photo), Image.fromarray(photo)):
        pixels, said = shown(Faces(faces, given)._repr_html_())
        assert said == "happy 90%, weak: sad 80%"
        assert pixels.shape == photo.shape
        assert abs(pixels.astype(int) - draw_faces(photo, faces)).mean() < 3  # what JPEG changes
    assert abs(draw_faces(photo, faces).astype(int) - photo).mean() > 10


def test_of_a_large_photo_a_small_copy_is_shown_with_the_box_in_its_place():
    large = np.full((2400, 3200, 3), 150, np.uint8)
    pixels, _ = shown(Faces([made_face(left=1000.0, top=600.0).scaled(2)], large)._repr_html_())
    assert pixels.shape == (720, 960, 3)
    line = np.abs(pixels.astype(int) - LINE).sum(axis=2) < 80
    assert line[360:400, 598:603].any(axis=1).mean() > 0.9  # the left edge: 2000 of 3200 pixels
    assert not line[:, :590].any()


def test_arrays_of_opencv_are_shown_in_their_colours():
    blue = np.full((100, 100, 3), [250, 10, 10], np.uint8)
    pixels, said = shown(Faces([], blue, bgr=True)._repr_html_())
    assert said == "no face found"
    assert np.abs(pixels.astype(int) - [10, 10, 250]).max() < 8


def test_what_cannot_be_shown_is_a_line_or_nothing(tmp_path):
    assert Faces([made_face()])._repr_html_() is None
    assert Faces(error="photo 1: <b> is no photo")._repr_html_() == "<p>photo 1: &lt;b&gt; is no photo</p>"
    gone = Faces([], tmp_path / "gone.png")._repr_html_()
    assert gone == f"<p>{tmp_path}/gone.png: no such file; correct the path</p>"


def test_several_photos_are_shown_one_below_the_other(photo):
    answers = Answers([Faces([made_face()], photo), Faces([]), Faces([], photo)])
    assert answers._repr_html_().count("<img") == 2
    assert Answers([Faces([])])._repr_html_() is None


def test_faces_are_a_list_that_travels_without_pixels(photo, tmp_path):
    faces = Faces([made_face()], photo)
    assert faces == [made_face()]
    again = pickle.loads(pickle.dumps(faces))
    assert (again, type(again), again.photo) == (faces, Faces, None)
    assert len(pickle.dumps(faces)) < photo.nbytes / 10
    named = pickle.loads(pickle.dumps(Faces([], tmp_path / "p.png", error="why")))
    assert (named.photo, named.error) == (str(tmp_path / "p.png"), "why")
    assert pickle.loads(pickle.dumps(Faces([], "data:image/png;base64,AAAA"))).photo is None
