"""Painting a head, seen from the front: landmarks, action units and a person's looks -> grey values and depth.

A height field gets the head, the features and the folds that the action units carve; an albedo map gets the pigments;
Lambert's law and darkened cavities shade the one with the other. Hair, ears and neck are flat layers. A warp with
parallax then turns the head. Units, landmarks and `units` as in expressions; z points at the viewer; greys run from 0
to 1; maps are float32 (side, side).
"""

# ruff: noqa: RUF005 -- points are arrays: `+ (x, y)` moves them

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from mmfer.data.synthetic.canvas import Canvas, Stroke, paint, spline, step
from mmfer.data.synthetic.people import Person

HALVES = ((0, -1), (1, 1))  # column of the action units, and the sign of x on that half
SKULL = 1.62  # height of the skull above the ears
PIVOT_Y, PIVOT_Z = 0.5, 0.55  # the point about which the head turns


@dataclass(frozen=True)
class Light:
    """A distant lamp: unit vector towards it, its strength, and the strength of the light from everywhere."""

    x: float
    y: float
    z: float
    ambient: float
    diffuse: float


@dataclass(frozen=True)
class Pose:
    """Angles of the head in radians: roll turns in the image plane, yaw to the side, pitch up or down."""

    roll: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0


@dataclass(frozen=True, eq=False)
class Face:
    """What the parts of a face are painted from: landmarks (68, 2), activations (27, 2), shift of the irises (2,)."""

    canvas: Canvas
    person: Person
    points: np.ndarray
    units: np.ndarray
    gaze: np.ndarray

    @property
    def eyes(self) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks (6, 2) of the left and right eye."""
        return self.points[36:42], self.points[42:48]

    @property
    def mouth_x(self) -> float:
        """x of the middle of the mouth."""
        return float(self.points[[48, 54], 0].mean())

    @cached_property
    def lips(self) -> np.ndarray:
        """1 on the lips and the open mouth between them."""
        return self.canvas.fill(spline(self.points[48:60], 4, closed=True), 0.012)

    @cached_property
    def head(self) -> np.ndarray:
        """1 on the head without hair, ears and neck: the jaw's curve closed by the arc of the skull."""
        jaw = self.points[:17]
        angle = np.linspace(0, np.pi, 14)[1:-1]
        x = np.interp(np.cos(angle), (-1, 1), (jaw[0, 0], jaw[16, 0]))
        arc = np.stack([x, jaw[16, 1] - SKULL * np.sin(angle) ** 0.9], axis=1)
        return self.canvas.fill(np.concatenate([spline(jaw), spline(arc, 3)]), 0.02)

    def mean(self, unit: int) -> float:
        """Activation of a unit over both halves."""
        return float(self.units[unit].mean())


def paint_head(face: Face, light: Light) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Paint the head with neck and hair; returns grey values, coverage (0 where the background shows), height."""
    canvas, person = face.canvas, face.person
    texture = np.random.default_rng(person.texture_seed)
    rim = canvas.blur(face.head, 0.10)
    height = (_skull(face, rim) + _relief(face) - 0.035 * _folds(face)).astype(np.float32)
    albedo = _eyes(face, _mouth(face, _skin(face, texture)))
    grey = shade(canvas, height, _brows(face, albedo), light, 0.72 + 0.28 * np.clip(2 * rim - 1, 0, 1))
    if person.glasses:
        grey = paint(grey, 0.8 * _glasses(face), 0.08)
    hair = _hair(face, light, texture)
    behind, coverage = _behind_head(face, hair, light)
    grey, coverage = paint(behind, face.head, grey), np.maximum(coverage, face.head)
    if not person.bald:
        fringe = _fringe(face) * coverage
        grey = grey * (1 - canvas.blur(fringe, 0.08) * (1 - fringe) * 0.35)  # the fringe throws a shadow
        grey = paint(grey, fringe, hair)
    return grey.astype(np.float32), coverage.astype(np.float32), height


def shade(
    canvas: Canvas, height: np.ndarray, albedo: np.ndarray, light: Light, exposure: np.ndarray | float = 1.0
) -> np.ndarray:
    """Grey values of a lit surface: Lambert's law, cavities at two scales darkened, a weak gloss on bright parts."""
    surface = canvas.blur(height, 0.014)
    slope = canvas.scale / 8  # Sobel's kernel sums to 8
    dx = cv2.Sobel(surface, cv2.CV_32F, 1, 0) * slope
    dy = cv2.Sobel(surface, cv2.CV_32F, 0, 1) * slope
    length = np.sqrt(dx * dx + dy * dy + 1)
    facing = np.clip((light.z - dx * light.x - dy * light.y) / length, 0, None)
    cavity = np.clip((canvas.blur(surface, 0.12) - surface) * 3, -0.25, 0.5)
    cavity += np.clip((canvas.blur(surface, 0.035) - surface) * 8, -0.2, 0.5)
    # Blinn's half-way vector; the viewer is a little above.
    half_way = np.clip((light.z / 2 + 0.5 - dx * (light.x / 2) - dy * (light.y / 2 - 0.1)) / length, 0, 1)
    gloss = 0.10 * half_way**24 * (albedo > 0.35)
    return albedo * exposure * (light.ambient + light.diffuse * facing) * (1 - 0.75 * cavity) + gloss


