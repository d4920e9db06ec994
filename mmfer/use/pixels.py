"""Grey levels of any depth -> 8 bits, and arrays of any kind -> RGB."""

import cv2
import numpy as np

from mmfer.errors import MmferError

DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras have


def to_rgb(image: np.ndarray) -> np.ndarray:
    """Picture (H, W), (H, W, 1), RGB or RGBA; uint8, uint16, bool, or float from 0 to 1 -> (H, W, 3) uint8.

    Alpha is left out. MmferError for other shapes, types and values.
    """
    shape = image.shape[:2] if image.ndim == 3 and image.shape[2] == 1 else image.shape
    if not image.size or len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (3, 4)):
        raise MmferError(f"picture of shape {image.shape}: expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)")
    if image.dtype == np.uint16:
        levels = to_eight_bits(image)
    elif image.dtype == bool or image.dtype.kind == "f":
        if not (image.min() >= 0 and image.max() <= 1):  # NaN is neither
            raise MmferError(f"picture of {image.dtype}: values must be 0 to 1, found {image.min()} to {image.max()}")
        levels = np.round(image.astype(np.float32) * 255).astype(np.uint8)
    elif image.dtype == np.uint8:
        levels = image
    else:
        raise MmferError(f"picture of {image.dtype}: expected uint8, uint16, bool, or float from 0 to 1; convert it")
    levels = np.ascontiguousarray(levels.reshape(shape))
    return cv2.cvtColor(levels, cv2.COLOR_GRAY2RGB) if levels.ndim == 2 else np.ascontiguousarray(levels[..., :3])


def to_eight_bits(levels: np.ndarray) -> np.ndarray:
    """uint16 of any shape -> uint8: the upper 8 of the bits that are in use, for which the largest value stands.

    Cameras of 10, 12 and 14 bits store 16, of which the upper ones are empty; in 16 they would be nearly black.
    """
    depth = next(bits for bits in DEPTHS if int(levels.max(initial=0)) < 1 << bits)
    return np.right_shift(levels, depth - 8).astype(np.uint8)


def deep_grey(values: np.ndarray) -> np.ndarray:
    """Grey levels of a format without a fixed range -> uint16: 16 bits as they are, others from least to most."""
    if values.dtype.kind in "iu" and values.min() >= 0 and values.max() <= 65535:
        return values.astype(np.uint16)
    values = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    least, span = values.min(), np.ptp(values)
    return np.round((values - least) * (65535 / (span or 1.0))).astype(np.uint16)
