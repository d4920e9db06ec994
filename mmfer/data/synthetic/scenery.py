"""What a picture shows beside the face: lamp, pose, background, things before the face, camera faults, non-faces.

Everything is drawn on a view, a canvas in the face's units (see expressions). Greys run from 0 to 1.
"""

# ruff: noqa: RUF005 -- points are arrays: `+ (x, y)` moves them

import cv2
import numpy as np

from mmfer.data.synthetic.canvas import Canvas, Stroke, paint, spline
from mmfer.data.synthetic.rendering import Light, Pose, shade

OCCLUDERS = ("hand", "scarf", "bar", "mask")


def sample_pose(rng: np.random.Generator) -> Pose:
    """Nearly frontal heads: standard deviations of 6, 8 and 5 degrees, at most 14, 20 and 11."""

    def angle(spread: float, most: float) -> float:
        return float(np.clip(rng.normal(0, spread), -most, most))

    return Pose(roll=angle(0.10, 0.25), yaw=angle(0.14, 0.35), pitch=angle(0.09, 0.2))


def sample_light(rng: np.random.Generator) -> Light:
    """A lamp in front, mostly above; the dimmer the light from everywhere, the harder the shadows."""
    azimuth, elevation = np.clip(rng.normal(0, 0.6), -1.2, 1.2), np.clip(rng.normal(0.35, 0.3), -0.3, 0.9)
    ambient = rng.uniform(0.28, 0.55)
    return Light(
        x=float(np.sin(azimuth) * np.cos(elevation)),
        y=float(-np.sin(elevation)),
        z=float(np.cos(azimuth) * np.cos(elevation)),
        ambient=ambient,
        diffuse=rng.uniform(0.95, 1.15) * (1.15 - ambient),
    )


def sample_view(rng: np.random.Generator, side: int, chin_drop: float) -> Canvas:
    """The crop around the face, as face detectors make it: it follows a chin that is lower than the average one."""
    extent = rng.uniform(2.65, 3.15) + 0.55 * max(chin_drop, 0)
    x, y = np.clip(rng.normal(0, 0.06, 2), -0.12, 0.12) + (0, 0.52 + 0.45 * chin_drop)
    return Canvas(side, left=x - extent / 2, top=y - extent / 2, extent=extent)


def background(rng: np.random.Generator, side: int) -> np.ndarray:
    """A wall: plain, with a gradient, with blurred shapes, or with boxes; float32 (side, side)."""
    kind = rng.integers(4)
    wall: np.ndarray = np.full((side, side), rng.uniform(0.05, 0.95), np.float32)
    ramp = np.linspace(-0.5, 0.5, side, dtype=np.float32)
    if kind >= 1:
        angle, contrast = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.6)
        wall += contrast * (float(np.cos(angle)) * ramp[None, :] + float(np.sin(angle)) * ramp[:, None])
    if kind >= 2:
        wall += 0.12 * Canvas(side).noise(rng, *rng.integers(3, 9, 2))
    if kind == 3:
        for _ in range(rng.integers(1, 5)):
            corners = rng.integers(0, side, (2, 2)).tolist()
            cv2.rectangle(wall, corners[0], corners[1], rng.uniform(0, 1), -1)
        wall = cv2.GaussianBlur(wall, (0, 0), rng.uniform(0.5, 3) * side / 96)
    return wall