# --- height -----------------------------------------------------------------------------------------------------------


def _skull(face: Face, rim: np.ndarray) -> np.ndarray:
    """A super-ellipse across, falling off towards forehead and chin, with a rounded rim."""
    canvas, jaw = face.canvas, face.points[:17]
    curve = spline(jaw, 6)
    middle, y = len(curve) // 2, canvas.y[:, 0]
    narrowing = np.sqrt(np.clip(1 - (np.clip(-y, 0, None) / SKULL) ** 2, 0.02, 1))
    widths = []
    for half, edge in ((curve[:middle], jaw[0]), (curve[::-1][:middle], jaw[16])):
        width = np.maximum(np.interp(y, half[:, 1], np.abs(half[:, 0])), 0.8) * narrowing
        widths.append((0.6 * width + 0.4 * np.abs(edge[0])).astype(np.float32)[:, None])
    across = np.abs(canvas.x) / np.where(canvas.x < 0, *widths)
    forehead = 0.5 * np.clip((-canvas.y - 0.35) / 1.3, 0, 1) ** 2
    chin = 0.16 * np.clip((canvas.y - 0.2) / float(jaw[8, 1] - 0.2), 0, 1.1) ** 3
    dome = (1 - forehead - chin) * np.sqrt(np.clip(1 - across**2.5, 0, 1))
    return canvas.blur(1.05 * dome - 0.30 * (1 - rim), 0.06)


def _relief(face: Face) -> np.ndarray:
    """Brow ridge, nose, eye sockets, cheeks, muzzle, chin and lips."""
    canvas, points, mouth_x = face.canvas, face.points, face.mouth_x
    ridges = [Stroke(1, points[brow] + (0, 0.05), 0.16) for brow in (slice(17, 22), slice(22, 27))]
    relief = 0.07 * canvas.draw(ridges, 0.07) + _nose(face)
    for half, sign in HALVES:
        (x, y), ala = face.eyes[half].mean(axis=0), points[(31, 35)[half]]
        relief -= 0.17 * canvas.spot(x, y - 0.02, 0.30, 0.17)  # socket
        relief += 0.085 * canvas.spot(x, y, 0.19, 0.115)  # eyeball
        relief += 0.10 * canvas.spot(ala[0] * 0.92, ala[1] - 0.06, 0.075, 0.075)
        raised, smile = face.units[6, half], face.units[12, half]
        cheek = 0.05 + 0.10 * float(max(raised, 0.6 * smile))
        relief += cheek * canvas.spot(sign * 0.66, 0.52 - 0.06 * raised, 0.26, 0.17)
    relief += 0.10 * canvas.spot(mouth_x, points[51, 1] + 0.10, 0.42, 0.24)  # muzzle
    relief += 0.05 * canvas.spot(0, points[8, 1] - 0.22, 0.22, 0.14)  # chin
    relief += 0.06 * canvas.blur(face.lips, 0.03)
    relief -= 0.05 * canvas.spot(mouth_x, points[57, 1] + 0.08, 0.22, 0.05)  # groove below the lip
    relief -= 0.02 * canvas.spot(0, (points[33, 1] + points[51, 1]) / 2, 0.035, 0.09)  # philtrum
    return relief


