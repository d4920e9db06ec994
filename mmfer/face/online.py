"""Copies drawn where and when networks are trained on them (augment.mode: online), with their landmarks and HOG.

On a CPU they come from the kernels of the stages augment and extract, so that copy for copy they are the stored ones to
the bit. On other devices the same is done for a whole batch in torch: images within one grey level, landmarks within
0.001 pixels, HOG of an image within 1e-5 of scikit-image's, without the rounding to float16.
"""

import functools
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from mmfer.config import FACE_PX, AugmentParams, ExtractParams
from mmfer.face.augment import draw
from mmfer.face.geometry import invert, warp_faces
from mmfer.face.hog import gradient_bins
from mmfer.face.points import MIRROR
from mmfer.face.prepare import Stored, describe

EPSILON = 1e-10  # in the norm of a HOG block, as in mmfer.face.hog


def copies_on_cpu(
    faces: dict[str, Tensor],
    parents: Tensor,
    copies: Tensor,
    augment: AugmentParams,
    extract: ExtractParams,
    key: int,
) -> dict[str, Tensor]:
    """One copy of each raw face: images (n, 48, 48) uint8, landmarks (n, 68, 2), hog (n, 900) float16.

    `faces`: raw images (n, 48, 48) uint8, their landmarks, and the transforms (n, 2, 3) that align them. `parents` and
    `copies` (n,) int64: which face of the data set each is, and the number of its copy; with `key` they make the draws.
    As many threads as torch has share the work.
    """
    images, landmarks = faces["images"].numpy(), faces["landmarks"].numpy()
    drawn = [part.numpy() for part in draw(parents, copies, faces["transforms"], augment, key)]

    def work(part: slice) -> Stored:
        transforms, tones, boxes = (values[part] for values in drawn)
        made = np.empty(images[part].shape, np.uint8)
        warp_faces(images[part], np.arange(len(made)), invert(transforms), tones, boxes, made)
        return describe(made, landmarks[part], transforms, extract)

    edges = np.linspace(0, len(images), torch.get_num_threads() + 1).astype(int)
    parts = [slice(a, b) for a, b in pairwise(edges) if b > a]
    made = list(_pool().map(work, parts)) if len(parts) > 1 else [work(parts[0])]
    return {name: torch.from_numpy(np.concatenate([part[name] for part in made])) for name in made[0]}


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor()


def copies_on_device(
    faces: dict[str, Tensor],
    parents: Tensor,
    copies: Tensor,
    augment: AugmentParams,
    extract: ExtractParams,
    key: int,
    tables: tuple[Tensor, Tensor],
) -> dict[str, Tensor]:
    """`copies_on_cpu` in torch alone, on any device, with the `tables_for` it; HOG is float32.

    Landmarks are always moved with the face: dlib, which could find them anew, does not run there.
    """
    bins, mirror = tables
    transforms, tones, boxes = draw(parents, copies, faces["transforms"], augment, key)
    images = warp(faces["images"], transforms, tones, boxes)
    landmarks = move_landmarks(faces["landmarks"], transforms, mirror)
    return {"images": images, "landmarks": landmarks, "hog": hog(images, extract, bins)}


def tables_for(extract: ExtractParams, device: str) -> tuple[Tensor, Tensor]:
    """The bin of each gradient, and the points of a mirrored face, on the device."""
    return torch.from_numpy(gradient_bins(extract.orientations)).to(device), torch.from_numpy(MIRROR).to(device)


def warp(faces: Tensor, transforms: Tensor, tones: Tensor, boxes: Tensor) -> Tensor:
    """Faces (n, 48, 48) uint8 -> (n, 48, 48) uint8: geometry.warp_faces, each face with its own transform (n, 2, 3)."""
    places = torch.arange(FACE_PX, device=faces.device, dtype=torch.float32)
    a, b, x, c, d, y = (transforms[:, i, j, None, None] for i in range(2) for j in range(3))
    u, v = places[None, None, :] - x, places[None, :, None] - y
    det = a * d - b * c
    grid = torch.stack([(d * u - b * v) / det, (a * v - c * u) / det], dim=3) * (2 / (FACE_PX - 1)) - 1
    options = {"mode": "bilinear", "padding_mode": "border", "align_corners": True}
    seen = nn.functional.grid_sample(faces[:, None].float(), grid, **options)[:, 0]
    grey = (tones[:, 0, None, None] * seen + tones[:, 1, None, None] + 0.5).clamp(0, 255)
    x0, y0, x1, y1, paint = (boxes[:, k, None, None] for k in range(5))
    across, down = places[None, None, :], places[None, :, None]
    erased = (across >= x0) & (across < x1) & (down >= y0) & (down < y1)
    return torch.where(erased, paint, grey.to(torch.int16)).to(torch.uint8)


def move_landmarks(landmarks: Tensor, transforms: Tensor, mirror: Tensor) -> Tensor:
    """points.move_landmarks: landmarks (n, 68, 2) under transforms (n, 2, 3), left and right swapped by a mirror."""
    moved = landmarks @ transforms[:, :, :2].transpose(1, 2) + transforms[:, None, :, 2]
    mirrored = transforms[:, 0, 0] * transforms[:, 1, 1] < transforms[:, 0, 1] * transforms[:, 1, 0]
    return torch.where(mirrored[:, None, None], moved[:, mirror], moved)


def hog(images: Tensor, params: ExtractParams, bins: Tensor) -> Tensor:
    """Images (n, 48, 48) uint8 -> HOG (n, hog_length) float32, as mmfer.face.hog."""
    grey, n = images.int(), len(images)
    # As in scikit-image: no gradient across the border.
    dy, dx = (
        nn.functional.pad(step, pad)
        for step, pad in (
            (grey[:, 2:] - grey[:, :-2], (0, 0, 1, 1)),
            (grey[:, :, 2:] - grey[:, :, :-2], (1, 1)),
        )
    )
    bin_of = bins[(dy + 255) * 511 + dx + 255]
    magnitudes = (dy * dy + dx * dx).float().sqrt()
    names = torch.arange(params.orientations, device=images.device)[:, None, None]
    maps = torch.where(bin_of[:, None] == names, magnitudes[:, None], 0.0)
    cells = nn.functional.avg_pool2d(maps, params.cell_px)  # (n, orientations, cells, cells)
    block = params.block_cells
    values = cells.unfold(2, block, 1).unfold(3, block, 1).permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2)
    values = (values * _scale(values)).clamp(max=0.2)  # L2-Hys
    return (values * _scale(values)).reshape(n, -1)


def _scale(values: Tensor) -> Tensor:
    return (values.square().sum(dim=-1, keepdim=True) + EPSILON).rsqrt()
