"""A dataset of rendered faces: no download, no account, no person's picture, and the truth is known.

Every person has many images, and all of them lie in one split. Row i is drawn by a generator of its own, keyed by the
seed and i, so the same bytes come out for any number of workers.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd

from mmfer.config import FACE_PX, SyntheticSource
from mmfer.data.faceset import digests, new_index
from mmfer.data.synthetic.canvas import Canvas
from mmfer.data.synthetic.expressions import EXPRESSIONS, UNITS, move_points, neutral_points, sample_units
from mmfer.data.synthetic.people import Person, resting_points, sample_person
from mmfer.data.synthetic.rendering import Face, Light, Pose, depth_at, paint_head, project, turn
from mmfer.data.synthetic.scenery import (
    OCCLUDERS,
    background,
    degrade,
    occlude,
    render_non_face,
    sample_light,
    sample_pose,
    sample_view,
    to_bytes,
)

# Third word of a generator's key; a row's key has two words, which is the same as a third word of 0.
PERSON, PLAN = 1, 2
INTENSITIES = (0.85, 1.3)  # of expressions: from subtle to strong


class Head(NamedTuple):
    """A head before nothing, on a view: grey and coverage (side, side) from 0 to 1, landmarks in the view's units."""

    grey: np.ndarray
    coverage: np.ndarray
    view: Canvas
    points: np.ndarray  # (68, 2)

    def landmarks(self, size: int) -> np.ndarray:
        """Landmarks float32 (68, 2) in pixels of a picture of that size."""
        return Canvas(size, self.view.left, self.view.top, self.view.extent).pixels(self.points).astype(np.float32)


def read_synthetic(source: SyntheticSource, workers: int) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """Render the dataset; returns index, images uint8 (N, 48, 48) and the class names.

    Beside the contract's columns the index has the truth: `true_expression` (null: no face), `second_expression`
    (null: no blend) and `occluder` (null: none).
    """
    plan = plan_rows(source)
    with ThreadPoolExecutor(workers) as pool:
        images = np.stack(list(pool.map(partial(_render_row, source.seed), plan.itertuples(name="Row"))))
    truth = {name: plan[name] for name in ("true_expression", "second_expression", "occluder")}
    names = [f"face-{row:06d}" for row in range(len(plan))]
    index = new_index(names, plan["label"], plan["split"], subject=plan["subject"], digest=digests(images), **truth)
    return index, images, list(EXPRESSIONS)


