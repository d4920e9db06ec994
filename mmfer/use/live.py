"""Cameras, by number or RTSP or HTTP address: the newest frame whenever one is asked for, and an end that is told.

A thread reads on while faces are looked for, and what nobody took is dropped: the answer is about now. A camera that
does not answer, or has gone, is an error after PATIENCE seconds at most.
"""

import re
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2

from mmfer.errors import MmferError
from mmfer.use.photos import Picture
from mmfer.use.videos import open_capture, rate_of, read_frames, released

ADDRESS = re.compile(r"(rtsps?|rtmps?|https?)://\S+", re.IGNORECASE)
PATIENCE = 10.0  # seconds without an answer, or without a frame


def camera_of(text: str) -> int | str:
    """What --camera names: a number or an address; MmferError where it is neither."""
    if re.fullmatch(r"[0-9]{1,9}", text):  # more, OpenCV cannot take
        return int(text)
    if ADDRESS.fullmatch(text):
        return text
    raise MmferError(f"--camera {text}: neither a number, such as 0, nor an address, such as rtsp://192.168.1.9/live")


def name_of(camera: int | str) -> str:
    """The source of a camera's frames: `camera 0`, or its address without the password."""
    if isinstance(camera, int):
        return f"camera {camera}"
    return re.sub(r"(?<=//)([^/@:]*):[^/]*@", r"\1:***@", camera)


def read_camera(camera: int | str, every: int, stop: threading.Event) -> Iterator[Picture]:
    """Frames of a camera until `stop` is set, or of a video at an address until its end.

    Of a camera's frames those that come while others are worked on are left out, and of their numbers only every
    `every`th counts. MmferError where nothing answers, and where a camera gives no more.
    """
    name = name_of(camera)
    capture = _answered(camera, name)
    if isinstance(camera, int) or capture.get(cv2.CAP_PROP_FRAME_COUNT) <= 0:
        yield from _newest(capture, name, every, stop)
        return
    with released(capture):  # of a file, which waits
        for frame in read_frames(capture, name, every):
            yield frame
            if stop.is_set():
                return


def _answered(camera: int | str, name: str) -> cv2.VideoCapture:
    """The opened camera; MmferError where it does not answer in time. A name server may keep OpenCV waiting longer."""
    limit = round(1000 * PATIENCE)
    options = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit]
    arguments: tuple[Any, ...] = (cv2.CAP_FFMPEG, options) if isinstance(camera, str) else ()
    opened: list[cv2.VideoCapture] = []
    thread = threading.Thread(target=lambda: opened.append(open_capture(camera, *arguments)), daemon=True)
    thread.start()
    thread.join(PATIENCE + 1)
    if not opened or not opened[0].isOpened():
        if isinstance(camera, int):
            raise MmferError(f"{name}: no frame can be read; connect it, or name another with --camera")
        raise MmferError(f"{name}: no video answers there within {PATIENCE:.0f} s; correct the address, or start it")
    return opened[0]


def _newest(capture: cv2.VideoCapture, name: str, every: int, stop: threading.Event) -> Iterator[Picture]:
    """The newest frame, each time that one is asked for; it is read by a thread of its own."""
    newest: deque[Picture] = deque(maxlen=1)
    changed, ended = threading.Event(), threading.Event()
    thread = threading.Thread(target=_read_on, args=(capture, name, every, newest, changed, ended), daemon=True)
    thread.start()
    last = None
    try:
        while _is_set_in_time(changed, stop):
            changed.clear()
            if newest:
                last = newest.pop()
                yield last
            if ended.is_set() and not newest:
                break
    finally:
        ended.set()
        thread.join(1)  # no longer: a driver may keep it
    if not stop.is_set():
        raise MmferError(f"{name}: {_gone(last)}")


def _read_on(
    capture: cv2.VideoCapture,
    name: str,
    every: int,
    newest: deque[Picture],
    changed: threading.Event,
    ended: threading.Event,
) -> None:
    """Put the newest frame into `newest` until the camera, or who reads it, has ended."""
    rate, start, number = rate_of(capture), 0.0, 0
    with released(capture):
        while not ended.is_set() and capture.grab():
            now = time.monotonic()
            start = start or now
            read, pixels = capture.retrieve() if number % every == 0 else (False, None)
            if read:
                frame = Picture(name, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), number, round(now - start, 3), rate)
                newest.append(frame)
                changed.set()
            number += 1
    ended.set()
    changed.set()


def _is_set_in_time(changed: threading.Event, stop: threading.Event) -> bool:
    """Whether there is something new before PATIENCE is at an end, and nobody wants to stop."""
    end = time.monotonic() + PATIENCE
    while not stop.is_set() and time.monotonic() < end:
        if changed.wait(0.1):
            return not stop.is_set()
    return False


def _gone(last: Picture | None) -> str:
    if last is None:
        return "no frame can be read; connect it, or name another with --camera"
    return f"gave no more frames after {last.seconds:.1f} s; connect it again, and repeat the command"


@contextmanager
def until_signal() -> Iterator[threading.Event]:
    """An event that Ctrl-C, or what `kill` sends, sets; a second one interrupts as usual."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: object) -> None:
        stop.set()
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        restore()
