"""The tables of perturbed faces against hand-made figures; and the means of the paper's tables."""

import numpy as np
import pandas as pd
import pytest

from mmfer.data.faceset import FaceSet
from mmfer.report.paper import CLAIMS
from mmfer.report.tables import corruption_errors, figure_7_faces


def test_the_papers_means_are_those_of_its_classes():
    for claims in CLAIMS.values():
        for column in claims.values():
            classes = [v for name, v in column.items() if name not in ("overall", "mean of classes")]
            assert np.mean(classes) == pytest.approx(column["mean of classes"], abs=0.011)


def test_corruption_errors_are_means_over_severities():
    accuracy = pd.Series({"clean": 1.0, "fog 1": 0.9, "fog 5": 0.5, "snow 1": 0.4, "mouth hidden": 0.0})
    assert corruption_errors(accuracy) == pytest.approx({"fog": 0.3, "snow": 0.6})


def test_the_four_faces_are_found_ones_of_four_classes_and_do_not_depend_on_results(tmp_path):
    label = np.arange(30) % 7
    index = pd.DataFrame({"condition": np.repeat(["clean", "fog 1"], 30), "label": np.tile(label, 2), "found": True})
    index.loc[:29, "found"] = np.arange(30) % 2 == 0
    faces = FaceSet(tmp_path, "d", list("abcdefg"), index)
    rows = figure_7_faces(faces, 0)
    assert len(set(label[rows])) == 4
    assert (rows % 2 == 0).all()
    assert (rows == figure_7_faces(faces, 0)).all()