def plan_rows(source: SyntheticSource) -> pd.DataFrame:
    """Decide what each row shows: columns label, split, person, subject, true and second expression, weight, occluder.

    The shares that `source` asks for are met to the nearest whole number.
    """
    rng = np.random.default_rng([source.seed, 0, PLAN])
    non_faces = round(source.non_faces * source.faces)
    faces = source.faces - non_faces
    people = np.arange(faces) % source.identities
    # Each round gives every person an image; expressions move on from person to person and from round to round.
    truth = (people + np.arange(faces) // source.identities) % len(EXPRESSIONS)
    plan = pd.DataFrame({"person": people, "truth": truth, "split": _splits(source, source.identities)[people]})
    plan["label"] = _mislabel(truth, source.label_noise, rng)
    plan["subject"] = pd.Series([f"person-{person:04d}" for person in people], dtype="string")
    plan["true_expression"] = pd.Series(np.take(EXPRESSIONS, truth), dtype="string")
    blended = _pick(faces, source.blends, rng)
    other = (truth + rng.integers(1, len(EXPRESSIONS), faces)) % len(EXPRESSIONS)
    plan["second_expression"] = pd.Series(np.take(EXPRESSIONS, other), dtype="string").where(blended)
    plan["weight"] = np.where(blended, rng.uniform(0.1, 0.35, faces), 0.0)
    occluded = _pick(faces, source.occluders, rng)
    plan["occluder"] = pd.Series(rng.choice(OCCLUDERS, faces), dtype="string").where(occluded)
    others = pd.DataFrame({"split": _splits(source, non_faces), "label": np.arange(non_faces) % len(EXPRESSIONS)})
    plan = pd.concat([plan, others.assign(person=-1)], ignore_index=True)
    return plan.iloc[rng.permutation(source.faces)].reset_index(drop=True)


def _splits(source: SyntheticSource, count: int) -> np.ndarray:
    """The split of each of `count` people; who is one of the last is as random as anyone."""
    test, val = round(source.test_share * count), round(source.val_share * count)
    return np.repeat(["train", "val", "test"], [count - val - test, val, test]).astype(object)


def _pick(count: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """bool (count,), with exactly that share of True."""
    return rng.permutation(count) < round(share * count)


def _mislabel(truth: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    wrong = (truth + rng.integers(1, len(EXPRESSIONS), len(truth))) % len(EXPRESSIONS)
    return np.where(_pick(len(truth), share, rng), wrong, truth)


def _render_row(seed: int, row: Any) -> np.ndarray:
    """The image of a row of the plan."""
    rng = np.random.default_rng([seed, row.Index])
    if row.person < 0:
        return render_non_face(rng, FACE_PX)
    person = sample_person(np.random.default_rng([seed, row.person, PERSON]))
    pose, light, gaze = sample_pose(rng), sample_light(rng), rng.normal(0, (0.03, 0.015))
    units = sample_units(rng, row.true_expression, rng.uniform(*INTENSITIES))
    if row.weight:
        second = sample_units(rng, row.second_expression, rng.uniform(*INTENSITIES))
        units = (1 - row.weight) * units + row.weight * second
    occluder = None if pd.isna(row.occluder) else row.occluder
    image, _ = compose(rng, person, units, pose, light, gaze, FACE_PX, occluder)
    return to_bytes(degrade(image, rng))


def compose(
    rng: np.random.Generator,
    person: Person,
    units: np.ndarray,
    pose: Pose,
    light: Light,
    gaze: np.ndarray,
    size: int,
    occluder: str | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Picture of a face before a background, float32 (size, size), greys from 0 to 1; landmarks (68, 2) in pixels."""
    head = draw_head(rng, person, units, pose, light, gaze, size)
    picture = background(rng, head.view.side) * (1 - head.coverage) + head.grey * head.coverage
    if occluder:
        picture = occlude(picture, head.view, head.points, occluder, light, rng)
    picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    return picture, head.landmarks(size)


def draw_head(
    rng: np.random.Generator, person: Person, units: np.ndarray, pose: Pose, light: Light, gaze: np.ndarray, size: int
) -> Head:
    """A head for a picture of `size` pixels, on a view of 2 x 2 samples to the pixel."""
    points = move_points(resting_points(person), units)
    canvas = Canvas(round(size * 8 / 3))  # about as fine as the view
    grey, coverage, height = paint_head(Face(canvas, person, points, units, gaze), light)
    view = sample_view(rng, 2 * size, chin_drop=points[8, 1] - neutral_points()[8, 1])
    grey, coverage = turn([grey, coverage], canvas, height, pose, view)
    return Head(grey, coverage, view, project(points, depth_at(canvas, height, points), pose))


def render_face(
    expression: str = "neutral",
    seed: int = 0,
    size: int = FACE_PX,
    intensity: float = 1.0,
    frontal: bool = False,
    occluder: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """One clean face, uint8 (size, size), and its true landmarks, float32 (68, 2), in pixels.

    The seed gives person, pose, light and background, whatever the expression: several expressions of a seed show the
    same person, and rising intensities make a sequence. `frontal` faces look straight ahead, lit from the camera.
    """
    rng = np.random.default_rng(seed)
    person, pose, light = sample_person(rng), sample_pose(rng), sample_light(rng)
    gaze = rng.normal(0, (0.03, 0.015))
    if frontal:
        pose, light, gaze = Pose(), Light(0.0, -0.3, 0.95, 0.45, 0.7), np.zeros(2)
    # A generator of its own, for expressions differ in how often they draw.
    units = sample_units(np.random.default_rng([seed, UNITS]), expression, intensity)
    picture, landmarks = compose(rng, person, units, pose, light, gaze, size, occluder)
    return to_bytes(picture), landmarks