def _nose(face: Face) -> np.ndarray:
    """A wedge from the root to the tip, and the bulb of the tip."""
    canvas, person = face.canvas, face.person
    root_y, (tip_x, tip_y) = float(face.points[27, 1]), face.points[30].tolist()
    down = np.clip((canvas.y - root_y + 0.12) / (tip_y - root_y + 0.12), 0, 1)  # 0 above the root, 1 from the tip on
    ends = step((tip_y + 0.10 - canvas.y) / 0.035) * step((canvas.y - root_y + 0.14) / 0.06)
    profile = person.nose_height * (0.07 + 0.30 * down) * ends
    width = (0.105 + 0.06 * down) * person.nose_width
    wedge = profile * np.exp(-0.5 * ((canvas.x - tip_x * down) / width) ** 2)
    return wedge + 0.07 * canvas.spot(tip_x, tip_y + 0.02, 0.11, 0.10)


def _folds(face: Face) -> np.ndarray:
    """Depth of the folds and wrinkles that age and the action units carve."""
    canvas, units, points = face.canvas, face.units, face.points
    grooves = canvas.draw(_deep_folds(face), 0.018) + canvas.draw(_wrinkles(face), 0.012)
    for half, sign in HALVES:
        dimple = 0.3 * float(units[15, half])
        if dimple > 0.04:
            x, y = points[(48, 54)[half]]
            grooves += 0.8 * dimple * canvas.spot(x + sign * 0.05, y, 0.035, 0.06)
    chin = face.mean(17)
    if chin > 0.04:
        grooves += 0.8 * chin * canvas.spot(face.mouth_x, points[57, 1] + 0.10, 0.20, 0.035)
        for x in (-0.1, 0.1):
            grooves += 0.5 * chin * canvas.spot(x, points[8, 1] - 0.20, 0.03, 0.03)
    return grooves


def _deep_folds(face: Face) -> list[Stroke]:
    """From nose to mouth, between the brows, and under the eyes."""
    points, age, strokes = face.points, face.person.age, []
    for half, sign in HALVES:
        active = face.units[:, half]
        ala, corner, brow = points[(31, 35)[half]], points[(48, 54)[half]], points[(21, 22)[half]]
        turn = (corner[0] + sign * 0.10, (ala[1] + corner[1]) / 2 + 0.03)
        cheek_fold = [ala + (sign * 0.09, -0.10), ala + (sign * 0.20, 0.06), turn, corner + (sign * 0.13, 0.06)]
        depth = 0.12 * age + 0.75 * active[12] + 0.6 * active[9] + 0.55 * active[10] + 0.25 * active[20]
        strokes.append(Stroke(0.9 * depth, cheek_fold, 0.05))
        frown = [brow + (-sign * 0.10, -0.10), brow + (-sign * 0.13, 0.02), brow + (-sign * 0.10, 0.13)]
        strokes.append(Stroke(0.9 * (active[4] + 0.4 * active[9]), frown, 0.045))
        bag = face.eyes[half][[0, 5, 4, 3]] + [(0, 0.06), (0, 0.09), (0, 0.09), (0, 0.05)]
        depth = 0.25 * age + 0.6 * active[6] + 0.4 * active[7] + 0.4 * active[9]
        strokes.append(Stroke(0.5 * depth, bag, 0.045))
    return strokes


def _wrinkles(face: Face) -> list[Stroke]:
    """Crow's feet, wrinkles of the nose, and lines across the forehead."""
    points, strokes = face.points, []
    weight = 0.4 + 0.6 * face.person.age
    for half, sign in HALVES:
        corner = points[(36, 45)[half]]
        for slant in (-0.06, 0, 0.07):
            foot = [corner + (sign * along, slant * bend) for along, bend in ((0.06, 0.6), (0.14, 1.3), (0.21, 2.1))]
            strokes.append(Stroke(0.5 * weight * face.units[6, half], foot, 0.026))
        for y in (0.05, 0.14, 0.23):
            line = [(sign * 0.03, y - 0.02), (sign * 0.11, y + 0.01), (sign * 0.19, y + 0.06)]
            strokes.append(Stroke(0.6 * face.units[9, half], line, 0.032))
    for above in (0.16, 0.28, 0.40):
        y = points[17:27, 1].min() - above
        line = [(-0.5, y + 0.04), (-0.25, y), (0, y + 0.02), (0.25, y), (0.5, y + 0.04)]
        strokes.append(Stroke(0.3 * weight * (face.mean(1) + face.mean(2)), line, 0.034))
    return strokes


