"""A range coder of whole numbers: binary decisions whose probabilities adapt in their contexts, to the bit and back.

The coder is carry-less (Martin, 1979; Mahoney's lpaq). What is coded calls `number` and `bit` in one order, whether
it writes or reads; reading is in whole numbers alone, so that every machine reads the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numba
import numpy as np

SLOTS = 64  # decisions of one context: 15 on the size, the sign, and those on the bits of a magnitude
GRADES = 16  # grades of magnitude
Coder = tuple[np.ndarray, np.ndarray, np.ndarray, bool]  # state, bytes, odds, whether they are read
LOW, HIGH, WORD, PLACE = range(4)  # state of the coder: its interval, the word that is decoded, the next byte


class Writer:
    """Gathers the bytes of what is written."""

    def __init__(self, contexts: int) -> None:
        self._state, self._odds = _start(contexts)
        self._parts: list[bytes] = []

    @contextmanager
    def coder(self, decisions: int) -> Iterator[Coder]:
        """To write at most so many decisions with; none takes more than four bytes."""
        data = np.empty(4 * decisions, np.uint8)
        self._state[PLACE] = 0
        yield self._state, data, self._odds, False
        self._parts.append(data[: self._state[PLACE]].tobytes())

    def code(self) -> bytes:
        """All that was written."""
        return b"".join([*self._parts, int(self._state[HIGH]).to_bytes(4, "big")])


class Reader:
    """What a Writer with as many contexts wrote; `coder` reads it."""

    def __init__(self, contexts: int, code: bytes) -> None:
        state, odds = _start(contexts)
        data = np.frombuffer(code, np.uint8).copy()  # numba has no array that is written in one case alone
        state[WORD], state[PLACE] = int.from_bytes(code[:4], "big"), 4
        self.coder: Coder = (state, data, odds, True)

    @property
    def ended(self) -> bool:
        """Whether more was read than there is."""
        state, data, *_ = self.coder
        return bool(state[PLACE] > len(data))


def _start(contexts: int) -> tuple[np.ndarray, np.ndarray]:
    """State of the coder; probability that each decision is yes, of 65,536, by a quick and by a slow estimate."""
    return np.array([0, 2**32 - 1, 0, 0], np.int64), np.full((contexts * SLOTS, 2), 32768, np.int32)


@numba.njit(cache=True)
def grade(magnitude: int) -> int:
    """0, 1, 2, 3, then two grades for each doubling."""
    doublings = 0
    while magnitude > 3:
        magnitude >>= 1
        doublings += 1
    return min(2 * doublings + magnitude, GRADES - 1)


@numba.njit(cache=True)
def number(value: int, context: int, coder: Coder) -> int:
    """Write the value, of less than 2 ** 15, or read one: the size of its magnitude in bits, its sign, those bits."""
    first, magnitude, size = context * SLOTS, abs(value), 0
    while size < 15 and bit(magnitude >> size != 0, first + size, coder):
        size += 1
    if size == 0:
        return 0
    negative = bit(value < 0, first + 15, coder)
    found = 1
    for place in range(size - 2, -1, -1):
        slot = 16 + size if found == 1 else 32 + 2 * size + found % 2 if found < 4 else 31
        found = 2 * found + bit((magnitude >> place) & 1, first + slot, coder)
    return -found if negative else found


@numba.njit(cache=True)
def bit(value: int, k: int, coder: Coder) -> int:
    """Write the decision `value` in slot k, or read it -> 0 or 1."""
    state, data, odds, reading = coder
    p = min(max((odds[k, 0] + odds[k, 1]) >> 1, 32), 65504)
    low, high = state[LOW], state[HIGH]
    middle = low + ((high - low) * p >> 16)
    if reading:
        value = state[WORD] <= middle
    if value:
        high = middle
        odds[k, 0] += (65536 - odds[k, 0]) >> 4
        odds[k, 1] += (65536 - odds[k, 1]) >> 7
    else:
        low = middle + 1
        odds[k, 0] -= odds[k, 0] >> 4
        odds[k, 1] -= odds[k, 1] >> 7
    while (low ^ high) >> 24 == 0:  # the first byte is settled
        place = state[PLACE]
        if reading:
            state[WORD] = (state[WORD] << 8) & 0xFFFFFFFF | (data[place] if place < len(data) else 0)
        else:
            data[place] = high >> 24
        state[PLACE] = place + 1
        low, high = (low << 8) & 0xFFFFFFFF, (high << 8) & 0xFFFFFFFF | 255
    state[LOW], state[HIGH] = low, high
    return int(value)
