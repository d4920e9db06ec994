"""Pictures of any number with the faces in each, and these faces as rows of a table."""

import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mmfer.errors import MmferError, require
from mmfer.face.points import PARTS
from mmfer.files import as_utf8
from mmfer.use.faces import Faces, path_alone
from mmfer.use.inputs import as_list, as_picture, in_groups, is_one, read_ahead
from mmfer.use.media import Fault, read_media
from mmfer.use.photos import Picture
from mmfer.use.predictor import Face, Predictor
from mmfer.use.tracks import SMOOTH, follow

if TYPE_CHECKING:
    import pandas as pd

BATCH = 8  # pictures held at once


def answers(
    items: Iterable[Picture | Fault], predictor: Predictor, batch: int = BATCH, ahead: bool = False
) -> Iterator[tuple[Picture | Fault, list[Face]]]:
    """Each item with its faces, in order; at most `batch` pictures are held and go through the network together.

    With `ahead` a thread reads the next ones meanwhile, so that twice as many are held.
    """
    groups = in_groups(items, batch)
    for held in read_ahead(groups) if ahead else groups:
        found = iter(predictor.predict([item for item in held if isinstance(item, Picture)]))
        yield from ((item, next(found) if isinstance(item, Picture) else []) for item in held)


def stream(predictor: Predictor, images: Any, bgr: bool, batch: int) -> Iterator[Faces]:
    """The faces of each photo, as they are found; what cannot be read is a warning, and the `error` of its faces."""
    paths: deque[str | None] = deque()

    def pictures() -> Iterator[Picture | Fault]:
        for number, image in enumerate([images] if is_one(images) else images):
            name = f"photo {number}"
            paths.append(path_alone(image))
            try:
                yield as_picture(image, name, bgr)
            except MmferError as error:
                yield Fault(name, str(error))

    for item, faces in answers(pictures(), predictor, batch):
        error = item.message if isinstance(item, Fault) else None
        if error:
            warnings.warn(error, stacklevel=2)
        yield Faces(faces, paths.popleft(), bgr, error)


def columns(classes: list[str]) -> list[str]:
    """Names of the cells of a face."""
    place = ["file", "frame", "seconds", "track", "x0", "y0", "x1", "y1", "score", "weak"]
    return [*place, "expression", *classes, "candidates", *(f"visible_{part}" for part in PARTS)]


def cells(picture: Picture, face: Face) -> list[Any]:
    """A face as a row of a table with `columns`; in a photo frame, seconds and track are None."""
    row = face.as_dict()
    place = [picture.source, picture.frame, picture.seconds, face.track, *row["box"], row["score"], face.weak]
    seen = [row["visible"].get(part) for part in PARTS]
    return [*place, row["expression"], *row["probabilities"].values(), " ".join(face.candidates), *seen]


def table(
    predictor: Predictor, images: Any, bgr: bool = False, every: int = 1, smooth: float | None = None
) -> "pd.DataFrame":
    """A row for each face in photos of any kind, folders and videos; what cannot be read of these is a warning."""
    require("pandas")
    import pandas as pd

    rows = []
    found = answers(_pictures(as_list(images), bgr, every), predictor)
    for item, faces in follow(found, SMOOTH if smooth is None else smooth):
        if isinstance(item, Fault):
            warnings.warn(item.message, stacklevel=3)
        else:
            named = replace(item, source=as_utf8(item.source))  # text of pandas is UTF-8
            rows += [cells(named, face) for face in faces]
    made = pd.DataFrame(rows, columns=columns(predictor.classes))
    return made.astype({"frame": "Int64", "track": "Int64", "seconds": "float64", "weak": bool})


def _pictures(images: list[Any], bgr: bool, every: int) -> Iterator[Picture | Fault]:
    for number, image in enumerate(images):
        path = path_alone(image)
        if path is not None:
            yield from read_media([path], every=every)
        else:
            yield as_picture(image, f"photo {number}", bgr)
