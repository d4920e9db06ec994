"""Lossless coding of grey faces that were JPEGs once: cosine coefficients, and what they leave over.

What a JPEG decoder shows are few of all possible pictures: those of whole coefficients of 8 x 8 blocks, times a table.
A face is coded as such coefficients and the difference between itself and the picture that they give. Where the table
is that of the JPEG, the difference is nearly always zero; with any other table, and for any picture, it is what it is.
The faces of FER2013 take 37.1 MiB; predicted from pixel to pixel they take 52, and their JPEGs without headers 47.

Decoding is in whole numbers alone: every machine makes the same faces of it.
"""

from collections.abc import Iterable, Iterator

import numba
import numpy as np

from mmfer.data.coder import GRADES, SLOTS, Coder, Reader, Writer, bit, grade, number

CHUNK = 64  # faces coded in one call
REST = 64 * GRADES * GRADES  # contexts of coefficients; after them come those of differences
CONTEXTS = REST + 10

COSINES = np.cos(np.outer(np.arange(8), 2 * np.arange(8) + 1) * np.pi / 16) / 2
COSINES[0] /= np.sqrt(2)
WAVES = np.kron(COSINES, COSINES)  # (64, 64): the picture of each coefficient
LUMINANCE = np.array(  # ITU-T T.81, table K.1, of quality 50
    [
        *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56),
        *(14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
        *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
    ]
)


