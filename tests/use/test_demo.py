"""The page of `mmfer demo`: what it does to photos, what it says, what it refuses; and that nothing leaves or stays."""

import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from mmfer.config import ExtractParams
from mmfer.face.hog import hog
from mmfer.face.points import EYES, MOUTH
from mmfer.testing.perturb import hide
from mmfer.use import demo, demo_pictures
from mmfer.use.demo import HOST
from mmfer.use.predictor import Explanation, Face

CLASSES = ["happy", "sad"]
CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
COMMAND = [sys.executable, "-c", "from mmfer.cli import main; main()", "demo"]


@pytest.fixture(autouse=True)
def _main_stays(monkeypatch):
    """AppTest leaves its script in __main__, which every process that Python starts from then on would run."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


def made_face(left=40.0, happy=0.9, score=0.5, top=30.0):
    """A face of 80 x 80 px whose mouth and eyes lie where they should."""
    spots = np.random.default_rng(0).uniform(0, 1, (68, 2))
    spots[MOUTH] = spots[MOUTH] * [30, 12] + [25, 55]
    spots[EYES] = spots[EYES] * [50, 8] + [15, 22]
    points = [(left + x, top + y) for x, y in spots.tolist()]
    named = dict(zip(CLASSES, (happy, 1 - happy), strict=True))
    image = np.full((48, 48), 100, np.uint8)
    return Face((left, top, left + 80, top + 80), score, points, max(named, key=named.get), named, image)


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


def test_of_several_faces_one_is_chosen(show):
    shown = show(made_face(), made_face(left=180.0, happy=0.3))
    assert shown.selectbox[0].options == ["1: happy", "2: sad"]
    shown.selectbox[0].select_index(1).run()
    assert "Most probably **sad**, 70%" in said(shown)


def test_no_face_is_said(show):
    assert "No face was found" in said(show())


def test_a_weak_face_is_said(show):
    assert "only by the weak search" in said(show(made_face(score=-0.3)))


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


@pytest.mark.parametrize(("part", "switch"), [(MOUTH, (True, False)), (EYES, (False, True))])
def test_hiding_paints_the_part_and_nothing_else(rng, part, switch):
    pixels, face = rng.integers(0, 256, (200, 300, 3), dtype=np.uint8), made_face()
    changed = demo_pictures.change_photo(pixels, [face], 0, 1, *switch)
    rows, columns = np.nonzero((changed != pixels).any(axis=-1))
    points = np.array(face.landmarks[part])
    margin = 2 * 1.27 * 80 / 48  # 2 px of the 48 that the network is given
    assert np.abs([columns.min(), rows.min()] - (points.min(axis=0) - margin)).max() <= 2
    assert np.abs([columns.max(), rows.max()] - (points.max(axis=0) + margin)).max() <= 2
    assert len(np.unique(changed[rows, columns])) == 1


def test_at_the_size_of_the_network_hiding_is_that_of_the_robustness_test(rng):
    pixels = rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)
    points = rng.uniform(18, 30, (68, 2))
    face = Face((0, 0, 38, 48), 1.0, points.tolist(), "happy", {"happy": 1.0}, pixels[..., 0])
    hidden = demo_pictures.change_photo(pixels, [face], 0, 1, True, False)
    expected = hide(pixels, points[MOUTH])
    assert ((hidden != pixels) == (expected != pixels)).mean() > 0.99


@pytest.mark.parametrize("left", [-60.0, 270.0, 900.0])
def test_parts_that_leave_the_photo_can_be_hidden(left):
    pixels = np.full((200, 300, 3), 150, np.uint8)
    changed = demo_pictures.change_photo(pixels, [made_face(left=left, top=-70.0)], 0, 1, True, True)
    assert changed.shape == pixels.shape


def test_light_and_contrast():
    pixels = np.full((2, 2, 3), 100, np.uint8)
    assert (demo_pictures.change_photo(pixels, [], 0.2, 1, False, False) == 151).all()
    assert (demo_pictures.change_photo(pixels, [], -0.8, 1, False, False) == 0).all()
    assert (demo_pictures.change_photo(pixels, [], 0, 2, False, False) == 72).all()
    assert (pixels == 100).all()


def test_large_photos_are_scaled_down():
    assert demo_pictures.fit(np.zeros((1000, 3200, 3), np.uint8)).shape == (500, 1600, 3)
    assert demo_pictures.fit(np.zeros((1, 9000, 3), np.uint8)).shape == (1, 1600, 3)
    assert demo_pictures.fit(np.zeros((10, 20, 3), np.uint8)).shape == (10, 20, 3)


def test_pictures_of_a_face(rng):
    image = rng.integers(0, 256, (48, 48), dtype=np.uint8)
    marked = demo_pictures.draw_landmarks(image, rng.uniform(0, 47, (68, 2)))
    strokes = demo_pictures.draw_hog(hog(image[None], ExtractParams())[0], ExtractParams())
    flat = demo_pictures.draw_saliency(image, np.zeros((48, 48), np.float32))
    assert (marked.shape, strokes.shape, flat.shape) == ((480, 480, 3), (480, 480), (480, 480, 3))
    assert strokes.max() > 200
    assert (flat == demo_pictures.enlarge(image)).all()


def test_an_upright_edge_is_an_upright_stroke():
    image = np.zeros((48, 48), np.uint8)
    image[:, 20:] = 200
    strokes = demo_pictures.draw_hog(hog(image[None], ExtractParams())[0], ExtractParams())
    rows, columns = np.nonzero(strokes > 128)
    assert np.ptp(rows) > 400
    assert np.ptp(columns) < 100


def test_saliency_is_orange_where_hiding_costs_and_blue_where_it_adds():
    saliency = np.zeros((48, 48), np.float32)
    saliency[:, :16], saliency[:, 32:] = 0.5, -0.5
    drawn = demo_pictures.draw_saliency(np.full((48, 48), 128, np.uint8), saliency).astype(int)
    assert drawn[240, 40, 0] > drawn[240, 40, 2] + 50
    assert drawn[240, 440, 2] > drawn[240, 440, 0] + 50


def test_labels_stay_in_the_photo():
    pixels = np.full((200, 300, 3), 150, np.uint8)
    faces = [made_face(left=-10.0, top=-5.0), made_face(left=260.0)]
    drawn = demo_pictures.mark_faces(pixels, faces, faces[0])
    assert drawn.shape == pixels.shape
    assert (pixels == 150).all()


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


def refused(*arguments, command=COMMAND):
    """The one line of an error with exit code 2."""
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_port_in_use_is_refused():
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        assert refused("--port", port) == f"error: port {port}: in use; name another one with --port\n"


def test_weights_are_opened_before_the_server_starts(tmp_path):
    message = refused("--port", free_port(), "--weights", tmp_path)
    assert message.startswith(f"error: {tmp_path}")


def test_without_streamlit_the_remedy_is_named():
    without = [*COMMAND[:2], f"import sys; sys.modules['streamlit'] = None; {COMMAND[2]}", "demo"]
    message = "error: streamlit not installed; run `pip install 'mmfer[demo]'`\n"
    assert refused(command=without) == message


def test_uploads_stay_in_memory_and_nobody_is_asked_for_our_address(monkeypatch):
    from starlette.formparsers import MultiPartParser
    from streamlit import net_util
    from streamlit.runtime.memory_session_storage import MemorySessionStorage

    for owner, name in (
        (MultiPartParser, "spool_max_size"),
        (MemorySessionStorage, "save"),
        (net_util, "get_external_ip"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # put back after the test
    demo.keep_to_memory()
    assert MultiPartParser.spool_max_size > demo.UPLOAD_MB * 2**20
    assert net_util.get_external_ip() is None


def free_port():
    with socket.create_server((HOST, 0)) as free:
        return free.getsockname()[1]


def answers(address, port):
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True


def own_address():
    """The address of this machine in its network; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # of documentation: nobody's
        except OSError:
            return "127.0.0.2"
        return probe.getsockname()[0]


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.2)


