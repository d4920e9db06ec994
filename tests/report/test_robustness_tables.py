"""The tables of perturbed faces against hand-made figures."""

import pandas as pd
import pytest

from mmfer.report.robustness_tables import corruption_errors


def test_corruption_errors_are_means_over_severities():
    accuracy = pd.Series({"clean": 1.0, "fog 1": 0.9, "fog 5": 0.5, "snow 1": 0.4, "mouth hidden": 0.0})
    assert corruption_errors(accuracy) == pytest.approx({"fog": 0.3, "snow": 0.6})
