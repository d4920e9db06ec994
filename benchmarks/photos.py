"""Faces of FER2013 given as photos: enlarged four times, nothing said of where the face is; prints JSON.

`python benchmarks/photos.py fer2013.zip [val|test] [images] [yunet|dlib] [--weights fer2013_wide]`: of the tenth of
Training that validates, which no shipped network was trained on, or of PublicTest. Bounds and frames were chosen on the
former alone.
"""

import argparse
import json

import cv2
import numpy as np

from mmfer.config import Fer2013Source
from mmfer.data.sources.fer2013 import read_fer2013
from mmfer.face.detectors import DETECTORS
from mmfer.use.predictor import Predictor


def main() -> None:
    """Predict a sample as faces and as photos."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fer2013", help="fer2013.zip")
    parser.add_argument("split", nargs="?", choices=["val", "test"], default="val")
    parser.add_argument("images", nargs="?", type=int, default=600)
    parser.add_argument("detector", nargs="?", choices=list(DETECTORS), default="yunet")
    parser.add_argument("--weights", help="those of another network than the package takes by itself")
    given = parser.parse_args()
    index, images, classes = read_fer2013(Fer2013Source(path=given.fer2013), 1)
    rows = np.flatnonzero(index["split"] == given.split)
    count = min(given.images, len(rows))
    rows = np.sort(np.random.default_rng(1).choice(rows, count, replace=False))
    faces, labels = images[rows], index["label"].to_numpy()[rows]
    predictor = Predictor.load(given.weights, detector=given.detector)
    photos = [cv2.resize(face, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC) for face in faces]
    found = predictor.predict(photos)
    best = [some[0] if some else None for some in found]
    right = [face is not None and face.expression == classes[label] for face, label in zip(best, labels, strict=True)]
    result = {
        "detector": given.detector,
        "weights": given.weights or "fer2013",
        "images": count,
        "found": float(np.mean([face is not None for face in best])),
        "more_than_one": float(np.mean([len(some) > 1 for some in found])),
        "accuracy_misses_are_errors": float(np.mean(right)),
        "accuracy_given_as_faces": float((predictor.predict_faces(faces).argmax(axis=1) == labels).mean()),
    }
    print(json.dumps({key: value if isinstance(value, str) else round(value, 4) for key, value in result.items()}))


if __name__ == "__main__":
    main()
