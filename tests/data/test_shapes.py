"""Landmarks on a grid: what is decoded is what was coded, to the bit, and it takes a fraction of the floats."""

import lzma

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmfer.data import shapes


def faces(rows, columns=20, seed=0):
    """Half pixels whose neighbours are near each other, as those of landmarks are: sums of few random moves."""
    rng = np.random.default_rng(seed)
    moves = rng.normal(0, 6, (5, columns))
    places = rng.uniform(0, 48, columns) + rng.normal(size=(rows, 5)) @ moves + rng.normal(0, 0.3, (rows, columns))
    return (np.rint(2 * places) / 2 - 0.25).astype(np.float32)


def there_and_back(values):
    return np.concatenate(list(shapes.decode(shapes.encode(values), *values.shape)))


@pytest.mark.parametrize("rows", [1, 2, shapes.CHUNK, 2 * shapes.CHUNK + 1])
def test_half_pixels_come_back_to_the_bit(rows):
    values = faces(rows)
    assert there_and_back(values).tobytes() == values.tobytes()


@settings(max_examples=30)
@given(
    arrays(np.int16, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(-2000, 2000)),
    st.sampled_from([1.0, 0.5, 0.25, 0.125]),
)
def test_any_values_on_a_grid_come_back_to_the_bit(steps, step):
    values = (step * steps - 0.25).astype(np.float32)
    assert there_and_back(values).tobytes() == values.tobytes()


def test_coordinates_are_foretold_from_those_before_them():
    """They take half of what the entropy of each coordinate alone would let them take."""
    values = faces(4000)
    counts = [np.unique(column, return_counts=True)[1] for column in values.T]
    alone = -sum((n * np.log2(n / len(values))).sum() for n in counts) / 8
    code = shapes.encode(values)
    assert len(code) < 0.55 * alone
    assert len(code) < 0.55 * len(lzma.compress(values.reshape(-1, 1).view(np.uint8).T.tobytes()))


@pytest.mark.parametrize("odd", [np.nan, np.inf, 0.3, 1e9, -0.0])
def test_values_on_no_grid_are_left_to_others(odd):
    values = np.rint(faces(5))
    values[2, 3] = odd
    assert shapes.encode(values) is None
    assert shapes.encode(values[:0]) is None


def test_a_code_that_is_short_or_of_other_columns_is_refused():
    values = faces(600)
    code = shapes.encode(values)
    with pytest.raises(ValueError, match="the code of 600 faces ends within the first"):
        list(shapes.decode(code[:-600], 600, 20))
    for short in (b"", code[:100]):
        with pytest.raises(ValueError, match="no code of 20 columns"):
            list(shapes.decode(short, 600, 20))
    with pytest.raises(ValueError, match="no code of 19 columns"):
        list(shapes.decode(code, 600, 19))
