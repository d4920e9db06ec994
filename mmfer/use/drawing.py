"""Annotated copies: boxes, landmarks, expression and a bar for each class; videos with labels smoothed over time."""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmfer.errors import MmferError
from mmfer.files import as_utf8, new_file
from mmfer.use.photos import Picture
from mmfer.use.predictor import Face

LINE, BACK, TEXT = (80, 220, 100), (30, 30, 30), (255, 255, 255)  # RGB
BAR, WINNER = (90, 90, 90), (20, 120, 50)  # of bars, under white text
MEMORY = 0.8  # share of the last frame's probabilities that stays
SAME_FACE = 0.3  # overlap (intersection over union) from which two boxes are one face
Box = tuple[float, float, float, float]  # x0 y0 x1 y1


def draw_faces(pixels: np.ndarray, faces: list[Face]) -> np.ndarray:
    """A copy of a picture (H, W, 3) uint8 with its faces marked."""
    drawn = np.ascontiguousarray(pixels).copy()
    taken: list[Box] = [face.box for face in faces]
    for face in faces:
        x0, y0, x1, y1 = (round(edge) for edge in face.box)
        thick = max(2, (x1 - x0) // 100)
        cv2.rectangle(drawn, (x0, y0), (x1, y1), LINE, thick, cv2.LINE_AA)
        for x, y in face.landmarks:
            cv2.circle(drawn, (round(x), round(y)), thick - 1, LINE, -1, cv2.LINE_AA)
        row = max(12, (x1 - x0) // (2 * len(face.probabilities)))  # the bars take half of the box's height
        panel = place_panel(face.box, (9 * row, row * len(face.probabilities)), drawn.shape, taken)
        taken.append(panel)
        _draw_bars(drawn, face, panel, row)
    return drawn


def place_panel(box: Box, size: tuple[int, int], shape: tuple[int, ...], taken: list[Box]) -> Box:
    """Where a panel of this size (width, height) beside `box` covers least of what is taken: right, left, below, above.

    It is moved into the picture of this shape (height, width) first.
    """
    width, height = size
    corners = [(box[2] + 4, box[1]), (box[0] - 4 - width, box[1]), (box[0], box[3] + 4), (box[0], box[1] - 4 - height)]
    inside = [(max(min(x, shape[1] - width), 0), max(min(y, shape[0] - height), 0)) for x, y in corners]
    panels = [(round(x), round(y), round(x) + width, round(y) + height) for x, y in inside]
    return min(panels, key=lambda panel: sum(overlap(panel, other) for other in taken))


def _draw_bars(drawn: np.ndarray, face: Face, panel: Box, row: int) -> None:
    left, top, right, bottom = panel
    area = drawn[top:bottom, left:right]
    area[:] = (0.35 * area + 0.65 * np.array(BACK)).astype(np.uint8)
    for place, (name, value) in enumerate(face.probabilities.items()):
        base = top + row * (place + 1)
        end, bar = left + round((right - left) * value), WINNER if name == face.expression else BAR
        cv2.rectangle(drawn, (left, base - row + 1), (end, base - 2), bar, -1)
        line = (left + 4, base - row // 3)
        cv2.putText(drawn, f"{name} {value:.0%}", line, cv2.FONT_HERSHEY_SIMPLEX, row / 34, TEXT, 1, cv2.LINE_AA)


@dataclass
class Smoother:
    """Probabilities of the faces of a video, averaged over its frames with exponentially falling weights."""

    last: tuple[Face, ...] = ()

    def smooth(self, faces: list[Face]) -> list[Face]:
        """The faces of the next frame, each mixed with the face of the last frame that lay where it lies."""
        mixed = [self._mix(face) for face in faces]
        self.last = tuple(mixed)
        return mixed

    def _mix(self, face: Face) -> Face:
        before = max(self.last, key=lambda other: overlap(face.box, other.box), default=None)
        if before is None or overlap(face.box, before.box) < SAME_FACE:
            return face
        now = {
            name: MEMORY * before.probabilities[name] + (1 - MEMORY) * value
            for name, value in face.probabilities.items()
        }
        return replace(face, expression=max(now, key=now.__getitem__), probabilities=now, candidates=())


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes x0 y0 x1 y1."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


class Drawer:
    """Writes annotated copies into a folder: <name>.faces.jpg for a photo, <name>.faces.mp4 for a video or camera."""

    def __init__(self, folder: Path, every: int = 1) -> None:
        self.folder, self.every = folder, every
        self.written: set[Path] = set()
        self._file = ExitStack()
        self._source: str | None = None
        self._video: Any = None
        self._smoother = Smoother()

    def __enter__(self) -> "Drawer":
        if as_utf8(str(self.folder)) != str(self.folder):
            raise MmferError(f"{self.folder}: a name that is not UTF-8, which OpenCV cannot use; name another folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *error: object) -> None:
        self._end_video()

    def add(self, picture: Picture, faces: list[Face]) -> None:
        """Write a photo, or the next frame of a video."""
        if picture.frame is None:
            drawn = draw_faces(picture.pixels, [face.scaled(1 / picture.factor) for face in faces])
            with new_file(self._target(picture.source, ".jpg")) as path:
                cv2.imwrite(str(path), drawn[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
            return
        if picture.source != self._source or picture.frame == 0:
            self._end_video()
            self._start_video(picture)
        self._video.write(draw_faces(picture.pixels, self._smoother.smooth(faces))[..., ::-1])

    def _target(self, source: str, suffix: str) -> Path:
        """A name that nothing else of this run has, in UTF-8: OpenCV writes to no other."""
        stem = {"-": "stdin"}.get(source, as_utf8(Path(source).stem.replace(" ", "-")))
        names = (f"{stem}{number}.faces{suffix}" for number in ["", *(f"-{n}" for n in range(2, 10**6))])
        target = next(path for path in (self.folder / name for name in names) if path not in self.written)
        self.written.add(target)
        return target

    def _start_video(self, picture: Picture) -> None:
        height, width = picture.pixels.shape[:2]
        target = self._target(picture.source, ".mp4")
        path = self._file.enter_context(new_file(target))
        code = cv2.VideoWriter_fourcc(*"mp4v")
        self._video = cv2.VideoWriter(str(path), code, picture.rate / self.every, (width, height))
        if not self._video.isOpened():
            raise MmferError(f"{target}: this OpenCV writes no mp4; install another one, or leave out --draw")
        self._source, self._smoother = picture.source, Smoother()

    def _end_video(self) -> None:
        if self._video is not None:
            self._video.release()
            self._file.close()
        self._source = self._video = None
