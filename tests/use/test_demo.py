"""The page of `mmfer demo`: what it says of photos, and what it refuses."""

import io
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from mmfer.config import ExtractParams
from mmfer.face.hog import hog
from mmfer.use import demo
from mmfer.use.predictor import Explanation
from tests.use.photos import made_face


@pytest.fixture(autouse=True)
def _main_stays(monkeypatch):
    """AppTest leaves its script in __main__, which every process that Python starts from then on would run."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


class FakePredictor:
    """Finds the faces that it is given in a photo, and none where the photo is dark or one that was lost."""

    model = SimpleNamespace(facts={"made_by": {"params": {}}, "dataset": "made"})

    def __init__(self, *faces):
        self.faces = list(faces)

    def predict(self, photos):
        return [self.faces if photo.mean() > 60 else [] for photo in photos]

    def see(self, images):
        described = hog(images, ExtractParams())
        return {"images": images, "landmarks": np.full((1, 68, 2), 20.0), "hog": described}

    def explain(self, face):
        other = {"happy": 0.2, "sad": 0.8}
        without = {"image": other, "landmarks": face.probabilities, "hog": face.probabilities}
        return Explanation(face.expression, face.probabilities, without, np.eye(48, dtype=np.float32))


def script():
    from mmfer.use.demo import page

    page()


def png(pixels):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "png")
    return content.getvalue()


PHOTO = png(np.full((200, 300, 3), 150, np.uint8))


@pytest.fixture
def show(monkeypatch):
    """Opens the page over a fake and gives it a photo."""

    def open_page(*faces, content=PHOTO):
        monkeypatch.setattr(demo, "load", lambda weights: FakePredictor(*faces))
        shown = AppTest.from_function(script, default_timeout=60).run()
        shown.file_uploader[0].set_value(("p.png", content, "image/png"))
        return shown.run()

    return open_page


def said(shown):
    """All text of the page."""
    assert not shown.exception
    return "\n".join(
        part.value for kind in ("markdown", "caption", "info", "warning", "error") for part in shown.get(kind)
    )


def test_without_a_photo_the_page_says_what_to_do_and_what_it_is_not_for(monkeypatch):
    monkeypatch.setattr(demo, "load", lambda weights: FakePredictor())
    text = said(AppTest.from_function(script).run())
    assert "Drop or take a photo" in text
    assert "must not be used to judge people" in text


def test_one_face_is_explained(show):
    shown = show(made_face())
    text = said(shown)
    assert "Most probably **happy**, 90%" in text
    assert "Then **sad** (happy: 90% → 20%)" in text
    assert "Still **happy**, about as sure" in text
    assert not shown.selectbox
    assert not shown.warning


def test_an_uncertain_face_is_said_to_be_one(show):
    shown = show(replace(made_face(), candidates=("happy", "sad")))
    assert "Most probably **happy**, 90%; it may as well be sad" in said(shown)


def test_hidden_parts_are_named(show):
    masked = replace(made_face(), visible={"eyes": 0.9, "nose": 0.3, "mouth": 0.02})
    assert "Probably hidden: nose (70%), mouth (98%)." in said(show(masked))
    assert "hidden:" not in said(show(made_face()))


def test_of_several_faces_one_is_chosen(show):
    shown = show(made_face(), made_face(left=180.0, happy=0.3))
    assert shown.selectbox[0].options == ["1: happy", "2: sad"]
    shown.selectbox[0].select_index(1).run()
    assert "Most probably **sad**, 70%" in said(shown)


def test_an_example_needs_no_photo(monkeypatch):
    monkeypatch.setattr(demo, "load", lambda weights: FakePredictor(made_face()))
    shown = AppTest.from_function(script, default_timeout=60).run()
    shown.radio[0].set_value("an example").run()
    assert "Most probably **happy**, 90%" in said(shown)


def test_no_face_is_said(show):
    assert "No face was found" in said(show())


def test_a_change_is_shown_beside_the_photo_and_a_lost_face_is_said(show):
    shown = show(made_face())
    shown.toggle[0].set_value(True).run()
    assert "Still most probably **happy**: 90% → 90% (+0 points)" in said(shown)
    shown.slider[0].set_value(-80).run()
    assert "the face is not found any more" in said(shown)
    assert "What each view adds" not in [part.value for part in shown.subheader]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"no photo", "not a photo that can be read"),
        (PHOTO[: len(PHOTO) // 2], "truncated or damaged"),
        (b"P6 65535 65535 255\n" + bytes(100), "pixels"),
    ],
    ids=["nothing", "text", "truncated", "bomb"],
)
def test_what_is_no_photo_is_one_clear_message(show, content, message):
    shown = show(made_face(), content=content)
    assert not shown.exception
    assert [message in part.value for part in shown.error] == [True]


def test_a_photo_that_is_taken_away_is_forgotten(show):
    shown = show(made_face())
    assert "photo" in shown.session_state
    shown.file_uploader[0].clear().run()
    assert not [name for name in ("photo", "clean", "changed", "reasons") if name in shown.session_state]


def test_bars_escape_names_and_mark_what_was():
    drawn = demo.bars({"<b>": 0.25, "sad": 0.75}, {"<b>": 0.5, "sad": 0.5})
    assert "&lt;b&gt;" in drawn
    assert "width:25.0%" in drawn
    assert drawn.count("left:50.0%") == 2


@pytest.mark.parametrize(
    ("happy", "line"),
    [(0.1, "Then **sad**"), (0.9, "about as sure"), (0.99, "more sure"), (0.7, "less sure")],
)
def test_a_withheld_view_is_put_in_words(happy, line):
    assert line in demo.verdict_without("happy", {"happy": 0.9, "sad": 0.1}, {"happy": happy, "sad": 1 - happy})
