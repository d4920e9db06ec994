"""System geometry: landmarks alone, as shapes or as five points (paper's [3]: Lanitis, Taylor and Cootes, 1997).

Our reconstruction. The source has one statistical model of shape and grey levels; the grey levels are left out, for
they need the face warped to the mean shape, and the landmarks that systems read have lost their place in the image.
"""

from itertools import combinations
from typing import Literal

import numpy as np
from pydantic import Field

from mmfer.config import Block
from mmfer.face.points import LEFT_EYE, LEFT_MOUTH_CORNER, NOSE_TIP, RIGHT_EYE, RIGHT_MOUTH_CORNER
from mmfer.systems import register
from mmfer.systems.estimators import EstimatorSystem

TOLERANCE = 1e-6  # of the mean shape, in RMS radii of a face
# Ends of the segments between right eye, left eye, nose tip and corners of the mouth, without that of the eyes.
STARTS, ENDS = np.array(list(combinations(range(5), 2))[1:]).T


class GeometryParams(Block):
    """Our reconstruction; the paper says only 'the relative position' and 'five official landmarks'."""

    shape: Literal["pdm68", "geo5"] = Field("pdm68", description="principal components of 68 points, or 5 points")
    variance: float = Field(0.98, gt=0, lt=1, description="share that the principal components of pdm68 keep")
    classifier: Literal["lda", "svc"] = "lda"
    c: float = Field(10.0, gt=0, description="of svc")
    copies: int = Field(1, ge=1, description="copies of each training face that it sees")


@register("geometry", params=GeometryParams)
class Geometry(EstimatorSystem):
    """Position, size and turn of the face drop out; a linear discriminant or an RBF SVM gets the rest.

    New shapes are turned onto the mean shape of training, which the PCA of the pipeline keeps anyway.
    """

    def __init__(self, params: GeometryParams, n_classes: int, hog_length: int = 900) -> None:
        from sklearn.decomposition import PCA
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC

        first = {"pdm68": PCA(params.variance), "geo5": StandardScaler()}
        last = {
            "lda": LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
            "svc": SVC(C=params.c, gamma="scale", cache_size=500),
        }
        estimator = make_pipeline(first[params.shape], last[params.classifier])
        super().__init__(estimator, ("landmarks",), params.copies, n_classes)
        self.shape = params.shape

    def fit(self, inputs: dict[str, np.ndarray], labels: np.ndarray) -> None:
        """Fit on landmarks (n, 136); those of pdm68 are turned onto their own mean."""
        prepare = {"pdm68": procrustes, "geo5": five_points}[self.shape]
        self.estimator.fit(prepare(inputs["landmarks"]), labels)

    def values(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Landmarks (n, 136) -> turned onto the mean shape of training, (n, 136), or (n, 27) of five points."""
        shapes = inputs["landmarks"]
        return five_points(shapes) if self.shape == "geo5" else turned(shapes, self.estimator["pca"].mean_)


def procrustes(shapes: np.ndarray) -> np.ndarray:
    """Generalised Procrustes analysis: shapes (n, 136), centred and of unit size, all turned onto their mean.

    Each round lessens the sum of squares around the mean, so the mean comes to rest.
    """
    mean = shapes.mean(axis=0)
    while True:
        aligned = turned(shapes, mean)
        former, mean = mean, aligned.mean(axis=0)
        if np.abs(mean - former).max() < TOLERANCE:
            return aligned


def turned(shapes: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Shapes (n, 136), each turned onto the mean (136,) by the rotation that brings it nearest, never by a reflection.

    In the plane the rotation that the singular value decomposition finds is the angle of a complex product.
    """
    points = _plane(shapes)
    angle = np.angle(points.conj() @ _plane(mean))
    return (points * np.exp(1j * angle)[:, None]).view(np.float64)


def five_points(shapes: np.ndarray) -> np.ndarray:
    """Shapes (n, 136) -> (n, 27): length, sine and cosine of the segments, with the eyes level and one apart."""
    points = _plane(shapes)
    right, left = points[:, RIGHT_EYE].mean(axis=1), points[:, LEFT_EYE].mean(axis=1)
    others = points[:, [NOSE_TIP, RIGHT_MOUTH_CORNER, LEFT_MOUTH_CORNER]]
    five = np.stack([right, left, *others.T], axis=1) / (left - right)[:, None]
    segments = five[:, ENDS] - five[:, STARTS]
    angles = np.angle(segments)
    return np.concatenate([np.abs(segments), np.sin(angles), np.cos(angles)], axis=1)


def _plane(shapes: np.ndarray) -> np.ndarray:
    """Shapes (..., 136) as x0, y0, x1, y1 ... -> (..., 68) complex, x + iy."""
    return np.array(shapes, np.float64, order="C").view(np.complex128)
