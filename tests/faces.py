"""A small complete data folder of rendered faces, made by the functions of the stages; the truth about each face.

48 images: 14 people with three expressions each, their heads turned by up to 14 degrees, and 6 pictures of noise, in
which no face is found. Alignments are no identities, half of the copies are mirrored. It takes a second or two.
"""

import functools
from pathlib import Path

import numpy as np

from mmfer.config import AugmentParams, CleanParams, ExtractParams, HideParams, SyntheticSource
from mmfer.data.duplicates import mark_duplicates
from mmfer.data.faceset import digests, new_faceset, new_index, write_array
from mmfer.data.synthetic.expressions import MIRROR
from mmfer.data.synthetic.faces import render_face
from mmfer.face.augment import write_augmented
from mmfer.face.clean import write_clean
from mmfer.face.extract import write_features
from mmfer.face.hide import write_hidden

CLASSES = ["happy", "surprise", "neutral"]
PEOPLE, NOISE = 14, 6
MIRRORED = [(MIRROR | {right: left for left, right in MIRROR.items()}).get(point, point) for point in range(68)]
FACES = PEOPLE * len(CLASSES)  # rows 0 to FACES - 1 hold a face: person row // 3, expression row % 3


@functools.cache
def rendered_faces() -> tuple[np.ndarray, np.ndarray]:
    """Images (48, 48, 48) uint8; true landmarks (42, 68, 2) float32 of those that show a face, which come first."""
    drawn = [render_face(expression, seed=person) for person in range(PEOPLE) for expression in CLASSES]
    noise = np.random.default_rng(0).integers(0, 256, (NOISE, 48, 48), dtype=np.uint8)
    return np.concatenate([[image for image, _ in drawn], noise]), np.stack([points for _, points in drawn])


def write_faces(
    data: Path,
    folds: int = 0,
    clean: CleanParams = CleanParams(),
    augment: AugmentParams = AugmentParams(copies=4),
    extract: ExtractParams = ExtractParams(),
) -> Path:
    """Write the FaceSets up to features below `data`, hidden empty: nine people train, two validate, three test.

    With `folds` all are in the split train and a person's fold is its number modulo `folds`. Noise has no subject.
    """
    images, _ = rendered_faces()
    person = np.concatenate([np.arange(FACES) // len(CLASSES), [0, 1, 9, 11, 2, 12]])
    label = np.arange(len(images)) % len(CLASSES)
    split = np.where(person < 9, "train", np.where(person < 11, "val", "test")).astype(object)
    subject = [f"person-{p}" for p in person[:FACES]] + [None] * NOISE
    columns = {"subject": subject, "fold": person % folds if folds else -1, "digest": digests(images)}
    names = [f"face-{row}" for row in range(len(images))]
    index = mark_duplicates(new_index(names, label, "train" if folds else split, **columns))
    origin = {"stage": "download", "params": SyntheticSource().model_dump(), "notes": []}
    with new_faceset(data / "raw", "faces", CLASSES, index, origin) as folder:
        write_array(folder, "images", images)
    write_clean(data / "raw", data / "clean", clean, 1)
    write_hidden(data / "raw", data / "clean", data / "hidden", HideParams(), 1)
    write_augmented(data / "raw", data / "clean", data / "augmented", augment, 1)
    write_features(data / "augmented", data / "clean", data / "features", extract, 1)
    return data
