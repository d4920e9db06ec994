"""Faces of real photos that are found when they are small: set beside each other in crowds; prints JSON.

`python -m benchmarks.crowds FOLDER... [--every 1] [--first 0]`: each folder has photos of people of one kind, such as
with_mask and without_mask. Of each photo the largest face that YuNet finds in it with a score of 0.8 and more counts,
which is upright and of 40 px at least. With its surroundings it is made smaller, to a height of 16 to 100 px, and
stands among some hundred others. Faces that YuNet finds at no size are left out of the truth.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from benchmarks.detection import HIT
from mmfer.face.photos import detect
from mmfer.use.drawing import overlap

SIZES = (16, 24, 40, 80, 100)  # edges of the classes of faces by their height, in pixels
SURE, LEAST = 0.8, 40  # score and height of a face of a photo that counts
WIDTH, HEIGHT, GAP = 1280, 960, 8
Person = tuple[str, np.ndarray, np.ndarray]  # kind, RGB (h, w, 3), box (4,) of the face in it


def read_person(file: Path) -> Person | None:
    """The largest sure face of a photo within three of its heights."""
    bgr = cv2.imread(str(file))
    found = [] if bgr is None else detect(np.ascontiguousarray(bgr[..., ::-1]), min_score=SURE)
    faces = [face.box for face in found if face.turned == 0 and face.box[3] - face.box[1] >= LEAST]
    if bgr is None or not faces:
        return None
    box = max(faces, key=lambda box: box[3] - box[1])
    middle, reach = (box[:2] + box[2:]) / 2, 1.5 * (box[3] - box[1])
    left, top = np.round(np.maximum(middle - reach, 0)).astype(int)
    right, bottom = np.round(middle + reach).astype(int)
    return file.parent.name, bgr[top:bottom, left:right, ::-1], box - np.tile([left, top], 2)


def draw_crowd(rng: np.random.Generator, people: list[Person]) -> tuple[np.ndarray, list[tuple[str, np.ndarray]]]:
    """As many of the people as stand in rows of one picture (960, 1280, 3), and of each the kind and box (4,)."""
    spots = rng.normal(110, 40, (HEIGHT // 60, WIDTH // 60, 3)).astype(np.float32)
    wall = cv2.resize(spots, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC) + rng.normal(0, 4, (HEIGHT, WIDTH, 3))
    picture, truth, x, y, row = wall.clip(0, 255).astype(np.uint8), [], GAP, GAP, 0
    for kind, photo, box in people:
        factor = min(np.exp(rng.uniform(np.log(SIZES[0]), np.log(SIZES[-1]))) / (box[3] - box[1]), 1.0)
        small = cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        height, width = small.shape[:2]
        if x + width + GAP > WIDTH:
            x, y, row = GAP, y + row + GAP, 0
        if y + height + GAP > HEIGHT:
            break
        picture[y : y + height, x : x + width] = small
        truth.append((kind, box * factor + np.tile([x, y], 2)))
        x, row = x + width + GAP, max(row, height)
    return picture, truth


def main() -> None:
    """Read, draw, detect, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--every", type=int, default=1, help="of the photos of a folder in order of their names")
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    files = [file for folder in given.folders for file in sorted(folder.iterdir())[given.first :: given.every]]
    read = [person for file in files if (person := read_person(file)) is not None]
    rng = np.random.default_rng(0)
    people = [read[place] for place in rng.permutation(len(read))]
    faces: Counter[str] = Counter()
    found: Counter[str] = Counter()
    pictures = 0
    while people:
        picture, truth = draw_crowd(rng, people)
        people, pictures = people[len(truth) :], pictures + 1
        boxes = [face.box for face in detect(picture)]
        for kind, box in truth:
            place = int(np.searchsorted(SIZES[1:-1], box[3] - box[1], side="right"))
            name = f"{kind}, {SIZES[place]} to {SIZES[place + 1]} px"
            faces[name] += 1
            found[name] += any(overlap(box, other) >= HIT for other in boxes)
    recall = {name: {"faces": count, "found": round(found[name] / count, 3)} for name, count in sorted(faces.items())}
    print(json.dumps({"pictures": pictures, "recall": recall}, indent=1))


if __name__ == "__main__":
    main()
