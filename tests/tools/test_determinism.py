"""The table of trainings in other surroundings says what is equal, and how far apart the rest is."""

import numpy as np

from tools.determinism import Made, row

ONE = Made(
    {"data": "a", "network": "b", "svm": "c"},
    np.array([3.0, 4.0]),
    {"network": np.array([[0.9, 0.1], [0.4, 0.6]]), "svm": np.array([[0.5, 0.5], [1.0, 0.0]])},
)


def test_equal_bytes_are_equal():
    assert row("again", ONE, ONE) == ["again", "equal", "equal", "equal"]


def test_what_is_not_equal_is_measured():
    answers = {"network": np.array([[0.4, 0.6], [0.4, 0.6]]), "svm": np.array([[0.49, 0.51], [1.0, 0.0]])}
    other = Made({"data": "x", "network": "y", "svm": "z"}, np.array([3.0, 4.5]), answers)
    name, data, network, svm = row("2 threads", ONE, other)
    assert (name, data) == ("2 threads", "other")
    assert network == "weights 1.0e-01 apart, probabilities to 5.0e-01, 1 of 2 faces another class"
    assert svm == "probabilities to 1.0e-02, 1 of 2 faces another class"
