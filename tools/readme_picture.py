"""The pictures of README: three rendered faces, and the same with what the network of the package says of them.

`python tools/readme_picture.py docs/faces.png docs/predict.png`
"""

import sys

import cv2
import numpy as np

from mmfer.data.synthetic.faces import render_face
from mmfer.use.drawing import draw_faces
from mmfer.use.predictor import Predictor

SIDE, GAP, BORDER = 180, 116, 12


def faces_side_by_side() -> np.ndarray:
    """Faces of the seeds 0, 1 and 2 on grey, uint8 (height, width, 3); GAP leaves room for the labels."""
    shown = ("happy", "surprise", "angry")
    canvas = np.full((SIDE + 2 * BORDER, len(shown) * (SIDE + GAP) + BORDER, 3), 128, np.uint8)
    for seed, expression in enumerate(shown):
        left = BORDER + seed * (SIDE + GAP)
        face, _ = render_face(expression, seed, SIDE, frontal=True)
        canvas[BORDER : BORDER + SIDE, left : left + SIDE] = face[..., None]
    return canvas


def main() -> None:
    """Render, predict, draw."""
    plain, drawn = sys.argv[1:]
    canvas = faces_side_by_side()
    (faces,) = Predictor.load().predict([canvas])
    cv2.imwrite(plain, canvas)
    cv2.imwrite(drawn, draw_faces(canvas, faces)[..., ::-1])


if __name__ == "__main__":
    main()
