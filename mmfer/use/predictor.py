"""Faces in photos and what they express: a trained network, and the preparation of faces that it was trained with.

    predictor = Predictor.load()
    for face in predictor.predict(["photo.jpg"])[0]:
        print(face.expression, face.probabilities[face.expression])

Where the model folder has a model.onnx, as that of the package has, onnxruntime answers, for it starts sooner than
torch does; torch is needed for other folders, and to explain.
"""

import copy
import math
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mmfer.config import FACE_PX, CleanParams, ExtractParams, check
from mmfer.data.faceset import params_of
from mmfer.errors import MmferError, absent
from mmfer.face.detection import prepare_detector
from mmfer.face.detectors import DETECTORS
from mmfer.face.hog import hog, to_half
from mmfer.face.photos import Detection, detect
from mmfer.face.prepare import see
from mmfer.face.shape_predictor import load_shape_model
from mmfer.face.visibility import named
from mmfer.training.calibration import class_sets, tempered, terms_of
from mmfer.use.faces import Answers, Faces
from mmfer.use.frames import find_all
from mmfer.use.onnx_model import GRAPH, load_onnx

if TYPE_CHECKING:
    import pandas as pd

    from mmfer.use.photos import Picture

WEIGHTS = Path(__file__).parents[1] / "weights" / "fer2013"
PATCH, STRIDE = 12, 4  # of the square that hides a part of the face, pixels


@dataclass(frozen=True)
class Face:
    """A face of a photo, in pixels of the photo as it is displayed."""

    box: tuple[float, float, float, float]  # x0 y0 x1 y1
    score: float  # of the detector
    landmarks: list[tuple[float, float]]  # 68 points x y, iBUG 300-W order
    expression: str  # the most probable one
    probabilities: dict[str, float]
    image: np.ndarray = field(repr=False, compare=False)  # (48, 48) uint8, what was classified
    candidates: tuple[str, ...] = ()  # the most probable first; () where the model promises nothing
    weak: bool = False  # whether the detector would rather not call it a face
    turned: int = 0  # degrees clockwise by which it lies in the photo: 0, 90, 180 or 270
    visible: dict[str, float] = field(default_factory=dict)  # brows, eyes, nose, mouth, jaw: probability to be seen
    track: int | None = None  # in a video the same for one person's faces, from 1

    @property
    def uncertain(self) -> bool:
        """Whether the true expression may as well be another of the candidates."""
        return len(self.candidates) > 1

    @property
    def pixels(self) -> int:
        """Height of the box in pixels of the photo; the network is given 48."""
        return round(self.box[3] - self.box[1])

    @property
    def hidden(self) -> tuple[str, ...]:
        """The parts that can probably not be seen."""
        return tuple(part for part, probability in self.visible.items() if probability < 0.5)

    def scaled(self, factor: float) -> "Face":
        """The face in a photo that is so many times as large."""
        x0, y0, x1, y1 = (factor * edge for edge in self.box)
        points = [((x + 0.5) * factor - 0.5, (y + 0.5) * factor - 0.5) for x, y in self.landmarks]
        return replace(self, box=(x0, y0, x1, y1), landmarks=points)

    def as_dict(self) -> dict[str, Any]:
        """All but the image, ready for JSON; the track only where there is one."""
        return {
            **({} if self.track is None else {"track": self.track}),
            "box": [round(edge, 1) for edge in self.box],
            "score": round(self.score, 4),
            "weak": self.weak,
            "pixels": self.pixels,
            "turned": self.turned,
            "expression": self.expression,
            "candidates": list(self.candidates),
            "uncertain": self.uncertain,
            "probabilities": {name: round(value, 4) for name, value in self.probabilities.items()},
            "visible": {part: round(value, 4) for part, value in self.visible.items()},
            "landmarks": [[round(x, 1), round(y, 1)] for x, y in self.landmarks],
        }


class Search(NamedTuple):
    """Which faces of a photo are answered."""

    detector: str = "yunet"
    min_score: float | None = None  # None: those that are not weak
    min_pixels: int = 0  # of the height of the box


