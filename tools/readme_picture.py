"""The picture of README: rendered faces of seeds 0, 1, 2, whatever the network of the package says of them.

`python tools/readme_picture.py docs/predict.png`
"""

import sys

import cv2
import numpy as np

from mmfer.data.synthetic.faces import render_face
from mmfer.use.drawing import draw_faces
from mmfer.use.predictor import Predictor

SIDE, GAP, BORDER = 280, 150, 20


def main() -> None:
    """Render, predict, draw."""
    shown = ("happy", "surprise", "angry")
    canvas = np.full((SIDE + 2 * BORDER, len(shown) * (SIDE + GAP) + BORDER, 3), 128, np.uint8)
    for seed, expression in enumerate(shown):
        left = BORDER + seed * (SIDE + GAP)
        face, _ = render_face(expression, seed, SIDE, frontal=True)
        canvas[BORDER : BORDER + SIDE, left : left + SIDE] = face[..., None]
    (faces,) = Predictor.load().predict([canvas])
    cv2.imwrite(sys.argv[1], draw_faces(canvas, faces)[..., ::-1])


if __name__ == "__main__":
    main()
