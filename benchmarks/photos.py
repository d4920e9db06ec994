"""Faces of FER2013 given as photos: enlarged four times, nothing said of where the face is; prints JSON.

`python benchmarks/photos.py fer2013.zip [val|test] [images] [yunet|dlib]`: of the tenth of Training that validates,
which no shipped network was trained on, or of PublicTest. Bounds and frames were chosen on the former alone.
"""

import json
import sys

import cv2
import numpy as np

from mmfer.config import Fer2013Source
from mmfer.data.sources.fer2013 import read_fer2013
from mmfer.use.predictor import Predictor


def main() -> None:
    """Predict a sample as faces and as photos."""
    index, images, classes = read_fer2013(Fer2013Source(path=sys.argv[1]), 1)
    split, wanted, detector = (*sys.argv[2:5], *("val", 600, "yunet")[len(sys.argv) - 2 :])
    rows = np.flatnonzero(index["split"] == split)
    count = min(int(wanted), len(rows))
    rows = np.sort(np.random.default_rng(1).choice(rows, count, replace=False))
    faces, labels = images[rows], index["label"].to_numpy()[rows]
    predictor = Predictor.load(detector=detector)
    photos = [cv2.resize(face, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC) for face in faces]
    found = predictor.predict(photos)
    best = [some[0] if some else None for some in found]
    right = [face is not None and face.expression == classes[label] for face, label in zip(best, labels, strict=True)]
    result = {
        "detector": detector,
        "images": count,
        "found": float(np.mean([face is not None for face in best])),
        "more_than_one": float(np.mean([len(some) > 1 for some in found])),
        "accuracy_misses_are_errors": float(np.mean(right)),
        "accuracy_given_as_faces": float((predictor.predict_faces(faces).argmax(axis=1) == labels).mean()),
    }
    print(json.dumps({key: value if isinstance(value, str) else round(value, 4) for key, value in result.items()}))


if __name__ == "__main__":
    main()
