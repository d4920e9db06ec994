"""The range coder: numbers come back, and what is likely takes few bits, as Shannon's entropy says."""

import numba
import numpy as np
import pytest

from mmfer.data import coder


@numba.njit
def put(values, made):
    for value in values:
        coder.number(value, 0, made)


@numba.njit
def get(count, made):
    return np.array([coder.number(0, 0, made) for _ in range(count)])


def written(values):
    writer = coder.Writer(1)
    with writer.coder(60 * len(values)) as made:
        put(values, made)
    return writer.code()


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_rare_numbers_come_back_and_frequent_ones_take_few_bits(rng, share):
    values = np.where(rng.random(20_000) < share, rng.integers(-4, 5, 20_000), 0)
    code = written(values)
    reader = coder.Reader(1, code)
    assert np.array_equal(get(len(values), reader.coder), values)
    assert not reader.ended
    p = np.unique(values, return_counts=True)[1] / len(values)
    entropy = -(p * np.log2(p)).sum()  # bits of each
    assert entropy - 0.01 < 8 * len(code) / len(values) < 1.1 * entropy + 0.02


def test_the_largest_numbers_come_back():
    values = np.array([0, 1, -1, 2**15 - 1, -(2**15 - 1), 12345])
    assert np.array_equal(get(len(values), coder.Reader(1, written(values)).coder), values)
