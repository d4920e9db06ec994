"""Faces of rendered scenes that each detector finds, by size and by what makes them hard, and how long it takes.

`python -m benchmarks.detection [--scenes 500]` prints JSON. A scene is a wall with 1 to 30 people of 16 to 400 px, each
lit and turned in a way of their own, some with a mask, scarf, hand, bar or dark glasses before the face, and things
that are none. The truth is where the renderer put the landmarks; it cannot turn a head by more than some 45 degrees.
Detectors take turns on a scene, on one thread.
"""

import argparse
import json
import time
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np

from mmfer.data.synthetic.canvas import Canvas
from mmfer.data.synthetic.expressions import EXPRESSIONS, move_points, sample_units
from mmfer.data.synthetic.people import neutral_points, resting_points, sample_person
from mmfer.data.synthetic.rendering import Face, Pose, depth_at, paint_head, project, turn
from mmfer.data.synthetic.scenery import (
    OCCLUDERS,
    background,
    occlude,
    render_non_face,
    sample_light,
    sample_pose,
    sample_view,
    to_bytes,
)
from mmfer.face.photos import DETECTORS, detect
from mmfer.testing.perturb import wear_glasses
from mmfer.use.drawing import overlap

SIZES = (16, 24, 40, 80, 400)  # edges of the classes of upright, uncovered faces, in pixels of their height
KINDS = ("upright", "turned", "glasses", *OCCLUDERS)
SHARES = (0.5, 0.14, 0.1, 0.06, 0.06, 0.04, 0.1)
HIT = 0.3  # overlap of a box with the true one from which on the face is found


class Head(NamedTuple):
    """A person, cut out: grey (side, side) and coverage, from 0 to 1; landmarks (68, 2) in its pixels."""

    grey: np.ndarray
    coverage: np.ndarray
    points: np.ndarray


def draw_head(rng: np.random.Generator, side: int, kind: str) -> Head:
    """A head in a square of `side` pixels, as mmfer.data.synthetic.faces composes them, but without a background."""
    person, light, gaze = sample_person(rng), sample_light(rng), rng.normal(0, (0.03, 0.015))
    pose = sample_pose(rng)
    if kind == "turned":
        pose = Pose(roll=pose.roll, yaw=float(rng.choice([-1, 1]) * rng.uniform(0.4, 0.8)), pitch=pose.pitch)
    units = sample_units(rng, str(rng.choice(EXPRESSIONS)), rng.uniform(0.5, 1.0))
    points = move_points(resting_points(person), units)
    canvas = Canvas(round(side * 8 / 3))
    grey, coverage, height = paint_head(Face(canvas, person, points, units, gaze), light)
    view = sample_view(rng, 2 * side, chin_drop=points[8, 1] - neutral_points()[8, 1])
    grey, coverage = turn([grey, coverage], canvas, height, pose, view)
    turned = project(points, depth_at(canvas, height, points), pose)
    if kind in OCCLUDERS:
        state = rng.bit_generator.state
        covered = []
        for level in (0.0, 1.0):  # what lies before the face is the same on black and on white
            rng.bit_generator.state = state
            covered.append(occlude(np.full_like(grey, level), view, turned, kind, light, rng))
        rng.bit_generator.state = state
        grey = occlude(grey, view, turned, kind, light, rng)
        coverage = np.maximum(coverage, np.abs(covered[1] - covered[0]) < 0.3)
    small = [
        cv2.resize(part.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA) for part in (grey, coverage)
    ]
    places = Canvas(side, view.left, view.top, view.extent).pixels(turned)
    if kind == "glasses":
        small[0] = wear_glasses(to_bytes(small[0]), places).astype(np.float32) / 255
    return Head(small[0], small[1], places)


def true_box(points: np.ndarray) -> np.ndarray:
    """The box (4,) of a face by its landmarks: from brow to chin, and as much above as foreheads have."""
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return np.array([left, top - 0.3 * (bottom - top), right, bottom])


