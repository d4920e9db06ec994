"""The window of --show: its picture, how it is closed, one line where there is no display. A stub stands in for Tk."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mmfer.errors import MmferError
from mmfer.use.photos import Picture
from mmfer.use.window import SIDE, as_ppm, scaled_copy, window
from tests.use.photos import made_face


@pytest.fixture
def tk(monkeypatch):
    """A Tk without a display, which keeps what it is told."""
    told = SimpleNamespace(keys={}, shown=[], titles=[], destroyed=0)

    class Root:
        def __init__(self, className):
            pass

        def protocol(self, name, action):
            told.close = action

        def bind(self, key, action):
            told.keys[key] = action

        def title(self, text):
            told.titles.append(text)

        def update(self):
            pass

        def destroy(self):
            told.destroyed += 1

    label = SimpleNamespace(pack=lambda: None, configure=lambda **options: told.shown.extend(options.values()))
    module = SimpleNamespace(Tk=Root, Label=lambda root: label, PhotoImage=lambda data: data, TclError=RuntimeError)
    monkeypatch.setitem(sys.modules, "tkinter", module)
    return told


def picture(height=240, width=320):
    return Picture("camera 0", np.full((height, width, 3), 100, np.uint8))


def test_the_window_shows_the_marked_picture(tk):
    with window() as show:
        assert show(picture(), [made_face()])
    head, pixels = tk.shown[0][:15], np.frombuffer(tk.shown[0][15:], np.uint8).reshape(240, 320, 3)
    assert head == b"P6 320 240 255 "
    assert np.ptp(pixels[30, 50:110].astype(int), axis=1).min() > 15  # the upper edge of the box is green
    assert tk.titles == ["camera 0: 1 face"]
    assert tk.destroyed == 1


@pytest.mark.parametrize("close", ["q", "<Escape>", None])
def test_closing_it_is_told(tk, close):
    with window() as show:
        assert show(picture(), [])
        tk.keys[close](None) if close else tk.close()
        assert not show(picture(), [])


def test_large_pictures_are_made_smaller():
    assert scaled_copy(picture(1080, 1920), [made_face()]).shape == (SIDE * 9 // 16, SIDE, 3)
    assert scaled_copy(picture(), []).shape == (240, 320, 3)


def test_what_tk_is_given_is_a_picture(rng, tmp_path):
    pixels = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    (tmp_path / "p.ppm").write_bytes(as_ppm(pixels))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "p.ppm")), pixels)


def test_without_a_display_one_line_says_so(monkeypatch):
    pytest.importorskip("tkinter")
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(MmferError, match=r"--show: there is no window to open \(no display .*leave out --show"):
        with window():
            pass


def test_without_tk_one_line_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "tkinter", None)
    with pytest.raises(MmferError, match="--show: this Python has no tkinter; install python3-tk"):
        with window():
            pass
