"""Corrupted photos by the thousand: each must become a picture or one line; prints JSON, and fails at anything else.

`python tools/fuzz_media.py [mutations] [seed]`. Bytes are changed, cut out, doubled or cut off.
"""

import io
import json
import sys
import time

import numpy as np
from numpy.random import Generator
from PIL import Image

from mmfer.errors import MmferError
from mmfer.use.photos import FORMATS, decode


def originals(rng: Generator) -> list[bytes]:
    """A file of each format and kind of pixels that it can hold."""
    noise = Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    files = []
    for kind in FORMATS:
        for mode in ("RGB", "L", "1", "P", "RGBA", "CMYK", "I;16"):
            image = Image.fromarray(rng.integers(0, 65536, (40, 60), dtype=np.uint16)) if mode == "I;16" else noise
            file = io.BytesIO()
            try:
                (image if mode == "I;16" else noise.convert(mode)).save(file, kind)
            except (OSError, ValueError):
                continue  # this format has no such pixels
            files.append(file.getvalue())
    return files


def corrupt(content: bytes, rng: Generator) -> bytes:
    """One to three damages, most of them near the start, where the headers are."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        end = len(changed) if rng.random() < 0.4 else min(len(changed), 120)
        place, length = rng.integers(0, max(end, 1)), rng.integers(1, 9)
        kind = rng.integers(0, 5)
        if kind <= 1:
            changed[place : place + length] = rng.bytes(length)
        elif kind == 2:
            del changed[place : place + length]
        elif kind == 3:
            changed[place:place] = changed[place : place + length]
        else:
            del changed[max(place, 1) :]
    return bytes(changed)


def main() -> None:
    """Corrupt and read."""
    count, seed = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in ((1, 20_000), (2, 0)))
    rng = np.random.default_rng(seed)
    files, outcomes, slowest = originals(rng), {"read": 0, "refused": 0}, 0.0
    for number in range(count):
        content, start = corrupt(files[number % len(files)], rng), time.process_time()
        try:
            decode(content, "x")
            outcomes["read"] += 1
        except MmferError:
            outcomes["refused"] += 1
        slowest = max(slowest, time.process_time() - start)
    print(json.dumps({"files": len(files), "mutations": count} | outcomes | {"slowest_cpu_s": round(slowest, 3)}))


if __name__ == "__main__":
    main()
