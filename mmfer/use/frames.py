"""Where faces are in photos and in frames of videos: a photo is searched whole, of a video one frame in a stretch.

In the others of a stretch the surroundings of that frame's faces are searched, which is a small part of the picture.
Where not all of them are found again, because one has left or there is a cut, the whole frame is searched too: only a
face that the middle frame lacks can be missed, for half of a stretch.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from mmfer.face.photos import Detection

if TYPE_CHECKING:  # it needs Pillow
    from mmfer.use.photos import Picture

STRETCH = 0.3  # seconds: who comes is found so much later at most; faces seldom move by half a side in half of it
Find = Callable[["Picture", list[Detection] | None], list[Detection]]  # in all of the picture, or near these faces
Map = Callable[[Callable[[int], list[Detection]], Iterable[int]], Iterable[list[Detection]]]


def find_all(pictures: "Sequence[Picture]", find: Find, each: Map) -> list[list[Detection]]:
    """The faces of each picture; `each` is a map, of threads perhaps. Stretches end where the pictures do."""
    middle = middles(pictures)
    chosen = sorted(set(middle))
    whole = dict(zip(chosen, each(lambda n: find(pictures[n], None), chosen), strict=True))

    def found(n: int) -> list[Detection]:
        known = whole[middle[n]]
        if n in whole:
            return known
        faces = find(pictures[n], known)
        return faces if len(faces) >= len(known) else find(pictures[n], None)

    return list(each(found, range(len(pictures))))


def middles(pictures: "Sequence[Picture]") -> list[int]:
    """For each picture the place of the middle frame of its stretch; its own where it is a photo."""
    starts: list[int] = []
    for n, picture in enumerate(pictures):
        goes_on = n > 0 and picture.follows(pictures[n - 1])
        if not goes_on or (picture.seconds or 0) - (pictures[starts[-1]].seconds or 0) >= STRETCH:
            starts.append(n)
    return [(start + end) // 2 for start, end in pairwise([*starts, len(pictures)]) for _ in range(start, end)]
