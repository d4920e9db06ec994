"""Faces that move through a rendered video of 1920 x 1080: how many are found, when, on how many tracks, how fast.

`python -m benchmarks.video`. Three and ten faces at 30 frames/s, of which a third enters, a third leaves and a third
stays; the truth is where they were put. `whole` searches all of each frame, `stretches` what mmfer.use.frames does.
Both take turns on each batch of frames; times are of one frame, without the reading of the file, which is `read`.
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from benchmarks.common import medians, ratio, run
from benchmarks.detection import HIT, cut_out, true_box
from mmfer.data.synthetic.faces import render_face
from mmfer.data.synthetic.scenery import background, to_bytes
from mmfer.use.answers import BATCH
from mmfer.use.drawing import overlap
from mmfer.use.inputs import in_groups
from mmfer.use.photos import Picture
from mmfer.use.predictor import Face, Predictor
from mmfer.use.tracks import follow
from mmfer.use.videos import read_video

WIDTH, HEIGHT, RATE = 1920, 1080, 30.0
COLUMNS = {3: 1, 10: 2}  # lanes beside each other, so that nobody hides another
WAYS = ("whole", "stretches")
Truth = list[dict[int, np.ndarray]]  # for each frame the box (4,) of each face; it may leave the picture


class Walker(NamedTuple):
    """Somebody who moves along a lane: picture, and where its left upper corner is."""

    adds: np.ndarray
    clear: np.ndarray
    box: np.ndarray  # (4,) of the face, in its pixels
    start: np.ndarray  # (2,)
    speed: float  # pixels a second, to the right


def walkers(rng: np.random.Generator, count: int, seconds: float) -> list[Walker]:
    """People of several sizes, each in a lane of its own: the first of three enters, the second leaves, one stays."""
    columns = COLUMNS[count]
    rows = -(-count // columns)
    lane = np.array([WIDTH // columns, HEIGHT // rows])
    made = []
    for n in range(count):
        side = int(lane[1] * rng.uniform(0.5, 0.95))
        person = cut_out(rng, side, "upright")
        corner = lane * [n % columns, n // columns] + (lane - side) / 2
        way = 1 if n % columns == columns - 1 else -1  # by the nearer edge of the picture
        gone = np.array([WIDTH if way > 0 else -side, corner[1]])
        start, end = [(gone, corner), (corner, gone), (corner, corner + np.array([0.3 * side, 0]))][n % 3]
        made.append(Walker(person.adds, person.clear, true_box(person.points), start, (end - start)[0] / seconds))
    return made


def draw_video(path: Path, seed: int, count: int, frames: int) -> Truth:
    """Write a video; the truth of its frames."""
    rng = np.random.default_rng(seed)
    people = walkers(rng, count, frames / RATE)
    wall = cv2.resize(background(rng, 512), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), RATE, (WIDTH, HEIGHT))
    truth: Truth = []
    for n in range(frames):
        picture, here = wall.copy(), {}
        for k, person in enumerate(people):
            sway = 0.03 * len(person.adds) * np.sin([2 * n / RATE + k, 5 * n / RATE + k])
            corner = person.start + sway + np.array([person.speed * n / RATE, 0])
            put(picture, person, corner)
            here[k] = person.box + np.tile(corner, 2)
        video.write(cv2.cvtColor(to_bytes(picture), cv2.COLOR_GRAY2BGR))
        truth.append(here)
    video.release()
    return truth


def put(picture: np.ndarray, person: Walker, corner: np.ndarray) -> None:
    """Paint somebody into a picture; what lies outside of it is not seen."""
    whole = np.floor(corner).astype(int)
    shift = np.array([[1, 0, corner[0] - whole[0]], [0, 1, corner[1] - whole[1]]])
    size = (len(person.adds) + 1,) * 2
    adds = cv2.warpAffine(person.adds, shift, size, borderValue=0)
    clear = cv2.warpAffine(person.clear, shift, size, borderValue=1)
    (left, top), (right, bottom) = np.maximum(whole, 0), np.minimum(whole + size, (WIDTH, HEIGHT))
    if left < right and top < bottom:
        part = np.s_[top - whole[1] : bottom - whole[1], left - whole[0] : right - whole[0]]
        picture[top:bottom, left:right] = picture[top:bottom, left:right] * clear[part] + adds[part]


def predicted(
    predictor: Predictor, path: Path
) -> tuple[list[Picture], dict[str, list[list[Face]]], dict[str, np.ndarray]]:
    """Frames, the faces that each way finds in them, and its seconds a frame (batches, 2): clock and processor."""
    frames: list[Picture] = []
    found: dict[str, list[list[Face]]] = {way: [] for way in WAYS}
    times: dict[str, list[np.ndarray]] = {way: [] for way in ("read", *WAYS)}
    before = clocks()
    for held in in_groups(read_video(str(path), path.name), BATCH):
        times["read"].append((clocks() - before) / len(held))
        for way in WAYS if len(times["read"]) % 2 else WAYS[::-1]:
            shown = held if way == "stretches" else [replace(frame, frame=None) for frame in held]  # as photos
            before = clocks()
            found[way] += predictor.predict(shown)
            times[way].append((clocks() - before) / len(held))
        frames += [replace(frame, pixels=frame.pixels[:1, :1]) for frame in held]
        before = clocks()
    return frames, found, {way: np.array(taken) for way, taken in times.items()}


def clocks() -> np.ndarray:
    """Seconds (2,): on the clock, of the processor."""
    return np.array([time.perf_counter(), time.process_time()])


def compared(frames: list[Picture], found: list[list[Face]], truth: Truth) -> dict[str, Any]:
    """Recall, false faces a frame, changes of track, and how long it takes until somebody who comes is found."""
    shown = hits = false = switches = 0
    tracks: dict[int, int] = {}
    came: dict[int, float] = {}
    waited: dict[int, float] = {}
    for n, (frame, faces) in enumerate(follow(zip(frames, found, strict=True))):
        assert isinstance(frame, Picture)
        here = truth[n]
        shares = np.array([[overlap(face.box, box) for box in here.values()] for face in faces]).reshape(-1, len(here))
        false += int((shares.max(axis=1, initial=0) < HIT).sum())
        for column, (k, box) in enumerate(here.items()):
            if (box[:2] < 0).any() or (box[2:] > (WIDTH, HEIGHT)).any():  # not yet, or no more
                continue
            shown += 1
            came.setdefault(k, frame.seconds or 0)
            if shares[:, column].max(initial=0) < HIT:
                continue
            hits += 1
            track = faces[int(shares[:, column].argmax())].track or 0
            switches += tracks.setdefault(k, track) != track
            tracks[k] = track
            waited.setdefault(k, (frame.seconds or 0) - came[k])
    return {
        "recall": round(hits / shown, 4),
        "false_a_frame": round(false / len(frames), 4),
        "changes_of_track": switches,
        "found_after_s_at_most": round(max(waited.values(), default=np.nan), 3),
        "never_found": len(came) - len(waited),
    }


def measure(quick: bool) -> dict[str, Any]:
    """Videos one after the other, the ways by turns within each."""
    predictor, frames = Predictor.load(), 16 if quick else 96
    predictor.predict([render_face(size=96)[0]])  # what is made once
    result: dict[str, Any] = {"sizes": {"frames": frames}}
    result |= {part: {} for part in ("times", "ratios", "frames_a_second", "found")}
    with tempfile.TemporaryDirectory() as folder:
        for count in COLUMNS:
            path = Path(folder, f"{count} faces.mp4")
            truth = draw_video(path, count, count, frames)
            shown, found, times = predicted(predictor, path)
            result["times"] |= {f"{count} faces, {way}": row for way, row in medians(times).items()}
            for of in ("clock", "processor"):
                result["ratios"][f"{count} faces, whole to stretches, {of}"] = ratio(times, *WAYS, of)
            for way in WAYS:
                result["found"][f"{count} faces, {way}"] = compared(shown, found[way], truth)
                clock, processor = (times[way] + times["read"]).mean(axis=0)
                result["frames_a_second"][f"{count} faces, {way}"] = round(1 / clock, 2)
                result["frames_a_second"][f"{count} faces, {way}, two cores of its own"] = round(2 / processor, 1)
    return result


if __name__ == "__main__":
    run(measure, __doc__)