def jpeg_table(quality: int) -> np.ndarray:
    """Steps of the 64 coefficients, int64 (64,), row by row, at a quality of 50 to 100 as libjpeg counts."""
    return np.clip((LUMINANCE * (200 - 2 * quality) + 50) // 100, 1, 255)


def choose_table(faces: np.ndarray) -> np.ndarray:
    """The table of a quality of 50 to 100 that leaves the least to be written of the faces (n, 48, 48), by estimate."""
    blocks = _blocks(faces)

    def bits(table: np.ndarray) -> float:
        coefficients = _nearest(blocks, table)
        rest = np.rint(blocks - _pictures(coefficients, table))
        return float(np.log2(1 + np.abs(coefficients)).sum() + np.log2(1 + np.abs(rest)).sum())

    return min(map(jpeg_table, range(100, 49, -1)), key=bits)


def encode(chunks: Iterable[np.ndarray], table: np.ndarray) -> bytes:
    """Faces (n, 48, 48) uint8, in chunks of up to CHUNK, as bytes that `decode` makes the same faces of."""
    writer = Writer(CONTEXTS)
    for faces in chunks:
        blocks = _blocks(faces)
        coefficients = _nearest(blocks, table)
        _fit(blocks, _pictures(coefficients, table), coefficients, table, WAVES)
        with writer.coder(60 * faces.size) as coder:  # no pixel takes more decisions with its coefficient
            _code(faces.copy(), coefficients.reshape(_grid(faces)), table, coder)
    return writer.code()


def decode(code: bytes, rows: int, side: int, table: np.ndarray) -> Iterator[np.ndarray]:
    """The faces (rows, side, side) uint8 that `encode` was given, in chunks; ValueError where the code is short."""
    reader = Reader(CONTEXTS, code)
    for start in range(0, rows, CHUNK):
        faces = np.empty((min(CHUNK, rows - start), side, side), np.uint8)
        _code(faces, np.zeros(_grid(faces), np.int64), table, reader.coder)
        if reader.ended:
            raise ValueError(f"the code of {rows} faces ends within the first {start + len(faces)}")
        yield faces


def _blocks(faces: np.ndarray) -> np.ndarray:
    """Faces (n, 48, 48) -> their blocks (36 n, 64) float64, row by row."""
    n, height, width = faces.shape
    blocks = faces.reshape(n, height // 8, 8, width // 8, 8).swapaxes(2, 3)
    return blocks.reshape(-1, 64).astype(np.float64)


def _grid(faces: np.ndarray) -> tuple[int, int, int, int]:
    """Shape of the coefficients of faces (n, 48, 48): (n, 6, 6, 64)."""
    return len(faces), faces.shape[1] // 8, faces.shape[2] // 8, 64


def _nearest(blocks: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Blocks (n, 64) -> the coefficients (n, 64) int64 whose pictures are next to them."""
    return np.rint((blocks - 128) @ WAVES.T / table).astype(np.int64)


def _pictures(coefficients: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Coefficients (n, 64) -> what they show, neither rounded nor clipped (n, 64) float64."""
    return (coefficients * table) @ WAVES + 128


@numba.njit(cache=True)
def _fit(
    blocks: np.ndarray, pictures: np.ndarray, coefficients: np.ndarray, table: np.ndarray, waves: np.ndarray
) -> None:
    """Move coefficients (n, 64) until their pictures (n, 64), rounded and clipped, are the blocks (n, 64), or nearly.

    A coefficient up or down at a time, the one that brings the picture nearest.
    """
    other = np.empty(64)
    for n in range(len(blocks)):
        block, picture = blocks[n], pictures[n]
        least, at = _distance(picture, block, np.inf), 0
        while at >= 0 and least > 0:
            at, step = -1, 0
            for k in range(64):
                for sign in (-1, 1):
                    for i in range(64):
                        other[i] = picture[i] + sign * table[k] * waves[k, i]
                    distance = _distance(other, block, least)
                    if distance < least:
                        least, at, step = distance, k, sign
            if at >= 0:
                coefficients[n, at] += step
                picture += step * table[at] * waves[at]


@numba.njit(cache=True)
def _distance(picture: np.ndarray, block: np.ndarray, limit: float) -> float:
    """Squared distance of a picture (64,) from those that are rounded and clipped to the block; `limit` if not less."""
    total = 0.0
    for i in range(64):
        off = picture[i] - block[i]
        if (block[i] == 0 and off < 0) or (block[i] == 255 and off > 0):
            off = 0.0
        total += max(abs(off) - 0.49, 0.0) ** 2
        if total >= limit:
            return limit
    return total


@numba.njit(cache=True)
def _code(faces: np.ndarray, coefficients: np.ndarray, table: np.ndarray, coder: Coder) -> None:
    """Write the faces (n, 48, 48) and their coefficients (n, 6, 6, 64), or fill both with what is read."""
    block, exact = np.empty((8, 8), np.int64), 0
    for n, by, bx in np.ndindex(coefficients.shape[:3]):
        c = coefficients[n, by, bx]
        # Beside the first block lies nothing, beside others of an edge the one block that there is.
        up = coefficients[n, by - 1, bx] if by else coefficients[n, by, bx - 1] if bx else np.zeros(64, np.int64)
        left = coefficients[n, by, bx - 1] if bx else up
        corner = coefficients[n, by - 1, bx - 1, 0] if by and bx else up[0]
        for k in range(63, 0, -1):
            context = (k * GRADES + grade(abs(left[k]) + abs(up[k]))) * GRADES + grade(_higher(c, k, table))
            c[k] = number(c[k], context, coder)
        # The mean of a block, from those around it as in LOCO-I (Weinberger et al., 2000)
        guess = min(max(left[0] + up[0] - corner, min(left[0], up[0])), max(left[0], up[0]))
        slope = grade(abs(left[0] - corner) + abs(up[0] - corner))
        c[0] = guess + number(c[0] - guess, slope * GRADES + grade(_higher(c, 0, table)), coder)
        _show(c, table, block)
        exact = _rest(faces[n, 8 * by : 8 * by + 8, 8 * bx : 8 * bx + 8], block, exact, coder)


@numba.njit(cache=True)
def _higher(c: np.ndarray, k: int, table: np.ndarray) -> int:
    """Sum of the magnitudes of the next coefficients of higher frequencies, in steps of coefficient k."""
    y, x = k // 8, k % 8
    total = 0
    for dy, dx in ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0)):
        if y + dy < 8 and x + dx < 8:
            total += abs(c[k + 8 * dy + dx]) * table[k + 8 * dy + dx]
    return total // table[k]


@numba.njit(cache=True)
def _rest(face: np.ndarray, block: np.ndarray, exact: int, coder: Coder) -> int:
    """Code a face (8, 8) given the block that its coefficients show -> whether they are equal.

    `exact` is whether those of the block before were.
    """
    clipped, equal = 0, 1
    for y, x in np.ndindex(8, 8):
        clipped |= block[y, x] == 0 or block[y, x] == 255
        equal &= face[y, x] == block[y, x]
    equal = bit(equal, (REST + 2 * exact + clipped) * SLOTS, coder)
    for y, x in np.ndindex(8, 8):
        rest = 0
        if not equal:
            context = REST + 4 + (block[y, x] == 0 or block[y, x] == 255)
            context += 2 * (x > 0 and face[y, x - 1] != block[y, x - 1])
            context += 2 * (y > 0 and face[y - 1, x] != block[y - 1, x])
            rest = number(face[y, x] - block[y, x], context, coder)
        face[y, x] = block[y, x] + rest
    return equal


@numba.njit(cache=True)
def _show(coefficients: np.ndarray, table: np.ndarray, block: np.ndarray) -> None:
    """Fill the block (8, 8), int64, with the picture of coefficients (64,), as libjpeg's `islow` decodes it."""
    for i in range(64):
        block[i // 8, i % 8] = coefficients[i] * table[i]
    for x in range(8):
        _inverse(block[:, x], 11)
    for y in range(8):
        _inverse(block[y], 18)
    for y, x in np.ndindex(8, 8):
        block[y, x] = min(max(block[y, x] + 128, 0), 255)


@numba.njit(cache=True)
def _inverse(v: np.ndarray, shift: int) -> None:
    """Inverse transform of 8 whole numbers in place (Loeffler, Ligtenberg and Moschytz, 1989), over 2 ** shift."""
    z = (v[2] + v[6]) * 4433
    p, q = z - v[6] * 15137, z + v[2] * 6270
    total, difference = (v[0] + v[4]) << 13, (v[0] - v[4]) << 13
    a, b, c, d = total + q, difference + p, difference - p, total - q
    z = (v[7] + v[3] + v[5] + v[1]) * 9633
    z1, z2 = (v[7] + v[1]) * -7373, (v[5] + v[3]) * -20995
    z3, z4 = (v[7] + v[3]) * -16069 + z, (v[5] + v[1]) * -3196 + z
    e, f = v[1] * 12299 + z1 + z4, v[3] * 25172 + z2 + z3
    g, h = v[5] * 16819 + z2 + z4, v[7] * 2446 + z1 + z3
    half = 1 << (shift - 1)
    v[0], v[7] = (a + e + half) >> shift, (a - e + half) >> shift
    v[1], v[6] = (b + f + half) >> shift, (b - f + half) >> shift
    v[2], v[5] = (c + g + half) >> shift, (c - g + half) >> shift
    v[3], v[4] = (d + h + half) >> shift, (d - h + half) >> shift
