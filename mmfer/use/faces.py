"""The faces of one photo as a list, which a notebook shows as the photo with their boxes and bars."""

import base64
import os
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any

from mmfer.errors import MmferError

if TYPE_CHECKING:
    from mmfer.use.predictor import Face

SHOWN_PX = 960  # longest side of a photo in a notebook


class Faces(list["Face"]):
    """The faces of a photo, the surest first; `photo` is what was given, and `error` says why it could not be read.

    Pickled, and from `Predictor.stream`, they remember a photo by its path alone, and no pixels.
    """

    def __init__(
        self, faces: Iterable["Face"] = (), photo: Any = None, bgr: bool = False, error: str | None = None
    ) -> None:
        super().__init__(faces)
        self.photo, self.bgr, self.error = photo, bgr, error

    def __reduce__(self) -> tuple[Any, ...]:
        return Faces, (list(self), path_alone(self.photo), self.bgr, self.error)

    def _repr_html_(self) -> str | None:
        """The photo as a JPEG within an <img>, or why it cannot be read; nothing where it is not remembered."""
        if self.photo is None and not self.error:
            return None
        try:
            if self.error:
                raise MmferError(self.error)
            picture = base64.b64encode(self._drawn()).decode()
        except MmferError as error:  # now, or since then: a file that is gone
            return f"<p>{escape(str(error))}</p>"
        said = ", ".join(
            f"{'weak: ' if face.weak else ''}{face.expression} {face.probabilities[face.expression]:.0%}"
            for face in self
        )
        return f'<img src="data:image/jpeg;base64,{picture}" alt="{escape(said) or "no face found"}">'

    def _drawn(self) -> bytes:
        """The photo with its faces as a JPEG file, at most SHOWN_PX long."""
        import cv2

        from mmfer.use.drawing import draw_faces
        from mmfer.use.inputs import as_picture

        picture = as_picture(self.photo, "photo", self.bgr)
        height, width = picture.pixels.shape[:2]
        factor = min(SHOWN_PX / max(height, width), 1)
        size = max(round(factor * width), 1), max(round(factor * height), 1)
        shown = cv2.resize(picture.pixels, size, interpolation=cv2.INTER_AREA)
        drawn = draw_faces(shown, [face.scaled(factor / picture.factor) for face in self])
        return cv2.imencode(".jpg", drawn[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


class Answers(list[Faces]):
    """The faces of each of several photos; a notebook shows the photos one below the other."""

    def _repr_html_(self) -> str | None:
        shown = [html for faces in self if (html := faces._repr_html_())]
        return "\n".join(shown) or None


def path_alone(photo: Any) -> str | None:
    """The path of a photo that was given as one; None of any other."""
    is_path = isinstance(photo, str | os.PathLike) and str(photo)[:5].lower() != "data:"
    return os.fsdecode(photo) if is_path else None
