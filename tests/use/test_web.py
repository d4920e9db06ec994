"""The exported page: its stages beside their Python counterparts in node, and whole in Chromium, from disk and HTTP."""

import base64
import copy
import functools
import gzip
import http.server
import json
import shutil
import subprocess
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from safetensors.numpy import load, save_file

from mmfer.data.cutting import cut_square, find_boxes
from mmfer.data.synthetic.faces import render_face
from mmfer.errors import MmferError
from mmfer.face import detection, geometry, yunet
from mmfer.face.hog import hog, to_half
from mmfer.face.shape_predictor import load_shape_model
from mmfer.training.calibration import tempered
from mmfer.use import web
from mmfer.use.demo_pictures import example_photo
from mmfer.use.onnx_model import GRAPH, load_onnx
from mmfer.use.predictor import WEIGHTS, Predictor

NAMES = ["happy", "surprise", "angry", "sad", "neutral", "fear", "disgust", "happy"]
STAGES = Path(__file__).with_name("web_stages.js")
SCALES = {"linear": ((150, 97), cv2.INTER_LINEAR), "cubic": ((150, 97), cv2.INTER_CUBIC)}
SCALES |= {"area": ((48, 37), cv2.INTER_AREA)}


@pytest.fixture(scope="module")
def predictor():
    return Predictor.load(workers=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The page with the network of the package; skipped without onnxruntime-web."""
    target = tmp_path_factory.mktemp("web") / "page"
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(web, "LEVEL", 1)  # half the time
            web.export_web(target, None, None, compact=False)
    except MmferError as error:
        if "onnxruntime-web" not in str(error):
            raise
        pytest.skip(str(error))
    return target


@pytest.fixture(scope="module")
def inputs():
    """What both sides are given: rendered faces, noise, and squares of a scene, some of which leave it."""
    rng = np.random.default_rng(0)
    faces = np.stack([render_face(name, seed, 48)[0] for seed, name in enumerate(NAMES)])
    faces[-1] = rng.integers(0, 256, (48, 48))  # no face
    large = np.zeros((len(faces), 120, 120), np.uint8)
    for row, face in zip(large, faces, strict=True):
        row[12:108, 12:108] = cv2.resize(face, (96, 96), interpolation=cv2.INTER_LINEAR)
    return {
        "faces": faces,
        "large": large,
        "noise": rng.integers(0, 256, (1, 61, 83, 3), dtype=np.uint8),
        "even": rng.integers(0, 256, (1, 96, 144, 3), dtype=np.uint8),
        "scene": example_photo()[None],
        "squares": np.array([[5, 9, 230], [-31, 100, 151], [600, 150, 144], [300, 80, 48], [330, 70, 31]], np.float32),
    }


@pytest.fixture(scope="module")
def stages(folder, inputs, tmp_path_factory):
    """What the page's scripts make of them."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    return run_stages(folder, inputs, tmp_path_factory.mktemp("stages"))


def run_stages(folder, inputs, place):
    """What the scripts of a page make of the inputs, in node."""
    save_file({name: np.ascontiguousarray(array) for name, array in inputs.items()}, place / "input.safetensors")
    command = ["node", STAGES, folder, place / "input.safetensors", place / "output.json"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads((place / "output.json").read_text())


def test_halves_go_to_the_even_number_as_in_python(stages):
    assert stages["round"] == [round(value) for value in (0.5, 1.5, 2.5, -0.5, -1.5, 2.4, -2.6)]


def test_probabilities_are_calibrated_as_in_python(stages):
    plain = np.array([[0.6, 0.3, 0.1, 0]])
    np.testing.assert_allclose(stages["tempered"], tempered(plain, 0.8, 0.3, -0.2)[0], atol=1e-6)


@pytest.mark.parametrize("how", SCALES)
def test_pictures_are_scaled_as_opencv_scales_them(stages, inputs, how):
    size, flag = SCALES[how]
    truth = cv2.resize(inputs["noise"][0], size, interpolation=flag)
    assert (np.abs(truth.ravel().astype(int) - stages[how]) > (how == "cubic")).sum() == 0


@pytest.mark.parametrize(("name", "divisor"), [("half", 2), ("third", 3)])
def test_pictures_are_made_whole_times_smaller_as_by_opencv(stages, inputs, name, divisor):
    picture = inputs["even"][0]
    size = picture.shape[1] // divisor, picture.shape[0] // divisor
    assert stages[name] == cv2.resize(picture, size, interpolation=cv2.INTER_AREA).ravel().tolist()


def test_colours_become_grey_and_pictures_turn_as_in_python(stages, inputs):
    picture = inputs["noise"][0]
    assert stages["grey"] == cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).ravel().tolist()
    assert stages["turned"] == np.rot90(picture, 3).ravel().tolist()


def test_faces_are_cut_to_the_grey_level(stages, inputs):
    grey = cv2.cvtColor(inputs["scene"][0], cv2.COLOR_RGB2GRAY)
    for square, cut in zip(inputs["squares"].astype(int), stages["cuts"], strict=True):
        assert cut == cut_square(grey, *square).ravel().tolist()


def test_the_frontal_detector_finds_the_boxes_of_dlib(stages, inputs, predictor):
    for picture, found in zip(inputs["large"], stages["boxes"], strict=True):
        boxes, scores = find_boxes(picture, predictor._clean.threshold)
        assert (found is None) == (len(boxes) == 0)
        if found:
            assert found["box"] == boxes[scores.argmax()].tolist()
            assert found["score"] == pytest.approx(scores.max(), abs=1e-4)


def test_landmarks_visibility_and_alignment_are_those_of_python(stages, inputs, predictor):
    scores, landmarks, visible = detection.find_faces(inputs["faces"], predictor._clean, 1)
    np.testing.assert_array_equal(np.reshape(stages["landmarks"], landmarks.shape), landmarks)
    np.testing.assert_allclose(stages["visible"], visible, atol=1e-5)
    found = ~np.isnan(scores)
    truth = geometry.similarity(landmarks, predictor._clean)
    np.testing.assert_allclose(np.reshape(stages["transforms"], truth.shape)[found], truth[found], atol=1e-4)


def test_hog_is_that_of_python(stages, inputs, predictor):
    truth = to_half(hog(inputs["faces"], predictor._extract)).astype(np.float32)
    np.testing.assert_allclose(stages["hog"], truth, atol=3e-4)  # a step of float16 below 0.5


def test_what_the_network_sees_is_what_it_sees_in_python(stages, inputs, predictor):
    truth = predictor.see(inputs["faces"])
    for row, seen in enumerate(stages["seen"]):
        assert np.abs(truth["images"][row].ravel().astype(int) - seen["image"]).max() <= 1
        np.testing.assert_allclose(np.reshape(seen["landmarks"], (68, 2)), truth["landmarks"][row], atol=1e-3)


@pytest.fixture(scope="module")
def address(folder):
    """The page from http.server."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()


def crowd():
    """A photo (240, 600, 3) of ten faces that are so small that they are looked at again, one of them at its edge."""
    grey = np.full((240, 600), 150, np.uint8)
    for k in range(10):
        grey[100:124, 60 * k : 60 * k + 24] = render_face(seed=k, size=24)[0]
    return np.repeat(grey[..., None], 3, axis=2)


@pytest.mark.parametrize(("origin", "draw"), [("disk", example_photo), ("server", crowd)])
def test_the_page_answers_as_python_does_and_asks_nobody(origin, draw, folder, address, browser, predictor):
    start = folder.joinpath("index.html").as_uri() if origin == "disk" else address
    page, asked, complaints = browser.new_page(), set(), []
    page.on("request", lambda request: asked.add(request.url))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(start, wait_until="commit")  # the load of a page ends with that of its models
    page.wait_for_function("document.getElementById('file')?.disabled === false", timeout=300_000)
    photo = cv2.imencode(".png", draw()[..., ::-1])[1].tobytes()
    page.locator("#file").set_input_files({"name": "p.png", "mimeType": "image/png", "buffer": photo})
    page.wait_for_function("page.answers() !== null", timeout=300_000)
    script = (
        "page.answers().map(({ box, score, probabilities, candidates }) => ({ box, score, probabilities, candidates }))"
    )
    answers, truth = page.evaluate(script), predictor.predict(draw())[0]
    assert truth
    assert [face["candidates"] for face in answers] == [list(face.candidates) for face in truth]
    for answer, face in zip(answers, truth, strict=True):
        np.testing.assert_allclose(answer["box"], face.box, atol=0.01)
        np.testing.assert_allclose(answer["probabilities"], list(face.probabilities.values()), atol=1e-3)
    assert page.get_by_text(f"Most probably {truth[0].expression}").count() == 1
    assert complaints == []
    base = start.removesuffix("index.html")
    assert {url for url in asked if not url.startswith((base, "blob:", "data:"))} == set()


def unpacked(folder, name):
    """The arrays that the scripts of data of one name hold."""
    scripts = sorted((folder / "data").glob(f"{name}[0-9]*.js"), key=lambda file: int(file.stem.removeprefix(name)))
    pieces = [base64.b64decode(script.read_text().split('"')[3]) for script in scripts]
    return load(gzip.decompress(b"".join(pieces)))


def test_a_compact_page_holds_the_landmark_model_rounded_to_float16(tmp_path, monkeypatch, inputs, predictor):
    for name in (web.SCRIPT, web.GLUE, web.BINARY):
        (tmp_path / name).write_bytes(b"")
    monkeypatch.setattr(web, "LEVEL", 1)
    page, model = tmp_path / "page", load_shape_model()._asdict()
    size = web.export_web(page, None, tmp_path, compact=True)
    assert size == sum(file.stat().st_size for file in page.rglob("*") if file.is_file())
    stored = unpacked(page, "landmarks")
    assert stored.keys() == model.keys()
    moves = stored.pop("moves").reshape(model["moves"].shape)
    assert moves.dtype == np.float16
    assert np.abs(moves - model.pop("moves")).max() < 1e-4  # half a step of float16 below 0.25; of a face's width
    for name, array in stored.items():
        np.testing.assert_array_equal(array, model[name])
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    found = run_stages(page, inputs, tmp_path)
    _, landmarks, _ = detection.find_faces(inputs["faces"], predictor._clean, 1)
    apart = np.linalg.norm(np.reshape(found["landmarks"], landmarks.shape) - landmarks, axis=2).mean(axis=1)
    assert np.median(apart) < 0.5
    assert apart.max() > 0


def test_without_the_runtime_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MmferError, match="npm install onnxruntime-web@") as caught:
        web.export_web(tmp_path / "page", None, None, compact=False)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_network_whose_faces_yunet_found_is_refused_in_one_line(tmp_path, monkeypatch):
    facts = copy.deepcopy(load_onnx(WEIGHTS / GRAPH).facts)
    cleaned = facts["made_by"]
    while cleaned["stage"] != "clean":
        cleaned = cleaned["from"]
    cleaned["params"] |= {"detector": "yunet", "threshold": 0.5}
    monkeypatch.setattr(web, "_network", lambda path: (facts, b""))
    monkeypatch.setattr(web, "_runtime_folder", lambda given: tmp_path)
    with pytest.raises(MmferError, match=r"^clean\.detector: yunet found the faces of this network; .* dlib") as caught:
        web.export_web(tmp_path / "page", None, None, compact=False)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_detector_goes_into_no_page(tmp_path, monkeypatch):
    for name in (web.SCRIPT, web.GLUE, web.BINARY):
        (tmp_path / name).write_bytes(b"")
    monkeypatch.setattr(web, "LEVEL", 1)
    spoilt = bytearray(yunet.load_model().tobytes())
    spoilt[len(spoilt) // 2] ^= 1
    (tmp_path / "spoilt.onnx").write_bytes(spoilt)
    monkeypatch.setattr(yunet, "model_file", lambda: tmp_path / "spoilt.onnx")
    yunet.load_model.cache_clear()
    with pytest.raises(MmferError, match=r"spoilt\.onnx: not YuNet's model"):
        web.export_web(tmp_path / "page", None, tmp_path, compact=False)
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize("name", [".", "..", "/"])
def test_a_folder_without_a_name_is_refused(name):
    with pytest.raises(MmferError, match=r"name the folder as it is called"):
        web.export_web(Path(name), None, None, False)


def test_a_folder_of_other_files_is_left_alone(tmp_path, monkeypatch):
    for name in (web.SCRIPT, web.GLUE, web.BINARY):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "letter.txt").write_text("mine")
    with pytest.raises(MmferError, match="holds other files"):
        web.export_web(tmp_path / "page", None, tmp_path, compact=False)
    assert (tmp_path / "page" / "letter.txt").read_text() == "mine"