def draw_scene(seed: int) -> tuple[np.ndarray, list[tuple[str, np.ndarray]]]:
    """A scene, uint8 (H, W), and each face in it: its kind and true box (4,)."""
    rng = np.random.default_rng(seed)
    width, height = int(rng.integers(640, 1281)), int(rng.integers(480, 961))
    scene = cv2.resize(background(rng, 512), (width, height), interpolation=cv2.INTER_LINEAR)
    taken: list[np.ndarray] = []
    truth = []
    for _ in range(int(rng.integers(0, 4))):
        place = free_place(rng, (width, height), int(rng.integers(40, 200)), taken)
        if place is not None:
            left, top, side = place
            scene[top : top + side, left : left + side] = render_non_face(rng, side) / 255
    for _ in range(int(rng.integers(1, 31))):
        face = float(np.exp(rng.uniform(np.log(SIZES[0]), np.log(SIZES[-1]))))
        place = free_place(rng, (width, height), round(1.6 * face), taken)
        if place is None:
            continue
        left, top, side = place
        kind = str(rng.choice(KINDS, p=SHARES))
        head = draw_head(rng, side, kind)
        part = scene[top : top + side, left : left + side]
        part[:] = part * (1 - head.coverage) + head.grey * head.coverage
        truth.append((kind, true_box(head.points + np.array([left, top]))))
    return to_bytes(scene + rng.normal(0, 0.01, scene.shape)), truth


def free_place(
    rng: np.random.Generator, shape: tuple[int, int], side: int, taken: list[np.ndarray]
) -> tuple[int, int, int] | None:
    """Left, top and side of a square that lies in the scene and on nothing else; None where fifty tries find none."""
    if side >= min(shape):
        return None
    for _ in range(50):
        left, top = (int(rng.integers(0, edge - side)) for edge in shape)
        box = np.array([left, top, left + side, top + side])
        if all(overlap(box, other) == 0 for other in taken):
            taken.append(box)
            return left, top, side
    return None


def names_of(kind: str, box: np.ndarray) -> list[str]:
    """The rows in which a face counts."""
    if kind != "upright":
        return ["all", kind]
    height = box[3] - box[1]
    size = next((f"upright, {a} to {b} px" for a, b in pairwise(SIZES) if a <= height < b), None)
    return ["all", *([size] if size else [])]


def main() -> None:
    """Draw, detect, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--quick", action="store_true", help="two scenes")
    options = parser.parse_args()
    scenes = 2 if options.quick else options.scenes
    cv2.setNumThreads(1)
    faces: dict[str, int] = {}
    hits: dict[str, dict[str, int]] = {name: {} for name in DETECTORS}
    false, seconds = dict.fromkeys(DETECTORS, 0), dict.fromkeys(DETECTORS, 0.0)
    for seed in range(scenes):
        scene, truth = draw_scene(seed)
        for row in (row for kind, box in truth for row in names_of(kind, box)):
            faces[row] = faces.get(row, 0) + 1
        for name in DETECTORS:
            start = time.perf_counter()
            found = detect(scene, name)
            seconds[name] += time.perf_counter() - start
            overlaps = np.array([[overlap(face.box, box) for _, box in truth] for face in found])
            overlaps = overlaps.reshape(len(found), len(truth))
            false[name] += int((overlaps.max(axis=1, initial=0) < HIT).sum())
            for (kind, box), best in zip(truth, overlaps.max(axis=0, initial=0), strict=True):
                for row in names_of(kind, box):
                    hits[name][row] = hits[name].get(row, 0) + int(best >= HIT)
    recall = {name: {row: round(hits[name].get(row, 0) / n, 4) for row, n in faces.items()} for name in DETECTORS}
    result = {
        "scenes": scenes,
        "faces": faces,
        "recall": recall,
        "false_faces": false,
        "seconds_a_scene": {name: round(value / scenes, 3) for name, value in seconds.items()},
        "ratios": {"dlib_to_yunet": round(seconds["dlib"] / seconds["yunet"], 2)},
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
