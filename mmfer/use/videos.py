"""The frames of a video file, as far as they can be read, and whether any are missing."""

import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from mmfer.errors import MmferError
from mmfer.files import as_utf8
from mmfer.use.photos import Picture

# ISO base media files: boxes, of which each states its size.
BOXED = {".mp4", ".m4v", ".mov", ".qt", ".f4v", ".3gp", ".3gpp", ".3g2"}
VIDEOS = BOXED | {".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".asf", ".flv", ".ts", ".mts", ".m2ts", ".ogv"}
VIDEOS |= {".vob", ".m2v", ".mpe", ".m2t", ".ogm", ".mxf", ".divx", ".mjpeg", ".mjpg"}
ASF = {".wmv", ".asf"}  # whose header states the size of the file, in the object of this name
ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
RETRIES = 1000  # frames in a row that cannot be read, until the rest of a video is given up
RATE = 25.0  # frames a second where a video states none
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read at its first use; its messages would stand between ours


def read_video(file: str, name: str, every: int = 1) -> Iterator[Picture]:
    """Every `every`th frame of a video file; `name` is their source.

    Of a file that is cut off or damaged all frames that can be read are given, and then MmferError is raised.
    """
    with _plain(file) as path, released(open_capture(path)) as capture:
        yield from read_frames(capture, name, every, file)


def read_frames(capture: cv2.VideoCapture, name: str, every: int, file: str | None = None) -> Iterator[Picture]:
    """Every `every`th frame of a video that has an end, then MmferError where some cannot be read."""
    stated, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), rate_of(capture)
    length = int(max(min(stated, 2**31), 0))
    number = lost = missed = steady = 0  # frames so far, those of them unread, unread ones since, in even time
    clock, seconds = 0.0, -1 / rate
    while missed <= max(min(stated - number, RETRIES), 0):
        wanted = (number + missed) % every == 0
        read, pixels = _next_frame(capture, wanted)
        if not read:
            missed += 1
            continue
        clock, before = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, clock
        steady += abs((clock - before) * rate - 1) < 0.1
        seconds = clock if clock > seconds else seconds + (missed + 1) / rate
        number, lost, missed = number + missed, lost + missed, 0
        if pixels is not None:
            yield Picture(name, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), number, round(seconds, 3), rate, length)
        number += 1
    if not number and file and os.path.getsize(file) == 0:
        raise MmferError(f"{name}: empty; copy or download it again")
    if not number:
        raise MmferError(f"{name}: no frame can be read; convert or copy it again")
    if lost or _lacks_frames(file, stated, number, steady):
        of = f" of {length:,}" if stated > number - lost else ""
        raise MmferError(f"{name}: cut off or damaged, {number - lost:,}{of} frames can be read; copy it again")


def open_capture(source: str | int, *options: int | list[int]) -> cv2.VideoCapture:
    """OpenCV's reader of a file, an address or the camera of this number, without its messages on stderr."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2.VideoCapture(source, *options)


@contextmanager
def released(capture: cv2.VideoCapture) -> Iterator[cv2.VideoCapture]:
    """The reader, closed at the end."""
    try:
        yield capture
    finally:
        capture.release()


def rate_of(capture: cv2.VideoCapture) -> float:
    """Frames a second, as stated."""
    return max(capture.get(cv2.CAP_PROP_FPS), 0.0) or RATE


def _next_frame(capture: cv2.VideoCapture, wanted: bool) -> tuple[bool, np.ndarray | None]:
    """Whether the next frame can be read, and its pixels (H, W, 3) uint8 in BGR if they are wanted."""
    if not capture.grab():
        return False, None
    return capture.retrieve() if wanted else (True, None)


def _lacks_frames(file: str | None, stated: float, number: int, steady: int) -> bool:
    """Whether a video has fewer frames than it states, of which `steady` came in even time.

    Boxed files are measured by their boxes: a clip that was trimmed without being encoded anew has frames that no
    player shows. ASF files are by their header, for OpenCV knows no number where they are cut. Of others the number
    counts, which is made of the length and says nothing where the time is uneven.
    """
    if file and Path(file).suffix.lower() in BOXED:
        return _lacks_bytes(file)
    if file and Path(file).suffix.lower() in ASF and os.path.getsize(file) < _asf_size(file):
        return True
    return number < stated - max(1, stated / 50) and steady > 0.9 * (number - 1)


def _lacks_bytes(file: str) -> bool:
    """Whether the boxes of an ISO base media file (ISO/IEC 14496-12) state more bytes than it has."""
    place, end = 0, os.path.getsize(file)
    with open(file, "rb") as content:
        while place + 16 <= end:
            content.seek(place)
            size, _, large = struct.unpack(">I4sQ", content.read(16))
            length = large if size == 1 else size
            if length < 8:  # 0: to the end of the file
                return False
            place += length
    return place > end


def _asf_size(file: str) -> int:
    """The bytes that the header of an ASF file (Microsoft, 2004, 3.2) states; 0 where it states none."""
    with open(file, "rb") as content:
        head = content.read(2**16)
    at = head.find(ASF_PROPERTIES)
    if at < 0 or len(head) < at + 92 or head[at + 88] & 1:  # the last: written as it was sent, its size unknown
        return 0
    return int.from_bytes(head[at + 40 : at + 48], "little")


@contextmanager
def _plain(file: str) -> Iterator[str]:
    """A video file, or a link to it where its name is not UTF-8: OpenCV does not survive such a name."""
    if as_utf8(file) == file:
        yield file
        return
    with tempfile.TemporaryDirectory() as folder:
        link = os.path.join(folder, "video" + Path(file).suffix)
        os.symlink(os.path.abspath(file), link)
        yield link