# --- albedo -----------------------------------------------------------------------------------------------------------


def _skin(face: Face, texture: np.random.Generator) -> np.ndarray:
    """Spotted skin, cheeks, beard and moustache."""
    canvas, person, points = face.canvas, face.person, face.points
    albedo = person.skin * (1 + 0.03 * canvas.noise(texture, 7, 7) + 0.02 * canvas.noise(texture, 28, 28))
    blush = 0.06 if person.skin > 0.6 else -0.02
    albedo *= 1 + blush * (canvas.spot(-0.6, 0.55, 0.3, 0.25) + canvas.spot(0.6, 0.55, 0.3, 0.25))
    if person.beard:
        albedo = albedo * (1 - person.beard * step((canvas.y - 0.95) / 0.06) * (1 - canvas.blur(face.lips, 0.03)))
    if person.moustache:
        line = points[[48, 50, 52, 54]] + [(0, -0.03), (0, -0.07), (0, -0.07), (0, -0.03)]
        hairs = canvas.draw([Stroke(1, line, 0.13)], 0.02)
        albedo = paint(albedo, person.moustache * hairs, min(person.hair, 0.4))
    return albedo


def _mouth(face: Face, albedo: np.ndarray) -> np.ndarray:
    """Lips, and between them the dark of the mouth with upper teeth and tongue as far as it is open."""
    canvas, person, points = face.canvas, face.person, face.points
    opening = canvas.fill(spline(points[60:68], 4, closed=True), 0.008)
    gap = max(float(points[66, 1] - points[62, 1]), 0)
    albedo = paint(albedo, 0.85 * face.lips, person.skin * (1 - person.lip_darkness) - 0.02)
    albedo = paint(albedo, opening, 0.10 + 0.25 * max(0, 0.06 - gap))
    if gap > 0.04:
        from_middle = canvas.x - face.mouth_x
        length = min(0.11, 0.7 * gap) * (1.25 if face.mean(12) > 0.4 else 1)  # a smile shows more of the teeth
        edge = float(points[62, 1]) + length - 0.25 * from_middle**2
        teeth = step((edge - canvas.y) / 0.012) * step((0.40 - np.abs(from_middle)) / 0.02)
        albedo = paint(albedo, 0.9 * opening * teeth, 0.80)
        if gap > 0.2:
            tongue = canvas.spot(face.mouth_x, points[66, 1] + 0.02, 0.22, 0.09)
            albedo = paint(albedo, 0.6 * opening * tongue, 0.33)
    return albedo


def _eyes(face: Face, albedo: np.ndarray) -> np.ndarray:
    """Eyeballs, irises and pupils; with the lines of lids and of the closed mouth, which are drawn in one go."""
    canvas, lines = face.canvas, [Stroke(0.75, face.points[60:65], 0.035)]
    upper, lower = ([0, 1, 2, 3], [3, 2, 1, 0]), ([3, 4, 5, 0], [0, 5, 4, 3])  # from the outer corner and back
    for half, eye in enumerate(face.eyes):
        ball = canvas.fill(spline(eye, 4, closed=True), 0.008)
        lid_shadow = canvas.fill(spline(eye + (0, -0.06), 3, closed=True), 0.07)
        albedo = paint(albedo, 0.18 * lid_shadow, 0.10)
        albedo = paint(albedo, ball, min(0.92, 0.62 + 0.25 * face.person.skin))
        # The iris stays level while the lids move.
        x, y = (eye.mean(axis=0) * (1, 0.6) + face.gaze).astype(np.float32)
        distance = np.hypot(canvas.x - x, canvas.y - y)
        for radius, grey in ((0.088, 0.22), (0.04, 0.04)):
            albedo = paint(albedo, ball * np.clip((radius - distance) / 0.02 + 0.5, 0, 1), grey)
        lines.append(Stroke(0.35, eye[lower[half]] + (0, 0.01), 0.03))
        lines.append(Stroke(0.30, eye[upper[half]] + (0, -0.085), 0.03))
        lines.append(Stroke(0.85, eye[upper[half]] + (0, -0.012), 0.05))
    return paint(albedo, canvas.draw(lines, 0.009), 0.10)


