"""Arrays of any kind to RGB, grey levels of any depth to 8 bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, scalar_dtypes

from mmfer.errors import MmferError
from mmfer.use.pixels import to_eight_bits, to_rgb

ANY_SHAPE = array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
ARRAYS = st.one_of(
    arrays(scalar_dtypes(), ANY_SHAPE),
    arrays(st.sampled_from([np.uint8, np.uint16, np.bool_]), ANY_SHAPE),
    arrays(np.float32, ANY_SHAPE, elements=st.floats(0, 1, width=32)),
)
SHAPES = [(1, 1), (1, 300), (300, 1), (7, 5), (7, 5, 1), (7, 5, 3), (7, 5, 4)]


def stretched_to(array):
    """The largest value that a uint16 picture may hold by the depth that its values need."""
    return min(highest for highest in (255, 1023, 4095, 16383, 65535) if array.max() <= highest)


@settings(max_examples=300, deadline=None)
@given(ARRAYS)
def test_any_array_becomes_rgb_or_is_refused(array):
    try:
        rgb = to_rgb(array)
    except MmferError:
        return  # its messages are tested below; any other exception fails
    assert rgb.dtype == np.uint8
    assert rgb.shape == (*array.shape[:2], 3)
    assert rgb.flags.c_contiguous
    grey = array.ndim == 2 or array.shape[2] == 1
    highest = {"u": 255 if array.dtype == np.uint8 else stretched_to(array)}.get(array.dtype.kind, 1)
    expected = np.broadcast_to(array.reshape(*array.shape[:2], -1)[..., :3], rgb.shape) / highest * 255
    assert np.abs(rgb - expected.astype(float)).max() <= 1
    assert not grey or (rgb[..., 0] == rgb[..., 2]).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, bool, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F", "reversed"])
def test_arrays_of_any_shape_type_and_order_become_rgb(rng, shape, dtype, order):
    whole = {"u": 255 if dtype is np.uint8 else 65535, "b": 1, "f": 1}[np.dtype(dtype).kind]
    array = (rng.random(shape) * whole).round(0 if whole > 1 else 6).astype(dtype)
    array.flat[0] = whole
    array = {"C": array, "F": np.asfortranarray(array), "reversed": array[::-1, ::-1]}[order]
    rgb = to_rgb(array)
    assert rgb.shape == (*shape[:2], 3)
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous
    three = array[..., None].repeat(3, -1) if array.ndim == 2 else array.repeat(3, -1) if shape[2] == 1 else array
    np.testing.assert_allclose(rgb / 255, three[..., :3].astype(float) / whole, atol=1 / 250)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0, 3), (5,), (5, 5, 2), (5, 5, 5), (2, 5, 5, 3), ()])
def test_arrays_of_other_shapes_are_refused(shape):
    with pytest.raises(MmferError, match=r"picture of shape \(.*expected \(H, W\)"):
        to_rgb(np.zeros(shape, np.uint8))


def test_arrays_of_other_types_and_values_are_refused():
    with pytest.raises(MmferError, match="picture of int64: expected uint8"):
        to_rgb(np.zeros((5, 5), np.int64))
    with pytest.raises(MmferError, match=r"values must be 0 to 1, found 0\.0 to 255\.0"):
        to_rgb(np.linspace(0, 255, 25).reshape(5, 5))
    with pytest.raises(MmferError, match="values must be 0 to 1, found nan"):
        to_rgb(np.full((5, 5), np.nan))


@pytest.mark.parametrize(
    ("largest", "bits"), [(0, 8), (255, 8), (256, 10), (1023, 10), (1024, 12), (4095, 12), (4096, 14), (16384, 16)]
)
def test_the_largest_value_says_how_many_bits_are_in_use(largest, bits):
    levels = np.linspace(0, largest, 50).astype(np.uint16)
    assert (to_eight_bits(levels) == levels // 2 ** (bits - 8)).all()
