"""The server of `mmfer serve`: every form of a photo answered alike, and whatever else is sent, one line of JSON."""

import base64
import http.client
import inspect
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mmfer.cli import app
from mmfer.data.synthetic.faces import render_face
from mmfer.errors import MmferError
from mmfer.use.predictor import Predictor, Search
from tests.use.photos import CLASSES, encode, large, made_face, scene

try:
    import uvicorn

    from mmfer.use import connections, server
    from mmfer.use.connections import listen
    from mmfer.use.server import Limits
except ModuleNotFoundError:
    pytest.skip("not installed: pip install 'mmfer[serve]'", allow_module_level=True)

LIMITS = Limits(mebibytes=1, megapixels=1, photos=3, seconds=20)
PNG = encode(np.full((40, 60, 3), 200, np.uint8))
COMMAND = [sys.executable, "-c", "from mmfer.cli import main; main()", "serve"]


class FakePredictor:
    """A face in every photo, when it may."""

    def __init__(self):
        self.classes, self.search = CLASSES, Search()
        self.go, self.asked, self.at_once, self.most = threading.Event(), [], 0, 0
        self.go.set()

    def predict(self, pictures):
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        self.asked += pictures
        self.go.wait(20)
        self.at_once -= 1
        return [[made_face()] for _ in pictures]

    def predict_faces(self, images):
        return None