def _brows(face: Face, albedo: np.ndarray) -> np.ndarray:
    """Eyebrows, and the nostrils."""
    canvas, person, points = face.canvas, face.person, face.points
    for nostril, sign in ((points[32], -1), (points[34], 1)):
        hole = canvas.spot(nostril[0] + sign * 0.005, nostril[1] - 0.03, 0.045, 0.022)
        albedo = paint(albedo, 0.75 * hole, 0.10)
    taper = (0.35, 0.8, 1.0, 1.0, 0.75)  # from the temple inwards
    brows = [Stroke(1, brow + (0, 0.025), person.brow_width, taper) for brow in (points[17:22], points[26:21:-1])]
    return paint(albedo, person.brow_darkness * canvas.draw(brows, 0.018), min(person.hair, 0.35) * 0.7)


# --- what is not skin -------------------------------------------------------------------------------------------------


def _glasses(face: Face) -> np.ndarray:
    canvas = face.canvas
    rims = np.zeros((canvas.side, canvas.side), np.uint8)
    axes = (int(0.36 * canvas.scale * 16), int(0.26 * canvas.scale * 16))
    left, right = (eye.mean(axis=0) for eye in face.eyes)
    for eye in (left, right):
        centre = [int(value) for value in np.round(canvas.pixels(eye + (0, 0.05)) * 16)]
        cv2.ellipse(rims, centre, axes, 0, 0, 360, 255, max(1, int(0.05 * canvas.scale)), cv2.LINE_AA, 4)
    bridge = Stroke(1, [left + (0.34, 0), (0, -0.02), right + (-0.34, 0)], 0.05)
    return np.maximum(rims.astype(np.float32) / 255, canvas.draw([bridge], 0.01))


def _hair(face: Face, light: Light, texture: np.random.Generator) -> np.ndarray:
    """Grey values of hair wherever there may be some: strands, locks, and the side away from the lamp darker."""
    canvas = face.canvas
    strands = 0.13 * canvas.noise(texture, 5, 48) + 0.1 * canvas.noise(texture, 5, 5)
    side = 0.25 * np.clip(canvas.x * light.x, -0.5, 0.5)
    return face.person.hair * (light.ambient + 0.7 * light.diffuse) * (0.85 + strands + side)


def _behind_head(face: Face, hair: np.ndarray, light: Light) -> tuple[np.ndarray, np.ndarray]:
    """Neck, the hair behind it or around it, and the ears where no hair hides them; returns grey and coverage."""
    canvas, person, x = face.canvas, face.person, face.canvas.x
    left, right = float(face.points[0, 0]), float(face.points[16, 0])
    neck = canvas.fill([(-0.72, 1.1), (0.72, 1.1), (0.80, 2.3), (-0.80, 2.3)], 0.03)
    lit = light.ambient + light.diffuse * np.clip(light.z + light.x * 0.8 * x, 0, 1)
    skin = person.skin * 0.85 * (0.25 + 0.45 * np.clip(1 - np.abs(x) / 0.95, 0, 1)) * lit
    grey, coverage = skin * neck, neck
    if not person.bald:
        length, wide = person.hair_length, (right - left) / 2 + 0.16
        outline = [(wide, 0.2 + length), (wide * 0.6, 0.3 + length)]
        crown = [(wide + 0.06, -0.3), (wide * 0.75, -1.25)]
        mirrored = [[(-x_, y_) for x_, y_ in part] for part in (outline, crown)]
        around = [mirrored[0][0], *mirrored[1], (0, -1.78), *crown[::-1], *outline, mirrored[0][1]]
        mask = canvas.fill(spline(around, closed=True), 0.03)
        grey, coverage = paint(grey, mask, hair), np.maximum(coverage, mask)
        if length < 1.2:
            grey = paint(grey, neck * (canvas.y > 0.9), skin)  # short hair stays behind the neck
    if person.bald or person.hair_length < 0.5:
        ears = canvas.fill(_ear_outline(left, -1), 0.02) + canvas.fill(_ear_outline(right, 1), 0.02)
        grey = paint(grey, ears, person.skin * 0.75 * (light.ambient + 0.6 * light.diffuse))
        coverage = np.maximum(coverage, ears)
    return grey, coverage


