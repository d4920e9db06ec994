"""Annotated copies in a folder: <name>.faces.jpg of a photo, <name>.faces.mp4 of a video or camera, with its sound.

Long names are cut. A copy of a video has even time: a frame is repeated for as long as it was shown, so that sound and
picture fit.
"""

import re
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmfer.errors import MmferError
from mmfer.files import as_utf8, new_file
from mmfer.use.drawing import draw_faces
from mmfer.use.photos import Picture
from mmfer.use.predictor import Face
from mmfer.use.sound import add_sound
from mmfer.use.videos import open_capture, released

FASTEST = 60.0  # frames a second of a copy, at most
JPEG_PX = 65_500  # libjpeg's limit
LONGEST = 600.0  # seconds for which a frame is repeated, at most
NAME = 160  # bytes of a name: file systems allow 255, with what new_file and this put before and after it


@dataclass
class _Video:
    """A copy that is being written, and the frame that will be written once it is known how long it is shown."""

    path: Path
    writer: Any
    rate: float
    frame: Picture
    drawn: np.ndarray
    written: int = 0  # frames

    def write_until(self, seconds: float) -> None:
        due = round(seconds * self.rate)
        for _ in range(min(due - self.written, round(LONGEST * self.rate))):
            self.writer.write(self.drawn)
        self.written = max(self.written, due)


class Copies:
    """Writes annotated copies; `notes` say what they lack."""

    def __init__(self, folder: Path, every: int = 1) -> None:
        self.folder, self.every = folder, every
        self.written: set[Path] = set()
        self.notes: list[str] = []
        self._file = ExitStack()
        self._video: _Video | None = None

    def __enter__(self) -> "Copies":
        if as_utf8(str(self.folder)) != str(self.folder):
            raise MmferError(f"{self.folder}: a name that is not UTF-8, which OpenCV cannot use; name another folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what fails is told in a line of ours
        return self

    def __exit__(self, *error: object) -> None:
        self._end_video()

    def add(self, picture: Picture, faces: list[Face]) -> None:
        """Write a photo, or the next frame of a video."""
        if picture.frame is None:
            drawn = draw_faces(picture.pixels, [face.scaled(1 / picture.factor) for face in faces])
            made, copy = cv2.imencode(".jpg", drawn[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
            if not made:
                self.notes.append(f"{picture.source}: no copy, for a JPEG has at most {JPEG_PX:,} pixels a side")
                return
            with new_file(self._target(picture.source, ".jpg")) as path:
                path.write_bytes(copy)  # by Python, which names a full disk
            return
        drawn = draw_faces(picture.pixels, faces)[..., ::-1]
        if self._video and picture.follows(self._video.frame):
            self._video.write_until(picture.seconds or 0.0)
            self._video.frame, self._video.drawn = picture, drawn
            return
        self._end_video()
        self._video = self._start_video(picture, drawn)

    def _target(self, source: str, suffix: str) -> Path:
        """A name that nothing else of this run has, in UTF-8: OpenCV writes to no other."""
        address = re.sub(r"\W+", "-", source.partition("://")[2]).strip("-")
        stem = {"-": "stdin"}.get(source, address or as_utf8(Path(source).stem.replace(" ", "-")))
        stem = stem.encode()[:NAME].decode(errors="ignore")
        names = (f"{stem}{number}.faces{suffix}" for number in ["", *(f"-{n}" for n in range(2, 10**6))])
        target = next(path for path in (self.folder / name for name in names) if path not in self.written)
        self.written.add(target)
        return target

    def _start_video(self, frame: Picture, drawn: np.ndarray) -> _Video:
        target = self._target(frame.source, ".mp4")
        path = self._file.enter_context(new_file(target))
        rate, (height, width) = min(frame.rate / self.every, FASTEST), drawn.shape[:2]
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), rate, (width, height))
        if not writer.isOpened():
            raise MmferError(f"{target}: this OpenCV writes no mp4; install another one, or leave out --draw")
        return _Video(path, writer, rate, frame, drawn)

    def _end_video(self) -> None:
        video, self._video = self._video, None
        if video is None:
            return
        with self._file.pop_all():
            video.write_until((video.written + 1) / video.rate)
            video.writer.release()
            with released(open_capture(str(video.path))) as copy:
                if not copy.isOpened():  # OpenCV tells nobody of a full disk; the index of the file comes last
                    source = video.frame.source
                    raise MmferError(f"{self.folder}: the copy of {source} is not whole; free space, then try again")
            original = Path(video.frame.source)
            note = add_sound(video.path, original, video.written / video.rate) if original.is_file() else None
        self.notes += [note] if note and note not in self.notes else []
