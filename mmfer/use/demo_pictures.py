"""Pictures of the page of `mmfer demo`: photos changed and marked, and what a network sees of a face, drawn."""

import cv2
import numpy as np

from mmfer.config import FACE_PX, ExtractParams
from mmfer.data.synthetic.faces import render_face
from mmfer.face.photos import LARGE
from mmfer.face.points import EYES, MOUTH, OUTLINES
from mmfer.report.figures import cell_orientations, stroke_segments
from mmfer.testing.perturb import hide, lighten
from mmfer.use.drawing import LINE, SAME_FACE, overlap
from mmfer.use.predictor import STRIDE, Face

ZOOM = 10  # pictures of the aligned face are so many times as large
ORANGE, BLUE = (213, 94, 0), (0, 114, 178)  # RGB; distinguishable with any kind of colour vision


def fit(pixels: np.ndarray) -> np.ndarray:
    """A photo (H, W, 3) uint8 with its longest side at most that at which faces are looked for."""
    factor = LARGE / max(pixels.shape)
    height, width = (max(round(side * factor), 1) for side in pixels.shape[:2])
    return pixels if factor >= 1 else cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


def example_photo() -> np.ndarray:
    """Three rendered people side by side, so that no photo of anybody is needed: (H, W, 3) uint8."""
    faces = [render_face(name, seed, 240, frontal=True)[0] for seed, name in enumerate(("happy", "surprise", "angry"))]
    return np.repeat(np.hstack(faces)[..., None], 3, axis=2)


def change_photo(
    pixels: np.ndarray, faces: list[Face], light: float, contrast: float, mouth: bool, eyes: bool
) -> np.ndarray:
    """A photo (H, W, 3) uint8 with its faces' mouths and eyes hidden, then other contrast and light: a copy.

    `light` is added as a share of the grey range, `contrast` multiplies the distance from mid-grey.
    """
    changed = pixels.copy()
    for face in faces:
        for part, hidden in ((MOUTH, mouth), (EYES, eyes)):
            if hidden:
                hide_part(changed, face, part)
    if contrast != 1:
        changed = np.clip((changed - 127.5) * contrast + 127.5, 0, 255).astype(np.uint8)
    return lighten(changed, light) if light else changed


def hide_part(pixels: np.ndarray, face: Face, part: slice) -> None:
    """Paint the box around some landmarks of a face in the face's mean grey, as the robustness test does at 48 px."""
    x0, y0, x1, y1 = (max(round(edge), 0) for edge in face.box)
    points = np.array(face.landmarks[part])
    margin = max(2 * face.pixels / FACE_PX - 2, 0)  # `hide` adds 2 px, meant for faces of 48
    box = np.array([points.min(axis=0) - margin, points.max(axis=0) + margin])
    left, top = np.minimum([x0, y0], np.floor(box[0] - 2).astype(int)).clip(0)
    right, bottom = np.maximum([x1, y1], np.ceil(box[1] + 3).astype(int))
    view = pixels[top:bottom, left:right]
    if view.size:
        view[:] = hide(view, box - [left, top])


def same_face(face: Face, others: list[Face]) -> Face | None:
    """The one of the faces that lies where `face` lies, if any."""
    best = max(others, key=lambda other: overlap(face.box, other.box), default=None)
    return best if best and overlap(face.box, best.box) >= SAME_FACE else None


def mark_faces(pixels: np.ndarray, faces: list[Face], chosen: Face | None) -> np.ndarray:
    """A copy of a photo (H, W, 3) uint8 with a box around each face, thicker around the chosen one, and labels."""
    drawn = np.ascontiguousarray(pixels).copy()
    thick = max(1, round(max(pixels.shape) / 400))
    for number, face in enumerate(faces, start=1):
        x0, y0, x1, y1 = (round(edge) for edge in face.box)
        cv2.rectangle(drawn, (x0, y0), (x1, y1), LINE, thick * (2 if face is chosen else 1), cv2.LINE_AA)
        label = (f"{number} " if len(faces) > 1 else "") + face.expression
        font, scale = cv2.FONT_HERSHEY_SIMPLEX, max(pixels.shape) / 900
        width = cv2.getTextSize(label, font, scale, thick)[0][0]
        (_, height), below = cv2.getTextSize("Ag", font, scale, thick)  # the same for every label
        left = max(min(x0, drawn.shape[1] - width - 2 * below), 0)
        base = y0 - below if y0 > height + 2 * below else min(y1, drawn.shape[0]) - below
        cv2.rectangle(drawn, (left, base - height - below), (left + width + 2 * below, base + below), LINE, -1)
        cv2.putText(drawn, label, (left + below, base), font, scale, (0, 0, 0), thick, cv2.LINE_AA)
    return drawn


def enlarge(image: np.ndarray) -> np.ndarray:
    """An aligned face (48, 48) uint8 -> (480, 480, 3) uint8."""
    large = cv2.resize(image, None, fx=ZOOM, fy=ZOOM, interpolation=cv2.INTER_CUBIC)
    return cv2.cvtColor(large, cv2.COLOR_GRAY2RGB)


def draw_landmarks(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """An aligned face (48, 48) uint8 and its landmarks (68, 2) in its pixels -> picture (480, 480, 3) uint8."""
    drawn = enlarge(image)
    places = np.round((landmarks + 0.5) * ZOOM).astype(int)
    for first, last, closed in OUTLINES:
        cv2.polylines(drawn, [places[first : last + 1]], closed, LINE, 2, cv2.LINE_AA)
    for x, y in places.tolist():
        cv2.circle(drawn, (x, y), 4, LINE, -1, cv2.LINE_AA)
    return drawn


def draw_hog(described: np.ndarray, params: ExtractParams) -> np.ndarray:
    """HOG (hog_length,) -> picture (480, 480) uint8: in each cell a stroke along the edges, by their strength."""
    cells = FACE_PX // params.cell_px
    strength = cell_orientations(described, params.orientations, cells, params.block_cells)
    ends = np.round((stroke_segments(strength, FACE_PX) + 0.5) * ZOOM).astype(int)
    shades = 255 * strength.ravel() / max(strength.max(), 1e-12)
    drawn = np.zeros((FACE_PX * ZOOM, FACE_PX * ZOOM), np.uint8)
    for place in np.argsort(shades):  # strong strokes over weak ones
        cv2.line(drawn, *ends[place].tolist(), float(shades[place]), 3, cv2.LINE_AA)
    return drawn


def draw_saliency(image: np.ndarray, saliency: np.ndarray) -> np.ndarray:
    """An aligned face (48, 48) uint8 and the map of `explain` (48, 48) -> picture (480, 480, 3) uint8.

    Orange where hiding takes from the verdict, blue where it adds.
    """
    coarse = cv2.resize(saliency, None, fx=1 / STRIDE, fy=1 / STRIDE, interpolation=cv2.INTER_AREA)  # its own grid
    share = cv2.resize(coarse / max(np.abs(coarse).max(), 1e-6), None, fx=ZOOM * STRIDE, fy=ZOOM * STRIDE)[..., None]
    colour, plain = np.where(share > 0, np.array(ORANGE, np.float32), np.array(BLUE, np.float32)), enlarge(image)
    return (plain + 0.75 * np.abs(share) * (colour - plain)).astype(np.uint8)