def degrade(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Camera faults on a picture of 48 pixels: one in four is out of focus; gamma, exposure and noise vary."""
    if rng.random() < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.9))
    image = np.clip(image, 0, None) ** rng.uniform(0.8, 1.25) * rng.uniform(0.85, 1.15)
    return image + rng.normal(0, rng.uniform(0.005, 0.018), image.shape)


# --- before the face --------------------------------------------------------------------------------------------------


def occlude(
    image: np.ndarray, view: Canvas, points: np.ndarray, kind: str, light: Light, rng: np.random.Generator
) -> np.ndarray:
    """Put a thing of this kind (see OCCLUDERS) before the face with landmarks (68, 2), lit by the face's own lamp."""
    draw = {"hand": _hand, "scarf": _scarf, "bar": _bar, "mask": _mask}[kind]
    albedo, height, cover = draw(view, points, rng)
    lit = shade(view, height.astype(np.float32), albedo.astype(np.float32), light)
    shadow = view.blur(cover.astype(np.float32), 0.10) * (1 - cover)
    return paint(image * (1 - 0.4 * shadow), cover, lit)


def _frame(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors along the line of the eyes and down the face."""
    right = points[45] - points[36]
    right = right / np.linalg.norm(right)
    return right, np.array([-right[1], right[0]])


def _place(points: np.ndarray, place: str, side: int) -> np.ndarray:
    """What a hand or a bar hides: mouth, eyes, or the cheek on a side (-1 left, 1 right)."""
    if place == "mouth":
        return points[48:68].mean(axis=0)
    if place == "eyes":
        return points[36:48].mean(axis=0)
    return points[3 if side < 0 else 13] * 0.75 + points[30] * 0.25


def _hand(view: Canvas, points: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The back of a hand: a flat palm, four fingers that touch each other, and a thumb aside."""
    right, down = _frame(points)
    place, side = rng.choice(["mouth", "eyes", "side"]), int(rng.choice([-1, 1]))
    # Fingers come from the side and point inwards; over a cheek they point up.
    angle = rng.uniform(1.2, 1.5) if place == "side" else rng.uniform(0.15, 0.6)
    along = -side * np.cos(angle) * right - np.sin(angle) * down
    across = np.array([-along[1], along[0]]) * side  # towards the thumb, which is the upper or the inner side
    knuckles = _place(points, str(place), side) - along * rng.uniform(0.25, 0.5)
    wrist = knuckles - along * 0.95
    rods, creases = [], []
    for offset, length in ((-0.33, 0.76), (-0.11, 0.96), (0.11, 1.04), (0.33, 0.92)):  # little to index finger
        root = knuckles + across * offset
        tip = root + (along + across * 0.2 * offset) * length
        rods.append((root - along * 0.1, tip, 0.115))
        for at in (0.45, 0.75):
            joint = root + (tip - root) * at
            creases.append(Stroke(0.3, [joint - across * 0.07, joint, joint + across * 0.07], 0.03))
    ball = wrist + across * 0.38 + along * 0.25
    rods += [(ball, ball + along * 0.45 + across * 0.22, 0.15), (ball - along * 0.3, ball, 0.17)]
    corners = [
        knuckles + across * 0.43,
        knuckles - across * 0.43,
        wrist - across * 0.36,
        wrist - along * 3 - across * 0.33,
    ]
    palm = view.fill([*corners, wrist - along * 3 + across * 0.33, wrist + across * 0.4], 0.02)
    height, cover = _capsules(view, rods)
    height = np.maximum(height, 0.16 * np.sqrt(view.blur(palm, 0.10)) * (palm > 0))
    albedo = rng.uniform(0.42, 0.82) * (1 + 0.03 * view.noise(rng, 9, 9))
    albedo = paint(albedo, view.draw(creases, 0.012), 0.75 * albedo)
    return albedo, view.blur(height, 0.02), np.maximum(cover, palm)


def _capsules(view: Canvas, bones: list[tuple[np.ndarray, np.ndarray, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Height and coverage of round rods, each from a start to an end with a radius."""
    height, cover = (np.zeros((view.side, view.side), np.float32) for _ in range(2))
    for start, end, radius in bones:
        axis = end - start
        x, y = view.x - start[0], view.y - start[1]
        at = np.clip((x * axis[0] + y * axis[1]) / (axis @ axis), 0, 1)
        distance = np.hypot(x - at * axis[0], y - at * axis[1]) / radius
        height = np.maximum(height, radius * np.sqrt(np.clip(1 - distance**2, 0, 1)))
        cover = np.maximum(cover, np.clip((1 - distance) * radius * view.scale + 0.5, 0, 1))
    return height.astype(np.float32), cover.astype(np.float32)


def _scarf(view: Canvas, points: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cloth wound around mouth and chin, with folds that hang between the cheeks."""
    right, down = _frame(points)
    upper_lip, nose = points[51], points[33]
    x, y = view.x - upper_lip[0], view.y - upper_lip[1]
    aside, below = x * right[0] + y * right[1], x * down[0] + y * down[1]
    sag, tilt, edge = rng.uniform(0.05, 0.25), rng.uniform(-0.15, 0.15), rng.uniform(0.2, 0.9)
    above = np.linalg.norm(upper_lip - nose) * edge  # the upper edge lies between lip and nose
    depth = below + above + sag * aside**2 + tilt * aside  # below the upper edge
    cover = np.clip(depth * view.scale + 0.5, 0, 1).astype(np.float32)
    folds = np.sin(2 * np.pi * depth / rng.uniform(0.28, 0.42) + 0.8 * view.noise(rng, 3, 3))
    roll = np.sqrt(np.clip(depth / 0.15, 0, 1))
    height = 0.3 * roll + 0.035 * folds - 0.25 * aside**2
    stripes = np.sin(2 * np.pi * aside / 0.18) * rng.choice([0.0, 0.12])
    albedo = rng.uniform(0.08, 0.75) * (1 + stripes + 0.06 * view.noise(rng, 40, 40))
    return np.broadcast_to(albedo, cover.shape), height, cover


def _bar(view: Canvas, points: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A flat bar across eyes or mouth, as newspapers print it, or a round pole before one side."""
    right, down = _frame(points)
    place, side = rng.choice(["mouth", "eyes", "side"]), int(rng.choice([-1, 1]))
    centre = _place(points, str(place), side)
    if place == "side":
        direction = down + right * rng.uniform(-0.1, 0.1)
        height, cover = _capsules(view, [(centre - 5 * direction, centre + 5 * direction, rng.uniform(0.25, 0.4))])
        return np.full_like(cover, rng.uniform(0.1, 0.8)), height, cover
    half = right * rng.uniform(0.85, 1.3)
    thick = down * rng.uniform(0.22, 0.34)
    cover = view.fill(
        [centre - half - thick, centre + half - thick, centre + half + thick, centre - half + thick], 0.008
    )
    return np.full_like(cover, rng.choice([0.03, 0.95])), np.zeros_like(cover), cover


def _mask(view: Canvas, points: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A surgical mask: a pleated sheet from the bridge of the nose to below the chin, with loops to the ears."""
    _, down = _frame(points)
    jaw, bridge = points[:17], points[28] * 0.6 + points[29] * 0.4
    left, right = (jaw[2] * 0.92 + points[30] * 0.08, jaw[14] * 0.92 + points[30] * 0.08)
    rise = down * 0.22
    lower = [jaw[12], jaw[10], jaw[8], jaw[6], jaw[4]]
    outline = [left - rise, (left + bridge) / 2 - rise * 0.6, bridge, (right + bridge) / 2 - rise * 0.6, right - rise]
    sheet = view.fill(spline([*outline, *(point + down * 0.05 for point in lower)], 4, closed=True), 0.012)
    middle = (points[33] + points[51]) / 2
    pleats = []
    for shift in (-0.05, 0.16, 0.37):
        ends = [edge * 0.85 + middle * 0.15 + down * (shift + 0.05) for edge in (left, right)]
        pleats.append(Stroke(1, [ends[0], middle + down * (shift + 0.12), ends[1]], 0.05, (1, 1)))
    loops = [Stroke(1, [left - rise, jaw[1] - down * 0.2, jaw[0]], 0.05, (1, 1))]
    loops.append(Stroke(1, [right - rise, jaw[15] - down * 0.2, jaw[16]], 0.05, (1, 1)))
    tent = view.spot(middle[0], middle[1] - 0.1, 0.28, 0.35)
    height = 0.5 * view.blur(sheet, 0.25) + 0.2 * tent - 0.035 * view.draw(pleats, 0.015)
    albedo = np.full_like(sheet, rng.choice([0.2, 0.7, 0.85]) * rng.uniform(0.9, 1.1))
    return albedo, height, np.maximum(sheet, 0.9 * view.draw(loops, 0.008))


# --- no face ----------------------------------------------------------------------------------------------------------


def render_non_face(rng: np.random.Generator, size: int) -> np.ndarray:
    """What slips into collections of faces: a blank, pixel noise, text, blobs, or texture; uint8 (size, size)."""
    kind = rng.integers(5)
    if kind == 0:
        return np.full((size, size), rng.integers(256), np.uint8)
    if kind == 1:
        return rng.integers(0, 256, (size, size), dtype=np.uint8)
    side = 2 * size
    draw = {2: _text, 3: _blobs, 4: _texture}[int(kind)]
    image = draw(background(rng, side), rng)
    return to_bytes(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA))


def _text(wall: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    letters, grid = np.zeros(wall.shape, np.uint8), len(wall) / 96
    for line in range(rng.integers(2, 5)):
        word = "".join(chr(code) for code in rng.integers(ord("A"), ord("Z") + 1, rng.integers(3, 9)))
        corner = (int(rng.integers(-5, 20) * grid), int((20 + 22 * line) * grid))
        font_scale, thickness = rng.uniform(0.5, 1.0) * grid, int(rng.integers(1, 3))
        cv2.putText(letters, word, corner, cv2.FONT_HERSHEY_SIMPLEX, font_scale, 255, thickness, cv2.LINE_AA)
    return paint(wall, letters.astype(np.float32) / 255, rng.random())


def _blobs(wall: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    side = len(wall)
    for _ in range(rng.integers(4, 12)):
        centre, axes = rng.integers(0, side, 2).tolist(), rng.integers(side // 32, side // 3, 2).tolist()
        cv2.ellipse(wall, centre, axes, rng.uniform(0, 180), 0, 360, rng.random(), -1, cv2.LINE_AA)
    return wall


def _texture(wall: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return 0.5 + 0.25 * Canvas(len(wall)).noise(rng, 12, 12)


def to_bytes(image: np.ndarray) -> np.ndarray:
    """Greys from 0 to 1 -> uint8; what is brighter or darker is cut."""
    return np.clip(image * 255, 0, 255).astype(np.uint8)
