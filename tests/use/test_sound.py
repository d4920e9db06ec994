"""ffmpeg is asked for the pictures of the copy and the sound of the original. A stub stands in for it."""

import sys

import pytest

from mmfer.use.sound import add_sound

STUB = """#!{python}
import json, pathlib, sys
pathlib.Path({log!r}).write_text(json.dumps(sys.argv[1:]))
{then}
"""
JOIN = "pathlib.Path(sys.argv[-1].removeprefix('file:')).write_bytes(b'joined')"
FAIL = "print('first', file=sys.stderr); print('x.mp4: no such codec', file=sys.stderr); sys.exit(1)"


@pytest.fixture
def ffmpeg(tmp_path, monkeypatch):
    """Puts a stub that does this in the place of ffmpeg; the arguments that it was called with."""

    def install(then):
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "ffmpeg").write_text(STUB.format(python=sys.executable, log=str(tmp_path / "log"), then=then))
        (folder / "ffmpeg").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))
        return tmp_path / "log"

    (tmp_path / "copy.mp4").write_bytes(b"silent")
    return install


def after(arguments, option):
    return [arguments[n + 1] for n, argument in enumerate(arguments) if argument == option]


def test_the_copy_is_replaced_by_what_ffmpeg_made_of_it_and_the_sound(ffmpeg, tmp_path):
    import json

    log = ffmpeg(JOIN)
    original = tmp_path / "a name; with $(all).mp4"
    assert add_sound(tmp_path / "copy.mp4", original, 12.34) is None
    assert (tmp_path / "copy.mp4").read_bytes() == b"joined"
    arguments = json.loads(log.read_text())
    assert after(arguments, "-i") == [f"file:{tmp_path}/copy.mp4", f"file:{original}"]
    assert after(arguments, "-map") == ["0:v", "1:a?"]  # the sound only if there is any
    assert (after(arguments, "-c:v"), after(arguments, "-t")) == (["copy"], ["12.340"])
    assert "-nostdin" in arguments
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "copy.mp4", "log"]


def test_where_ffmpeg_fails_the_copy_stays_and_a_line_says_why(ffmpeg, tmp_path):
    ffmpeg(FAIL)
    said = add_sound(tmp_path / "copy.mp4", tmp_path / "v.mp4", 1.0)
    assert said == f"{tmp_path}/v.mp4: its copy has no sound, for ffmpeg failed: x.mp4: no such codec"
    assert (tmp_path / "copy.mp4").read_bytes() == b"silent"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "copy.mp4", "log"]


def test_without_ffmpeg_a_line_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert add_sound(tmp_path / "copy.mp4", tmp_path / "v.mp4", 1.0) == (
        "copies of videos have no sound: ffmpeg is not installed"
    )
