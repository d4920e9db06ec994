"""Faces of rendered scenes that each detector finds, by size and by what makes them hard, and what it takes for it.

`python -m benchmarks.detection [--scenes 500] [--kept FILE]`. A scene is a wall with 1 to 30 people of 16 to 400 px,
each lit and turned in a way of their own, some with a mask, scarf, hand, bar or dark glasses before the face, and
things that are none. The truth is where the renderer put the landmarks; it cannot turn a head by more than some 45
degrees. Detectors take turns on a scene, on one thread. With `--kept` a run goes on where the last one stopped.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from benchmarks.common import print_result
from mmfer.data.synthetic.expressions import EXPRESSIONS, sample_units
from mmfer.data.synthetic.faces import draw_head
from mmfer.data.synthetic.people import sample_person
from mmfer.data.synthetic.rendering import Pose
from mmfer.data.synthetic.scenery import (
    OCCLUDERS,
    background,
    occlude,
    render_non_face,
    sample_light,
    sample_pose,
    to_bytes,
)
from mmfer.face.detectors import DETECTORS
from mmfer.face.photos import detect
from mmfer.testing.perturb import wear_glasses
from mmfer.use.drawing import overlap

SIZES = (16, 24, 40, 80, 400)  # edges of the classes of faces by their height, in pixels
KINDS = ("upright", "turned", "glasses", *OCCLUDERS)
SHARES = (0.5, 0.14, 0.1, 0.06, 0.06, 0.04, 0.1)
HIT = 0.3  # overlap of a box with the true one from which on the face is found


class Cut(NamedTuple):
    """A person, cut out of a square of `side` pixels: what it adds to a wall, and the share of the wall that is seen.

    Both (side, side) float32 from 0 to 1; landmarks (68, 2) in its pixels.
    """

    adds: np.ndarray
    clear: np.ndarray
    points: np.ndarray


def cut_out(rng: np.random.Generator, side: int, kind: str) -> Cut:
    """A person of a kind: upright, turned, with glasses or a thing before the face."""
    person, light, gaze, pose = sample_person(rng), sample_light(rng), rng.normal(0, (0.03, 0.015)), sample_pose(rng)
    if kind == "turned":
        pose = Pose(roll=pose.roll, yaw=float(rng.choice([-1, 1]) * rng.uniform(0.4, 0.8)), pitch=pose.pitch)
    units = sample_units(rng, str(rng.choice(EXPRESSIONS)), rng.uniform(0.5, 1.0))
    head = draw_head(rng, person, units, pose, light, gaze, side)
    state, walls = rng.bit_generator.state, []
    for wall in (0.0, 1.0):  # before a black and a white wall stands the same: their difference is what is seen of it
        rng.bit_generator.state = state
        picture = wall * (1 - head.coverage) + head.grey * head.coverage
        if kind in OCCLUDERS:
            picture = occlude(picture, head.view, head.points, kind, light, rng)
        walls.append(cv2.resize(picture.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA))
    adds, clear, points = walls[0], walls[1] - walls[0], head.landmarks(side)
    if kind == "glasses":
        adds = wear_glasses(to_bytes(adds), points).astype(np.float32) / 255
    return Cut(adds, clear, points)


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
        person = cut_out(rng, side, kind)
        part = scene[top : top + side, left : left + side]
        part[:] = part * person.clear + person.adds
        truth.append((kind, true_box(person.points + np.array([left, top]))))
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


def count(scene: np.ndarray, truth: list[tuple[str, np.ndarray]]) -> dict[str, Any]:
    """What each detector makes of a scene: faces and those found by kind and size, false faces, processor seconds."""
    names = [f"{kind}, {size_of(box)}" for kind, box in truth]
    counts: dict[str, Any] = {"faces": Counter(names), "found": {}, "false": {}, "seconds": {}}
    for detector in DETECTORS:
        start = time.process_time()
        faces = detect(scene, detector)
        counts["seconds"][detector] = time.process_time() - start
        overlaps = np.array([[overlap(face.box, box) for _, box in truth] for face in faces])
        overlaps = overlaps.reshape(len(faces), len(truth))
        counts["false"][detector] = int((overlaps.max(axis=1, initial=0) < HIT).sum())
        hits = overlaps.max(axis=0, initial=0) >= HIT
        counts["found"][detector] = Counter(name for name, hit in zip(names, hits, strict=True) if hit)
    return counts


def size_of(box: np.ndarray) -> str:
    """The class of sizes that a face belongs to by its height; the smallest and largest take what lies beyond."""
    place = int(np.clip(np.searchsorted(SIZES, box[3] - box[1], side="right"), 1, len(SIZES) - 1))
    return f"{SIZES[place - 1]} to {SIZES[place]} px"


def peak_mib(detector: str) -> float:
    """Most memory of a process that searches one picture of the largest size."""
    code = (
        "import sys, numpy; from mmfer.face.photos import detect; "
        "detect(numpy.random.default_rng(0).integers(0, 256, (960, 1280), dtype=numpy.uint8), sys.argv[1]); "
        "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"  # in KiB; ru_maxrss is the parent's
    )
    done = subprocess.run([sys.executable, "-c", code, detector], check=True, stdout=subprocess.PIPE, text=True)
    return round(int(done.stdout) / 1024, 1)


def measure(scenes: int, kept: Path | None) -> dict[str, Any]:
    """Draw, detect, count; what `kept` holds already is not done again."""
    cv2.setNumThreads(1)
    lines = kept.read_text(encoding="utf-8").splitlines() if kept and kept.exists() else []
    counts = [json.loads(line) for line in lines[:scenes]]
    for seed in range(len(counts), scenes):
        counts.append(count(*draw_scene(seed)))
        if kept:
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps(counts[-1]) + "\n")
    faces = sum((Counter(one["faces"]) for one in counts), Counter())
    found = {name: sum((Counter(one["found"][name]) for one in counts), Counter()) for name in DETECTORS}
    false, seconds = (
        {name: round(sum(one[what][name] for one in counts) / scenes, 4) for name in DETECTORS}
        for what in ("false", "seconds")
    )
    return {
        "sizes": {"scenes": scenes, "faces": faces.total()},
        "faces": faces,
        "recall": {name: {row: round(found[name][row] / n, 4) for row, n in faces.items()} for name in DETECTORS},
        "recall_of_all": {name: round(found[name].total() / max(faces.total(), 1), 4) for name in DETECTORS},
        "false_faces_a_scene": false,
        "processor_seconds_a_scene": seconds,
        "peak_mib": {name: peak_mib(name) for name in DETECTORS},
        "ratios": {"dlib_to_yunet_processor": round(seconds["dlib"] / seconds["yunet"], 2)},
    }


def main() -> None:
    """Read the command, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--kept", type=Path, help="a file of scenes that were counted, which this run adds to")
    parser.add_argument("--quick", action="store_true", help="two scenes")
    options = parser.parse_args()
    print_result(lambda: measure(2 if options.quick else options.scenes, options.kept), options.quick)


if __name__ == "__main__":
    main()
