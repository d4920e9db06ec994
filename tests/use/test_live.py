"""Cameras: the newest frame, an end by Ctrl-C, and one line in bounded time where nothing answers or all has gone."""

import gc
import signal
import socket
import threading
import time
from contextlib import contextmanager

import cv2
import numpy as np
import pytest

from mmfer.errors import MmferError
from mmfer.use import live
from mmfer.use.live import camera_of, name_of, read_camera, until_signal
from mmfer.use.media import Fault, read_media
from mmfer.use.photos import Picture
from tests.use.photos import Camera, encode, write_video


@contextmanager
def server(answer):
    """The port of a server on this computer that calls `answer(connection)` for each caller."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        kept = []

        def serve():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:  # closed
                    return
                kept.append(connection)
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            for connection in kept:
                connection.close()


def jpegs(frames, then=lambda connection: connection.close()):
    """What an IP camera answers: a JPEG after the other, as multipart/x-mixed-replace; in the end `then`."""

    def answer(connection):
        connection.recv(4096)
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n")
        for n in range(frames):
            content = encode(np.full((48, 64, 3), 20 * n, np.uint8), "JPEG")
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
            connection.sendall(head.encode() + content + b"\r\n")
            time.sleep(0.05)
        then(connection)

    return answer


def read(source, every=1):
    """The frames of a camera and what was wrong in the end."""
    *frames, fault = read_media([], source, every)
    assert isinstance(fault, Fault)
    return frames, fault.message


def test_a_camera_is_named_by_a_number_or_an_address():
    assert [camera_of("0"), camera_of("12")] == [0, 12]
    assert camera_of("rtsp://u:p@10.0.0.1:554/live?x=1") == "rtsp://u:p@10.0.0.1:554/live?x=1"
    for text in ("-1", "", "front", "file:///etc/passwd", "concat:a|b", "http://", "9999999999"):
        with pytest.raises(MmferError, match=f"--camera {text}".replace("|", r"\|")):
            camera_of(text)


def test_no_output_has_the_password():
    assert name_of("rtsp://me:se@cret@10.0.0.1/live") == "rtsp://me:***@10.0.0.1/live"
    assert name_of("http://10.0.0.1:8080/a@b") == "http://10.0.0.1:8080/a@b"
    assert name_of(0) == "camera 0"


def test_no_camera_is_told(capfd):
    frames, said = read(97)
    assert (frames, said) == ([], "camera 97: no frame can be read; connect it, or name another with --camera")
    assert capfd.readouterr().err == ""


def test_frames_that_come_while_one_is_worked_on_are_left_out(plug_in):
    plug_in(Camera())
    stream = read_media([], 0)
    first = next(stream)
    time.sleep(0.3)  # as long as faces are looked for
    second, third = next(stream), next(stream)
    assert (first.source, first.frame, first.seconds, first.rate) == ("camera 0", 0, 0.0, 25.0)
    assert 10 < second.frame <= third.frame - 1
    assert second.seconds >= 0.2
    assert [frame.pixels[0, 0, 0] for frame in (first, second)] == [0, second.frame % 256]
    stream.close()


def test_nothing_old_is_kept(plug_in):
    camera = plug_in(Camera(frames=40))
    stream = read_media([], 7)
    first = next(stream)
    assert camera.released.wait(10)  # it has gone
    held = [one for one in gc.get_objects() if type(one) is Picture and one.source == "camera 7"]
    assert {first.frame, 39} == {one.frame for one in held}


def test_a_camera_that_has_gone_is_not_waited_for(plug_in, monkeypatch):
    monkeypatch.setattr(live, "PATIENCE", 30.0)
    camera = plug_in(Camera(frames=3))
    stream = read_media([], 0)
    next(stream)
    assert camera.released.wait(10)
    start = time.monotonic()
    assert [type(item) for item in stream] == [Picture, Fault]
    assert time.monotonic() - start < 10


def test_of_every_third_frame_the_newest(plug_in):
    plug_in(Camera(frames=30))
    frames, _ = read(0, every=3)
    assert {frame.frame % 3 for frame in frames} == {0}


def test_a_camera_is_released_when_the_caller_stops(plug_in):
    camera = plug_in(Camera())
    stream = read_media([], 0)
    next(stream)
    stream.close()
    assert camera.released.is_set()


def test_a_camera_that_vanishes_is_told(plug_in):
    plug_in(Camera(frames=5))
    frames, said = read(0)
    assert 1 <= len(frames) <= 5
    assert frames[-1].frame == 4  # what came last is not lost
    expected = f"gave no more frames after {frames[-1].seconds:.1f} s; connect it again, and repeat the command"
    assert said == f"camera 0: {expected}"


def test_a_camera_that_hangs_is_told(plug_in):
    hangs = threading.Event()
    plug_in(Camera(frames=2, end=lambda: hangs.wait(60)))
    frames, said = read(0)
    assert frames[-1].frame == 1
    assert "gave no more frames after 0.0 s" in said
    hangs.set()


def test_a_camera_that_does_not_even_open_is_told(plug_in, monkeypatch):
    opens = threading.Event()
    plug_in(None)
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: opens.wait(10))
    frames, said = read(0)
    assert (frames, said) == ([], "camera 0: no frame can be read; connect it, or name another with --camera")
    opens.set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_a_camera_without_an_error(plug_in, number):
    plug_in(Camera(frames=5, end=lambda: signal.raise_signal(number) or time.sleep(60)))
    before = signal.getsignal(number)
    with until_signal() as stop:
        items = list(read_media([], 0, stop=stop))
    assert items
    assert not any(isinstance(item, Fault) for item in items)
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_an_address_that_never_answers_is_told(scheme, monkeypatch, capfd):
    monkeypatch.setattr(live, "PATIENCE", 1.0)
    start = time.monotonic()
    with server(lambda connection: None) as port:
        frames, said = read(f"{scheme}://me:secret@127.0.0.1:{port}/live")
    assert frames == []
    address = f"{scheme}://me:***@127.0.0.1:{port}/live"
    assert said == f"{address}: no video answers there within 1 s; correct the address, or start it"
    assert time.monotonic() - start < 20
    assert capfd.readouterr().err == ""


def test_an_address_where_nobody_is_is_told():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    frames, said = read(f"http://127.0.0.1:{port}/")
    assert frames == []
    assert "no video answers there" in said


def test_an_ip_camera_that_vanishes_gives_its_frames_and_is_told(monkeypatch):
    monkeypatch.setattr(live, "PATIENCE", 3.0)
    with server(jpegs(8)) as port:
        frames, said = read(f"http://127.0.0.1:{port}/video")
    assert 1 <= len(frames) <= 8
    levels = [frame.pixels.mean() for frame in frames]
    np.testing.assert_allclose(levels, [20 * frame.frame for frame in frames], atol=4)
    assert "gave no more frames after" in said


def test_an_ip_camera_that_falls_silent_is_told(monkeypatch):
    monkeypatch.setattr(live, "PATIENCE", 2.0)
    start = time.monotonic()
    with server(jpegs(6, then=lambda connection: None)) as port:
        frames, said = read(f"http://127.0.0.1:{port}/video")
    assert frames
    assert "gave no more frames after" in said
    assert time.monotonic() - start < 20


def test_of_a_video_at_an_address_no_frame_is_left_out(tmp_path):
    write_video(tmp_path / "v.mkv", [np.full((64, 96, 3), 20 * n, np.uint8) for n in range(12)])
    content = (tmp_path / "v.mkv").read_bytes()

    def answer(connection):
        connection.recv(4096)
        connection.sendall(f"HTTP/1.0 200 OK\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content)
        connection.close()

    with server(answer) as port:
        stop = threading.Event()
        frames = []
        for frame in read_camera(f"http://127.0.0.1:{port}/v.mkv", 1, stop):
            frames.append(frame)
            time.sleep(0.05)
    assert [frame.frame for frame in frames] == list(range(12))
    assert frames[-1].seconds == 1.1
