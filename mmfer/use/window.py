"""A window with the marked faces of the newest picture. Tk draws it, for the OpenCV that mmfer brings has none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import cv2
import numpy as np

from mmfer.errors import MmferError
from mmfer.use.drawing import draw_faces
from mmfer.use.photos import Picture
from mmfer.use.predictor import Face

SIDE = 960  # longest side of what is shown, pixels
Show = Callable[[Picture, list[Face]], bool]


@contextmanager
def window() -> Iterator[Show]:
    """A function that shows a picture with its faces; False where the window was closed, or q or Escape pressed.

    MmferError where there is no display.
    """
    try:
        import tkinter
    except ModuleNotFoundError:
        raise MmferError("--show: this Python has no tkinter; install python3-tk, or leave out --show") from None
    try:
        root = tkinter.Tk(className="mmfer")
    except tkinter.TclError as error:
        raise MmferError(f"--show: there is no window to open ({error}); leave out --show, or try --draw") from None
    label = tkinter.Label(root)
    label.pack()
    closed: list[bool] = []
    shown: list[tkinter.PhotoImage] = []
    root.protocol("WM_DELETE_WINDOW", lambda: closed.append(True))
    for key in ("q", "<Escape>"):
        root.bind(key, lambda event: closed.append(True))

    def show(picture: Picture, faces: list[Face]) -> bool:
        shown[:] = [tkinter.PhotoImage(data=as_ppm(scaled_copy(picture, faces)))]  # Tk itself keeps none
        label.configure(image=shown[0])
        root.title(f"{picture.source}: {len(faces)} face{'' if len(faces) == 1 else 's'}")
        root.update()
        return not closed

    try:
        yield show
    finally:
        with suppress(tkinter.TclError):
            root.destroy()


def scaled_copy(picture: Picture, faces: list[Face]) -> np.ndarray:
    """The marked picture (H, W, 3), its longest side at most SIDE."""
    drawn = draw_faces(picture.pixels, [face.scaled(1 / picture.factor) for face in faces])
    factor = min(SIDE / max(drawn.shape), 1)
    return cv2.resize(drawn, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) if factor < 1 else drawn


def as_ppm(pixels: np.ndarray) -> bytes:
    """Pixels (H, W, 3) uint8 in the format that Tk reads at once."""
    height, width = pixels.shape[:2]
    return f"P6 {width} {height} 255 ".encode() + pixels.tobytes()
