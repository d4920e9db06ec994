"""A face as the predictor would find it in a photo; photos and videos, and files of them; a camera."""

import io
import threading
import time

import cv2
import numpy as np
from PIL import Image

from mmfer.face.points import EYES, MOUTH
from mmfer.use.predictor import Face

CLASSES = ["happy", "sad"]


def made_face(left=40.0, happy=0.9, score=0.5, top=30.0):
    """A face of 80 x 80 px whose mouth and eyes lie where they should."""
    spots = np.random.default_rng(0).uniform(0, 1, (68, 2))
    spots[MOUTH] = spots[MOUTH] * [30, 12] + [25, 55]
    spots[EYES] = spots[EYES] * [50, 8] + [15, 22]
    points = [(left + x, top + y) for x, y in spots.tolist()]
    named = dict(zip(CLASSES, (happy, 1 - happy), strict=True))
    image = np.full((48, 48), 100, np.uint8)
    return Face((left, top, left + 80, top + 80), score, points, max(named, key=named.get), named, image)


def large(face, side):
    """A face (48, 48) enlarged."""
    return cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)


def scene(faces, height=480, width=640):
    """A grey photo (height, width, 3) with faces pasted: (face, left, top, side)."""
    canvas = np.full((height, width, 3), 150, np.uint8)
    for face, left, top, side in faces:
        canvas[top : top + side, left : left + side] = large(face, side)[..., None]
    return canvas


def encode(image, kind="PNG", **options):
    """A Pillow image or array -> bytes of a file."""
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def write_video(path, frames, rate=10.0, code="mp4v"):
    height, width = frames[0].shape[:2]
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), rate, (width, height))
    for frame in frames:
        video.write(frame[..., ::-1])
    video.release()


class Camera:
    """So many frames, one in 5 ms, each of the grey level that is its number; then `end` happens."""

    def __init__(self, frames=10**9, end=lambda: False):
        self.count, self.frames, self.end, self.released = 0, frames, end, threading.Event()

    def isOpened(self):
        return True

    def get(self, key):
        return 0.0

    def grab(self):
        if self.count == self.frames:
            return self.end()
        time.sleep(0.005)
        self.count += 1
        return True

    def retrieve(self):
        return True, np.full((8, 8, 3), self.count - 1, np.uint8)

    def release(self):
        self.released.set()
