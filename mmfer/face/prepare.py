"""The one way from faces to what a network reads; training, evaluation, perturbed faces and prediction all take it.

`see` finds and aligns faces, `describe` turns aligned faces into the arrays that a FaceSet stores, and `prepare` turns
those into the inputs of a system, in torch, on whatever device they lie:

image       images (n, 48, 48) uint8              -> (n, 1, 48, 48) float32, zero mean and unit deviation for each face
landmarks   landmarks (n, 68, 2) float32, pixels  -> (n, 136) float32, centred on their mean, over their RMS radius
hog         hog (n, 900) float16                  -> (n, 900) float32
visible     visible (n, 5) float32                -> as it is; not an input of its own, it weighs those above
"""

from __future__ import annotations  # torch is imported by those who have tensors: using an ONNX graph needs none

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mmfer.config import CleanParams, ExtractParams
from mmfer.face.detection import find_faces, predict_landmarks
from mmfer.face.geometry import alignment, warp
from mmfer.face.hog import hog, to_half
from mmfer.face.points import move_landmarks

if TYPE_CHECKING:
    from torch import Tensor

    from mmfer.data.faceset import FaceSet

STORED = ("images", "landmarks", "hog", "visible")
Stored = dict[str, np.ndarray]  # by the names in STORED, as FaceSets store them


def see(faces: np.ndarray, clean: CleanParams, extract: ExtractParams, workers: int) -> tuple[Stored, np.ndarray]:
    """Raw faces (n, 48, 48) uint8 -> what is stored of them, aligned, and whether each was found (n,).

    It is to the bit what the stages clean, augment (copy 0) and extract make of the same images.
    """
    scores, landmarks, visible = find_faces(faces, clean, workers)
    found = ~np.isnan(scores)
    transforms = alignment(landmarks, found, clean)
    return describe(warp(faces, transforms), landmarks, transforms, extract) | {"visible": visible}, found


def describe(images: np.ndarray, landmarks: np.ndarray, transforms: np.ndarray, params: ExtractParams) -> Stored:
    """Images (n, 48, 48) uint8 that `transforms` (n, 2, 3) made of raw ones -> images, landmarks and HOG to store.

    `landmarks` (n, 68, 2) are those of the raw images; they are moved as the images were, and under
    `params.landmarks: predict` fitted again to each image, in the box of the moved ones.
    """
    points = move_landmarks(landmarks, transforms)
    if params.landmarks == "predict":
        points = predict_landmarks(images, np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1))
    described = to_half(hog(images, params))
    return {"images": images, "landmarks": points.astype(np.float32), "hog": described}


def stored_rows(seen: FaceSet, values: FaceSet, rows: np.ndarray | slice) -> Stored:
    """Rows of augmented and features FaceSets: images of the one, the rest of the other."""
    return {name: (seen if name == "images" else values).array(name)[rows] for name in STORED}


def standard_image(images: Tensor) -> Tensor:
    """Grey levels to zero mean, unit deviation for each face, so that light and contrast of the picture drop out."""
    grey = images.float()
    mean, deviation = grey.mean(dim=(1, 2), keepdim=True), grey.std(dim=(1, 2), keepdim=True, correction=0)
    return ((grey - mean) / deviation.clamp(min=1.0))[:, None]  # an even picture stays zero


def landmark_vector(landmarks: Tensor) -> Tensor:
    """Landmarks (N, 68, 2) -> (N, 136): position and size of the face drop out, its turn stays.

    The RMS radius and not the distance of the eyes: that one goes to zero as the head turns.
    """
    centred = landmarks.float() - landmarks.float().mean(dim=1, keepdim=True)
    radius = centred.square().sum(dim=2).mean(dim=1).sqrt().clamp(min=1e-6)
    return (centred / radius[:, None, None]).flatten(1)


_PREPARE: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "image": ("images", standard_image),
    "landmarks": ("landmarks", landmark_vector),
    "hog": ("hog", lambda values: values.float()),
    "visible": ("visible", lambda values: values),
}


def stored_names(inputs: tuple[str, ...]) -> list[str]:
    """The stored arrays that hold these inputs: image -> images."""
    return [_PREPARE[name][0] for name in inputs]


def prepare(stored: dict[str, Tensor], inputs: tuple[str, ...]) -> dict[str, Tensor]:
    """Rows of stored arrays, by their names, -> the inputs, by theirs."""
    return {name: _PREPARE[name][1](stored[_PREPARE[name][0]]) for name in inputs}
