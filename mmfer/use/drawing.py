"""Faces marked in a picture: boxes, landmarks, a bar for each class, the number of a track, whether a face is weak."""

import cv2
import numpy as np

from mmfer.use.predictor import Face

LINE, BACK, TEXT = (80, 220, 100), (30, 30, 30), (255, 255, 255)  # RGB
BAR, WINNER = (90, 90, 90), (20, 120, 50)  # of bars, under white text
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
        label = ("" if face.track is None else f"{face.track} ") + ("weak" if face.weak else "")
        for colour, width in ((BACK, 3), (TEXT, 1)):  # with a dark edge, for a face may be as light as the text
            _write(drawn, label.strip(), (x0 + 2 * thick, y1 - 3 * thick), max(12, (x1 - x0) // 6), colour, width)
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
        _write(drawn, f"{name} {value:.0%}", (round(left) + 4, round(base) - row // 3), row)


def _write(
    drawn: np.ndarray,
    text: str,
    place: tuple[int, int],
    row: int,
    colour: tuple[int, int, int] = TEXT,
    width: int = 1,
) -> None:
    """Text in a row of this height, in strokes of this width; `place` is its lower left corner."""
    cv2.putText(drawn, text, place, cv2.FONT_HERSHEY_SIMPLEX, row / 34, colour, width, cv2.LINE_AA)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes x0 y0 x1 y1."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