def _ear_outline(edge: float, sign: int) -> np.ndarray:
    inner, outer = edge - sign * 0.05, edge + sign * 0.11
    return spline(
        [(inner, -0.12), (outer + sign * 0.01, -0.10), (outer - sign * 0.01, 0.3), (inner, 0.55)], 4, closed=True
    )


def _fringe(face: Face) -> np.ndarray:
    """1 on the hair that falls before the forehead and beside the face."""
    left, right = float(face.points[0, 0]), float(face.points[16, 0])
    middle, lift = face.person.hairline, 0.25 * face.person.parting
    edge = [(left * 0.99, 0), (left * 0.9, -0.45), (-0.6, middle + 0.05 + lift), (0, middle)]
    edge += [(0.6, middle + 0.05 - lift), (right * 0.9, -0.45), (right * 0.99, 0)]
    outline = [(-1.4, 0.1), *edge, (1.4, 0.1), (1.4, -1.9), (-1.4, -1.9)]
    return face.canvas.fill(spline(outline, closed=True), 0.03)


# --- pose -------------------------------------------------------------------------------------------------------------


def depth_at(canvas: Canvas, height: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Height (K,) of the surface at points (K, 2)."""
    x, y = canvas.pixels(points).astype(np.float32).T.reshape(2, -1, 1)
    return cv2.remap(canvas.blur(height, 0.06), x, y, cv2.INTER_LINEAR).ravel()


def project(points: np.ndarray, depth: np.ndarray, pose: Pose) -> np.ndarray:
    """Points (K, 2) at depth (K,) of the head seen from the front -> (K, 2), where they are once it has turned."""
    before = depth - PIVOT_Z
    x = points[:, 0] * np.cos(pose.yaw) + before * np.sin(pose.yaw)
    y = (points[:, 1] - PIVOT_Y) * np.cos(pose.pitch) - before * np.sin(pose.pitch)
    cos, sin = np.cos(pose.roll), np.sin(pose.roll)
    return np.stack([cos * x - sin * y, sin * x + cos * y + PIVOT_Y], axis=1)


def turn(maps: list[np.ndarray], canvas: Canvas, height: np.ndarray, pose: Pose, view: Canvas) -> list[np.ndarray]:
    """Maps on `canvas` -> as `view` sees them once the head has turned: the inverse of `project` at every pixel.

    The depth at the point that is sought depends on that point, so it is found by fixed-point iteration.
    """
    cos, sin = np.float32(np.cos(pose.roll)), np.float32(np.sin(pose.roll))
    shifted = view.y - PIVOT_Y
    x_turned, y_turned = cos * view.x + sin * shifted, cos * shifted - sin * view.x
    smooth = canvas.blur(height, 0.06)
    x, y = x_turned, y_turned + PIVOT_Y

    def sample(image: np.ndarray, border: int) -> np.ndarray:
        columns, rows = (x - canvas.left) * canvas.scale - 0.5, (y - canvas.top) * canvas.scale - 0.5
        return cv2.remap(image, columns, rows, cv2.INTER_LINEAR, borderMode=border)

    for _ in range(5):
        before = sample(smooth, cv2.BORDER_REPLICATE) - PIVOT_Z
        x = (x_turned - before * float(np.sin(pose.yaw))) / float(np.cos(pose.yaw))
        y = (y_turned + before * float(np.sin(pose.pitch))) / float(np.cos(pose.pitch)) + PIVOT_Y
    return [sample(image, cv2.BORDER_CONSTANT) for image in maps]
