"""The server of `mmfer demo`: what its command refuses, its page in a browser, and that nothing leaves or stays."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from types import SimpleNamespace

import pytest

from mmfer.use import demo
from mmfer.use.demo import HOST
from tests.use.photos import encode, scene

COMMAND = [sys.executable, "-c", "from mmfer.cli import main; main()", "demo"]


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


def test_a_page_that_closes_while_it_is_answered_leaves_the_server_running(server):
    for _ in range(100):
        with socket.create_connection((HOST, server.port)) as link:
            link.sendall(b"GET /_stcore/health HTTP/1.1\r\nHost: here\r\n\r\n")
    assert status_of(f"http://{HOST}:{server.port}") == 200


def test_the_page_in_a_browser(server, browser, rendered):
    page, hosts = browser.new_page(), set()
    page.on("request", lambda request: hosts.add(request.url))
    page.on("websocket", lambda link: hosts.add(link.url))
    page.goto(f"http://{HOST}:{server.port}")
    photo = {
        "name": "p.bmp",
        "mimeType": "image/bmp",
        "buffer": encode(scene([(rendered[0][5], 200, 100, 240)]), "BMP"),
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
    page.get_by_text("No face was found").first.wait_for(timeout=60_000)

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