@pytest.fixture
def server(tmp_path):
    """The command in a working directory, home and TMPDIR of its own; its port."""
    folders = {name: tmp_path / name for name in ("PWD", "HOME", "TMPDIR")}
    for folder in folders.values():
        folder.mkdir()
    port, paths = free_port(), os.pathsep.join([os.getcwd(), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {name: str(folder) for name, folder in folders.items()} | {"PYTHONPATH": paths}
    running = subprocess.Popen(
        [*COMMAND, "--no-browser", "--port", str(port)],
        cwd=folders["PWD"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_for(lambda: answers(HOST, port) or running.poll() is not None, 60)
        yield SimpleNamespace(port=port, process=running, folders=folders)
    finally:
        running.kill()
        running.communicate()


@pytest.fixture
def browser():
    """A headless Chromium whose camera shows a test picture."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    quiet = "no-sandbox disable-gpu disable-quic disable-background-networking disable-component-update disable-sync"
    camera = "use-fake-ui-for-media-stream use-fake-device-for-media-stream"
    with driver.sync_playwright() as play:
        opened = play.chromium.launch(
            executable_path=CHROMIUM, args=[f"--{flag}" for flag in f"{quiet} {camera}".split()]
        )
        yield opened
        opened.close()


def test_a_page_that_closes_while_it_is_answered_leaves_the_server_running(server):
    for _ in range(100):
        with socket.create_connection((HOST, server.port)) as link:
            link.sendall(b"GET /_stcore/health HTTP/1.1\r\nHost: here\r\n\r\n")
    assert status_of(f"http://{HOST}:{server.port}") == 200


def test_the_page_in_a_browser(server, browser, rendered):
    canvas = np.full((480, 640), 150, np.uint8)
    canvas[100:340, 200:440] = cv2.resize(rendered[0][5], (240, 240), interpolation=cv2.INTER_CUBIC)
    page, hosts = browser.new_page(), set()
    page.on("request", lambda request: hosts.add(request.url))
    page.on("websocket", lambda link: hosts.add(link.url))
    page.goto(f"http://{HOST}:{server.port}")
    photo = {
        "name": "p.bmp",
        "mimeType": "image/bmp",
        "buffer": cv2.imencode(".bmp", np.dstack([canvas] * 3))[1].tobytes(),
    }
    page.locator("input[type=file]").set_input_files(photo)
    page.get_by_text("What each view adds").wait_for(timeout=60_000)
    names = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    assert any(page.get_by_text(f"Most probably {name}").count() for name in names)
    page.get_by_role("slider", name="Brightness").press("ArrowRight")
    page.get_by_text("Orange marks: the photo as it was.").wait_for(timeout=60_000)
    page.get_by_text("Hide mouth").click()
    page.get_by_text("points)").wait_for(timeout=60_000)
    drawn = page.locator("img").first.get_attribute("src")
    picture = drawn if drawn.startswith("http") else f"http://{HOST}:{server.port}{drawn}"
    assert status_of(picture) == 200
    page.get_by_text("the camera").click()
    page.wait_for_function("document.querySelector('video')?.readyState >= 2")  # a picture has come
    page.get_by_role("button", name="Take Photo").click()
    page.get_by_text("No face was found").or_(page.get_by_text("weak search")).first.wait_for(timeout=60_000)

    assert {url.split("/")[2] for url in hosts if url.split(":")[0] in ("http", "https", "ws", "wss")} == {
        f"{HOST}:{server.port}"
    }
    assert not any(answers(address, server.port) for address in {"127.0.0.2", own_address()})
    page.close()
    wait_for(lambda: status_of(picture) == 404, 20)
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(30) == 0
    left = [path.name for folder in server.folders.values() for path in folder.rglob("*") if path.is_file()]
    assert all(name.startswith("fontlist") for name in left), left  # matplotlib's cache, in HOME


def status_of(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