@contextmanager
def running(predictor, limits=LIMITS):
    """The port of a server in a thread."""
    with listen("127.0.0.1", 0) as listening, pytest.MonkeyPatch.context() as patch:
        started = []
        patch.setattr(uvicorn.Server, "install_signal_handlers", lambda self: None, raising=False)
        run = uvicorn.Server.run
        patch.setattr(uvicorn.Server, "run", lambda self, **options: (started.append(self), run(self, **options)))
        thread = threading.Thread(target=server.serve, args=(predictor, listening, limits), daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        started[0].should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def port():
    with running(FakePredictor()) as number:
        yield number


def ask(port, body=None, kind="image/png", path="/predict", method="POST", **headers):
    """Status, headers and the JSON of an answer, which is one line."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    said = headers if kind is None else {"Content-Type": kind, **headers}
    connection.request(method, path, body, said)
    response = connection.getresponse()
    text = response.read().decode("ascii")
    connection.close()
    assert text.endswith("\n")
    assert text.count("\n") == 1
    assert response.headers["content-type"] == "application/json"
    return response.status, response.headers, json.loads(text)


def form(*parts, boundary="xx"):
    """The body and the type of a form of (name, file name, content)."""
    body = b""
    for name, file, content in parts:
        named = f'; filename="{file}"' if file else ""
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + content
        body += b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def as_json(*photos):
    return json.dumps({"photos": photos}), "application/json"


def test_every_form_of_a_photo_is_answered_as_the_predictor_answers(monkeypatch):
    image, _ = render_face("surprise", seed=3, size=192, frontal=True)
    photo, predictor = encode(np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image), Predictor.load()
    faces = [face.as_dict() for face in predictor.predict(photo)[0]]
    assert len(faces) == 1
    text = base64.b64encode(photo).decode()
    wrapped = base64.encodebytes(photo).decode()
    expected = {"source": "photo 0", "width": 192, "height": 192, "faces": faces}
    with running(predictor) as port:
        for body, kind in [
            (photo, "image/png"),
            (photo, "application/octet-stream"),
            (photo, None),
            as_json(text),
            as_json(wrapped),
            as_json(f"data:image/png;base64,{text}"),
            form(("photo", None, text.encode())),
        ]:
            assert ask(port, body, kind)[::2] == (200, {"photos": [expected]})
        several = form(("a", "one.png", photo), ("a", "no photo.txt", b"text"), ("b", "two.png", photo))
        first, bad, last = ask(port, *several)[2]["photos"]
    assert (first, last) == (expected | {"source": "one.png"}, expected | {"source": "two.png"})
    assert bad["source"] == "no photo.txt"
    assert bad["error"].startswith("no photo.txt: not a photo that can be read")


def test_health_says_what_answers(port):
    status, _, said = ask(port, path="/health", method="GET")
    assert (status, said["status"], said["classes"], said["detector"]) == (200, "ok", ["happy", "sad"], "yunet")


def test_what_is_answered_is_what_the_page_describes(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/openapi.json")
    described = json.load(connection.getresponse())
    schemas = described["components"]["schemas"]
    photo = ask(port, PNG)[2]["photos"][0]
    assert {*photo, "error"} == schemas["AnsweredPhoto"]["properties"].keys()
    assert photo["faces"][0].keys() == schemas["AnsweredFace"]["properties"].keys()
    kinds = described["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert kinds.keys() == {"multipart/form-data", "application/json", "image/*", "application/octet-stream"}
    connection.request("GET", "/docs")
    page = connection.getresponse().read().decode()
    assert "swagger-ui-bundle.js" in page
    for loaded in re.findall(r'(?:src|href)="([^"]+)"', page):
        connection.request("GET", loaded)  # from here: a URL of elsewhere is no path of this server
        assert loaded.startswith("/")
        response = connection.getresponse()
        assert (response.status, len(response.read()) > 100) == (200, True)


def bomb(width, height):
    """A PNG of a few bytes that claims to be so large."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )


HOSTILE = {
    "no body": (b"", "image/png", 422, "photo 0: empty"),
    "text as an image": (b"<html>", "image/jpeg", 422, "photo 0: not a photo that can be read"),
    "a photo that is cut off": (PNG[:-40], "image/png", 422, "photo 0: truncated or damaged"),
    "a page": (PNG, "text/html", 415, "Content-Type 'text/html' is not read; send image/* or"),
    "no type": (PNG, "", 415, "Content-Type '' is not read"),
    "a form of curl -d": (PNG, "application/x-www-form-urlencoded", 415, "Content-Type 'application/x-www-form"),
    "pixels": (
        encode(np.zeros((1001, 1000), np.uint8)),
        "image/png",
        422,
        "photo 0: 1000 x 1001 is more than 1,000,000",
    ),
    "a bomb": (bomb(60_000, 60_000), "image/png", 422, "photo 0: more than"),
    "a smaller bomb": (bomb(10_000, 10_000), "image/png", 422, "photo 0: 10000 x 10000 is more than 1,000,000 pixels"),
    "bytes": (b"x" * (2**20 + 1), "image/png", 413, "body of more than 1 MiB; send fewer or smaller photos"),
    "many photos": (*as_json(*"abcd"), 413, "4 photos, at most 3; send them in several requests"),
    "many files": (*form(*[("a", "a", PNG)] * 4), 400, "a form that cannot be read (Too many files"),
    "deep JSON": ("[" * 500_000, "application/json", 400, "JSON of too many parts"),
    "wide JSON": (json.dumps({"photos": [[]] * 100_000}), "application/json", 400, "JSON of too many parts"),
    "no JSON": ("{'photos'", "application/json", 400, "not JSON (Expecting property name"),
    "no text": (b"\xff\xfe\xfa", "application/json", 400, "not JSON ('utf-16"),
    "other JSON": ('{"photo": 5}', "application/json; charset=utf-8", 400, "JSON without photos; send"),
    "a number": ("5", "application/json", 400, "JSON without photos"),
    "no photos": (*as_json(), 400, "JSON without photos"),
    "photos of numbers": (*as_json(5), 400, "JSON without photos"),
    "half a pair": ('{"photos": ["\\ud800"]}', "application/json", 422, "photo 0: not base64 ("),
    "a path": (*as_json(os.path.abspath("docs/faces.png")), 422, "photo 0: not base64 ("),
    "an address": (*as_json("http://127.0.0.1/a.png"), 422, "photo 0: not base64 ("),
    "an empty data URL": (*as_json("data:image/png;base64,"), 422, "photo 0: a data URL without data"),
    "none of two": (*as_json("", "AAAA"), 422, "none of 2 photos can be read; photo 0: empty"),
    "a form without a border": (form(("a", "a", PNG))[0], "multipart/form-data", 400, "a form that cannot be read"),
    "half a form": (form(("a", "a", PNG))[0][:60], "multipart/form-data; boundary=xx", 400, "a form without files"),
    "a charset of nothing": (
        form(("a", "\xff", PNG))[0],
        "multipart/form-data; boundary=xx; charset=undefined",
        400,
        "a form",
    ),
    "no form": (b"\0" * 999, "multipart/form-data; boundary=xx", 400, "a form that cannot be read (Invalid"),
    "a form without files": (*form(), 400, "a form without files"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_cannot_be_answered_is_one_line(port, name):
    body, kind, status, message = HOSTILE[name]
    found, _, said = ask(port, body, kind)
    assert (found, said["error"][: len(message)]) == (status, message)
    assert list(said) == ["error"]
    assert ask(port, PNG)[0] == 200


def test_other_places_and_methods_are_one_line(port):
    assert ask(port, path="/nowhere", method="GET")[::2] == (404, {"error": "Not Found"})
    status, headers, said = ask(port, path="/predict", method="GET")
    assert (status, said, headers["allow"]) == (405, {"error": "Method Not Allowed"}, "POST")


def test_names_of_files_are_told_whatever_they_hold(port):
    name = "Ärger\ud83d\ude00 \x01" + "x" * 500
    body, kind = form(("a", "NAME", PNG))
    said = ask(port, body.replace(b"NAME", name.encode("utf-8", "surrogatepass")), kind)[2]
    (photo,) = said["photos"]
    assert photo["source"].endswith("x" * 100)
    assert len(photo["source"]) == 200


def raw(port, *parts, pause=0.0):
    """What is answered to bytes, sent with pauses: the whole connection until it is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        with suppress(OSError):
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
        answer = b""
        with suppress(OSError):
            while more := connection.recv(65536):
                answer += more
        return answer


HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
CLOSE = b"Connection: close\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),  # TLS
        (b"GET\r\n\r\n", 400),
        (HEAD + b"Content-Length: 9, 8\r\n\r\n", 400),
        (HEAD + b"Content-Length: -5\r\n\r\n", 400),
        (HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (HEAD + b"Content-Length: 99999999999999\r\n" + CLOSE + b"\r\n", 413),
        (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nno number\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\n" + CLOSE + b"\r\n" + b"fffff\r\n" + b"x" * 0xFFFFF + b"\r\n" * 1
         + b"ff\r\n" + b"x" * 255 + b"\r\n0\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000, 400),
    ],
    ids=["tls", "line", "two-lengths", "negative", "endless-length", "length", "coding", "chunk", "chunks", "head"],
)  # fmt: skip
def test_what_is_no_http_or_too_long_is_one_line(port, request_, status):
    head, _, body = raw(port, request_).partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status
    assert (list(json.loads(body)), body.count(b"\n")) == (["error"], 1)
    assert ask(port, PNG)[0] == 200


def test_a_client_that_goes_away_harms_nobody(port):
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(HEAD + b"Content-Length: 5000\r\n\r\n" + b"x" * 100)
    wait_for(lambda: ask(port, PNG)[0] == 200)  # their places, which are fewer, are free again


def test_slow_senders_are_cut_off(monkeypatch):
    monkeypatch.setattr(connections, "HEAD_S", 0.6)
    with running(FakePredictor(), LIMITS._replace(seconds=0.6)) as port:
        slow = [HEAD, b"Content-Length: 900\r\n" + CLOSE + b"\r\n", *[b"x"] * 8]
        start = time.monotonic()
        head, _, body = raw(port, *slow, pause=0.1).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        assert json.loads(body)["error"] == "no whole body within 0.6 s; send less, or faster"
        head, _, body = raw(port, *[b"GET /health HTTP/1.1\r\n"], *[b"X: y\r\n"] * 20, pause=0.1).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        assert json.loads(body)["error"] == "no request within 0.6 s; send it faster"
        assert time.monotonic() - start < 8
        endless = HEAD + b"Content-Length: 99999999999999\r\n\r\n"
        start = time.monotonic()  # what is sent on after the answer is read for a while, so that the answer arrives
        assert raw(port, endless, *[b"x"] * 60, pause=0.1).startswith(b"HTTP/1.1 413 ")
        assert time.monotonic() - start < 5
        kept = http.client.HTTPConnection("127.0.0.1", port)
        for _ in range(3):  # one connection, whose requests begin in time
            kept.request("GET", "/health")
            assert kept.getresponse().read()
            time.sleep(0.3)


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)


def test_requests_beyond_those_that_may_wait_are_turned_away():
    predictor = FakePredictor()
    with running(predictor, LIMITS._replace(predicting=2, waiting=1)) as port, ThreadPoolExecutor(4) as pool:
        wait_for(lambda: ask(port, path="/health", method="GET")[0] == 200)
        predictor.asked, predictor.most = [], 0
        predictor.go.clear()
        requests = [pool.submit(ask, port, PNG) for _ in range(4)]  # two are predicted, one waits
        wait_for(lambda: len(predictor.asked) == 2 and any(request.done() for request in requests))
        status, headers, said = next(request for request in requests if request.done()).result()
        assert (status, said) == (503, {"error": "too many requests at once; try again"})
        assert int(headers["retry-after"]) > 0
        assert ask(port, path="/health", method="GET")[0] == 200
        predictor.go.set()
        assert sorted(request.result()[0] for request in requests) == [200, 200, 200, 503]
        assert (len(predictor.asked), predictor.most) == (3, 2)
        assert ask(port, PNG)[0] == 200


def test_what_takes_too_long_is_given_up(monkeypatch):
    monkeypatch.setattr("mmfer.use.inputs.PIXELS", 1)  # one photo at a time
    predictor = FakePredictor()
    with running(predictor, LIMITS._replace(seconds=0.5, predicting=1)) as port:
        wait_for(lambda: ask(port, path="/health", method="GET")[0] == 200)
        predictor.asked = []
        predictor.go.clear()
        text = base64.b64encode(PNG).decode()
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(ask, port, *as_json(text, text))
            wait_for(lambda: predictor.asked)
            second = pool.submit(ask, port, PNG)
            for request in (first, second):
                status, headers, said = request.result()
                assert (status, said["error"][:21]) == (503, "no answer within 0.5 ")
                assert "retry-after" in headers
        assert predictor.at_once == 1  # the first photo is still at work
        predictor.go.set()
        assert ask(port, PNG)[0] == 200
        assert len(predictor.asked) == 2  # neither the second photo nor the second request was begun


def test_no_photo_is_written_to_the_disk(monkeypatch):
    def fail(*_):
        raise AssertionError("a file was written")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", fail)
    large = encode(np.random.default_rng(0).integers(0, 256, (700, 1000, 3), dtype=np.uint8))
    assert len(large) > 2 * 2**20
    with running(FakePredictor(), LIMITS._replace(mebibytes=4)) as port:
        assert ask(port, *form(("a", "a.png", large)))[0] == 200


def test_the_command_leaves_nothing_in_its_folders(rendered, tmp_path):
    folders = {name: tmp_path / name for name in ("HOME", "TMPDIR", "PWD")}
    for folder in folders.values():
        folder.mkdir()
    paths = os.pathsep.join([os.getcwd(), *filter(None, [os.environ.get("PYTHONPATH")])])
    surroundings = {name: str(folder) for name, folder in folders.items()} | {"PYTHONPATH": paths}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [*COMMAND, "--port", str(port)], cwd=folders["PWD"], env=kept | surroundings, stdout=subprocess.PIPE, text=True
    )
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (800, 1000, 3), dtype=np.uint8)  # as PNG longer than what forms keep in memory
    noise[100:500, 200:600] = large(rendered[0][5], 400)[..., None]
    photo = encode(noise)
    text = base64.b64encode(photo).decode()
    try:
        assert process.stdout.readline().startswith("http://")
        for body, kind, number in [
            (photo, "image/png", 1),
            (*as_json(text, f"data:image/png;base64,{text}"), 2),
            (*form(("photos", "a.png", photo), ("photos", "b.png", photo), ("photos", "c.txt", b"text")), 3),
            (*form(("photo", None, text.encode())), 1),
        ]:
            answers = ask(port, body, kind)[2]["photos"]
            assert [len(photo.get("faces", [])) for photo in answers] == [1, 1, 0][:number]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert [path for folder in folders.values() for path in folder.rglob("*")] == []


def test_a_bug_is_told_without_its_traceback(capfd):
    predictor = FakePredictor()
    with running(predictor) as port:
        wait_for(lambda: ask(port, path="/health", method="GET")[0] == 200)
        predictor.predict = lambda pictures: 1 / 0
        assert ask(port, PNG)[::2] == (500, {"error": "a fault of the server; its log says more"})
        wait_for(lambda: "ZeroDivisionError" in capfd.readouterr().err)


def test_a_place_that_cannot_be_listened_on_is_one_line():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run([*COMMAND, "--port", str(port)], capture_output=True, text=True, check=False)
        message = f"error: 127.0.0.1, port {port}: in use; name another one with --host or --port\n"
        assert (done.returncode, done.stdout, done.stderr) == (2, "", message)
    with pytest.raises(MmferError, match=r"192\.0\.2\.1, port 80: .*; name another one"):
        listen("192.0.2.1", 80)


def test_options_reach_the_server(monkeypatch):
    given, limits, load = [], [], inspect.signature(Predictor.load)
    monkeypatch.setattr(Predictor, "load", lambda *args: given.append(load.bind(*args).arguments))
    monkeypatch.setattr(server, "serve", lambda predictor, listening, bounds: limits.append(bounds))
    options = "--max-mib 1 --max-megapixels 2 --max-photos 3 --timeout 4 --concurrency 5 --waiting 6"
    options += " --weights net --detector dlib --min-score 0.5 --min-pixels 20 --workers 3"
    assert CliRunner().invoke(app, ["serve", "--port", "0", *options.split()]).exit_code == 0
    search = {"detector": "dlib", "min_score": 0.5, "min_pixels": 20}
    assert given == [{"path": Path("net"), "workers": 3} | search]
    bounds = {"mebibytes": 1, "megapixels": 2, "photos": 3, "seconds": 4, "predicting": 5, "waiting": 6}
    assert limits == [Limits(**bounds)]
    assert CliRunner().invoke(app, ["serve", "--port", "0"]).exit_code == 0
    (usual := load.bind()).apply_defaults()
    assert (given[1], limits[1]) == (usual.arguments, Limits())


def test_the_command_answers_until_it_is_told_to_end(rendered):
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    options = ["--port", str(port), "--max-photos", "1", "--min-pixels", "100"]
    process = subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == f"http://127.0.0.1:{port}: POST /predict, GET /health, pages at /docs\n"
        photo = scene([(rendered[0][5], 20, 50, 200), (rendered[0][5], 400, 50, 90)], 300, 600)
        (answer,) = ask(port, encode(photo))[2]["photos"]
        assert [face["box"][0] < 220 for face in answer["faces"]] == [True]  # the small one is left out
        assert ask(port, *as_json("AAAA", "AAAA"))[0] == 413
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in log


def test_no_bound_on_the_time_of_an_answer_is_taken(monkeypatch):
    configs = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, **_: configs.append(self.config))
    server.serve(FakePredictor(), None, Limits(seconds=float("inf")))
    assert configs[0].timeout_graceful_shutdown == server.LONGEST_S