@dataclass(frozen=True)
class Explanation:
    """Why a face was classified as it was."""

    expression: str
    probabilities: dict[str, float]
    without: dict[str, dict[str, float]]  # probabilities with one modality withheld; empty for ONNX and estimators
    saliency: np.ndarray  # (48, 48) float32 over the aligned face: probability that hiding this part takes away


class Predictor:
    """A trained model with the preparation that its training used; `classes` names the probabilities in order."""

    def __init__(self, model: Any, folder: Path | None = None, workers: int = 2, search: Search = Search()) -> None:
        self.model, self.workers, self.search, self._folder = model, workers, search, folder
        result = model.facts.get("result", {})
        self._terms, self._sets = terms_of(result), result.get("sets")
        made_by = model.facts["made_by"]
        self._extract = check(ExtractParams, params_of(made_by, "extract"), "model.json: extract")
        self._clean = check(CleanParams, params_of(made_by, "clean"), "model.json: clean")

    @classmethod
    def load(
        cls,
        path: Path | str | None = None,
        workers: int = 2,
        min_score: float | None = None,
        detector: str | None = None,
        min_pixels: int = 0,
    ) -> "Predictor":
        """Open the weights of the package, others of it by name (fer2013_wide), a model folder, or an .onnx file.

        `workers` threads look for faces, by `detector` yunet or dlib; without it by yunet, or where its model is
        missing, with a warning, by dlib. Left out are faces of which the detector is less sure than `min_score`, or
        that are weak where it is None, and those of which the box is less than `min_pixels` high. MmferError where a
        file is missing, and for a `min_score` that no face can have.
        """
        path = WEIGHTS if path is None else check_weights(Path(path))
        search = Search(ready_detector(detector), min_score, min_pixels)
        if math.isnan(min_score or 0) or (search.detector == "yunet" and not 0 <= (min_score or 0) <= 1):
            scores = "YuNet's scores run from 0 to 1, dlib's mostly from -1 to 3"
            raise MmferError(f"min score {min_score:g}: {scores}; take one between them")
        if path.suffix.lower() == ".onnx":
            return cls(load_onnx(path), None, workers, search)
        if (path / GRAPH).exists():
            return cls(load_onnx(path / GRAPH), path, workers, search)
        return cls(open_folder(path), None, workers, search)

    @property
    def classes(self) -> list[str]:
        """Expressions in the order of the probabilities."""
        return self.model.classes

    def predict(self, images: Any, bgr: bool = False) -> Answers:
        """Photos, or one -> the faces of each, the surest first; a notebook shows them.

        A photo is a path, the bytes of one, an open file, a PIL image, an array (H, W), (H, W, 1), RGB or RGBA, a
        tensor (C, H, W) or a data URL; arrays and tensors are BGR if `bgr`. mmfer.face.photos says how faces are
        found. MmferError where something is not a photo.
        """
        from mmfer.use.inputs import as_list, as_picture, in_groups

        given = as_list(images)
        pictures = (as_picture(image, f"photo {number}", bgr) for number, image in enumerate(given))
        found = (faces for group in in_groups(pictures) for faces in self._found(group))
        return Answers(Faces(faces, image, bgr) for faces, image in zip(found, given, strict=True))

    def stream(self, images: Any, bgr: bool = False, batch: int = 8) -> Iterator[Faces]:
        """Photos of any number, or one, each as `predict` takes it -> the faces of each, in order, as they are found.

        At most `batch` photos are held, or fewer as soon as they have 24 megapixels. Of one that cannot be read
        `error`, and a warning, says why.
        """
        from mmfer.use.answers import stream

        return stream(self, images, bgr, batch)

    def _found(self, pictures: "list[Picture]") -> list[list[Face]]:
        with ThreadPoolExecutor(self.workers) as pool:
            landmark_model = pool.submit(load_shape_model)  # before the threads, each of which would read it
            prepare_detector(self.search.detector)  # takes as long, the first time
            landmark_model.result()
            found = find_all(pictures, self._detected, pool.map)
        cut = [face.image for faces in found for face in faces]
        if not cut:
            return [[] for _ in pictures]
        stored = self.see(np.stack(cut))
        rows = zip(self._plain(stored), stored["visible"], strict=True)
        answers = [[self._face(face, *next(rows)) for face in faces] for faces in found]
        return [
            [face.scaled(picture.factor) if picture.factor > 1 else face for face in faces]
            for picture, faces in zip(pictures, answers, strict=True)
        ]

    def table(self, images: Any, bgr: bool = False, every: int = 1, smooth: float | None = None) -> "pd.DataFrame":
        """As `predict`, of folders and of every `every`th frame of videos too -> a row a face (mmfer.use.answers).

        `smooth` is the time constant in seconds with which probabilities are averaged along a video's tracks (None:
        mmfer.use.tracks.SMOOTH; 0: not at all). Of files that cannot be read a warning says why; it needs pandas.
        """
        from mmfer.use.answers import table

        return table(self, images, bgr, every, smooth)

    def _detected(self, photo: "Picture", near: list[Detection] | None) -> list[Detection]:
        found = detect(photo.pixels, self.search.detector, self.search.min_score, near)
        return [face for face in found if photo.factor * (face.box[3] - face.box[1]) >= self.search.min_pixels]

    def _face(self, found: Detection, probabilities: np.ndarray, visible: np.ndarray) -> Face:
        classes = self._named(tempered(probabilities[None], **self._terms)[0])
        return Face(
            tuple(found.box.tolist()),
            found.score,
            [(x, y) for x, y in found.landmarks.tolist()],
            max(classes, key=classes.__getitem__),
            classes,
            found.image,
            self._candidates(probabilities),
            found.weak,
            found.turned,
            named(visible),
        )

    def _candidates(self, plain: np.ndarray) -> tuple[str, ...]:
        """Plain probabilities (C,) of a face -> its candidates (mmfer.training.calibration)."""
        if not self._sets:
            return ()
        (chosen,) = class_sets(plain[None], self._sets["least"])
        return tuple(self.classes[k] for k in np.argsort(-plain, kind="stable") if chosen[k])

    def _named(self, probabilities: np.ndarray) -> dict[str, float]:
        return dict(zip(self.classes, probabilities.tolist(), strict=True))

    def predict_faces(self, images: np.ndarray) -> np.ndarray:
        """Faces cut as those of FER2013, uint8 (N, 48, 48) -> probabilities (N, C), at the model's temperature."""
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.shape[1:] != (FACE_PX, FACE_PX):
            raise MmferError(
                f"predict_faces: {images.dtype} {images.shape}, expected uint8 (N, {FACE_PX}, {FACE_PX}); "
                "give photos to `predict`"
            )
        if not len(images):
            return np.empty((0, len(self.classes)), np.float32)
        return self._predict(self.see(images))

    def _predict(self, stored: dict[str, np.ndarray]) -> np.ndarray:
        return tempered(self._plain(stored), **self._terms)

    def _plain(self, stored: dict[str, np.ndarray]) -> np.ndarray:
        """What the model answers, (n, C); MmferError where that is no probabilities, as of weights that are NaN."""
        answers = self.model.predict(stored)
        if not np.isfinite(answers).all():
            raise MmferError("the network answers what is no number: its weights are no good; train it again")
        return answers

    def see(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Faces uint8 (N, 48, 48) -> to the bit what the stages store of them (mmfer.face.prepare.STORED)."""
        return see(images, self._clean, self._extract, self.workers)[0]

    def explain(self, face: Face | np.ndarray) -> Explanation:
        """What carried the decision on one face: a Face that `predict` found, or an image (48, 48) uint8."""
        image = face.image if isinstance(face, Face) else face
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != (FACE_PX, FACE_PX):
            given = type(image).__name__ + (f" of {image.dtype} {image.shape}" if hasattr(image, "shape") else "")
            raise MmferError(
                f"explain: {given}; give one face that `predict` found, or its image, uint8 ({FACE_PX}, {FACE_PX})"
            )
        seen = self.see(image[None])
        probabilities = self._predict(seen)[0]
        chosen = int(probabilities.argmax())
        return Explanation(
            self.classes[chosen],
            self._named(probabilities),
            {name: self._named(row) for name, row in self._withheld(seen).items()},
            self._saliency(seen, chosen, probabilities[chosen]),
        )

    def _withheld(self, seen: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        rows = withheld(self._whole_model, seen)
        return {name: tempered(row[None], **self._terms)[0] for name, row in rows.items()}

    @cached_property
    def _whole_model(self) -> Any:
        """The model with its parts, which an ONNX graph does not separate."""
        return open_folder(self._folder) if self._folder else self.model

    def _saliency(self, seen: dict[str, np.ndarray], chosen: int, plain: float) -> np.ndarray:
        """Occlusion (Zeiler and Fergus, 2014): a square of the face's mean grey slides over it.

        Landmarks and visibility stay: what landmarks carry, `without` shows.
        """
        image = seen["images"][0]
        corners = [(y, x) for y in range(0, FACE_PX - PATCH + 1, STRIDE) for x in range(0, FACE_PX - PATCH + 1, STRIDE)]
        hidden = np.repeat(image[None], len(corners), axis=0)
        for view, (y, x) in zip(hidden, corners, strict=True):
            view[y : y + PATCH, x : x + PATCH] = round(float(image.mean()))
        stored = {name: np.repeat(seen[name], len(corners), axis=0) for name in ("landmarks", "visible")}
        stored |= {"images": hidden, "hog": to_half(hog(hidden, self._extract))}
        drops = plain - self._predict(stored)[:, chosen]
        total, count = np.zeros((2, FACE_PX, FACE_PX), np.float32)
        for drop, (y, x) in zip(drops, corners, strict=True):
            total[y : y + PATCH, x : x + PATCH] += drop
            count[y : y + PATCH, x : x + PATCH] += 1
        return total / count


def check_weights(path: Path) -> Path:
    """A path, if it may be a model folder or an .onnx file, or the folder of the package's network of that name.

    MmferError says which one is meant.
    """
    if path == Path(path.name) and not path.exists() and (WEIGHTS.parent / path / "model.json").is_file():
        return WEIGHTS.parent / path
    model = "name the folder of a trained network, which holds model.json, an .onnx file, or fer2013_wide"
    if path.suffix.lower() == ".onnx" or any((path / name).is_file() for name in ("model.json", GRAPH)):
        return path
    if not path.exists():
        raise MmferError(f"{path}: no such folder or file; {model}")
    if path.is_file():
        beside = f"name its folder, {path.parent}" if (path.parent / "model.json").is_file() else model
        raise MmferError(f"{path}: neither a model folder nor an .onnx file; {beside}")
    within = sorted(file.parent for pattern in ("*", "*/*") for file in path.glob(f"{pattern}/model.json"))
    if within:
        raise MmferError(f"{path}: a folder of models ({len(within)}); name one of them, such as {within[0]}")
    raise MmferError(f"{path}: no model.json there; {model}")


def open_folder(folder: Path) -> Any:
    """The torch network or estimator of a model folder."""
    try:
        from mmfer.training.models import load_model
    except ModuleNotFoundError as error:
        raise MmferError(f"{folder}: {absent(error.name or 'torch')}, or name a network exported as .onnx") from None
    return load_model(folder)


def withheld(model: Any, stored: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Probabilities (C,) of one face with the vector of each branch withheld in turn, as in training: set to zero.

    Empty where the branches cannot be separated: ONNX files, estimators, networks of one branch.
    """
    if len(getattr(getattr(model, "system", None), "branches", None) or ()) < 2:
        return {}
    model = copy.deepcopy(model)  # another thread may predict with it
    rows = {}
    for name, branch in model.system.branches.items():
        hook = branch.register_forward_hook(lambda module, inputs, vector: vector * 0)
        try:
            rows[name] = model.predict(stored)[0]
        finally:
            hook.remove()
    return rows


def ready_detector(name: str | None) -> str:
    """A detector whose files are there; of None yunet, or with a warning dlib. MmferError where a named one is not."""
    if name not in (None, *DETECTORS):
        raise MmferError(f"detector: {name!r} is not known; take one of {', '.join(DETECTORS)}")
    try:
        prepare_detector(name or "yunet")
    except MmferError as error:
        if name:
            raise
        warnings.warn(f"{error}; dlib's detector is used, which misses small and turned faces", stacklevel=3)
        return "dlib"
    return name or "yunet"
