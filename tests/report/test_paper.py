"""The paper's tables as they are typed here."""

import numpy as np
import pytest

from mmfer.report.paper import CLAIMS


def test_the_papers_means_are_those_of_its_classes():
    for claims in CLAIMS.values():
        for column in claims.values():
            classes = [v for name, v in column.items() if name not in ("overall", "mean of classes")]
            assert np.mean(classes) == pytest.approx(column["mean of classes"], abs=0.011)
