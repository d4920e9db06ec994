"""What a video showed, as a whole and in each of its tracks: every frame counts for as long as it was shown."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from mmfer.use.media import Fault
from mmfer.use.photos import Picture
from mmfer.use.predictor import Face
from mmfer.use.timeline import Timeline
from mmfer.use.tracks import LOST

TICK = 0.001  # seconds, the least that a frame is shown: times are told in these
MOST = 1000  # tracks that are told, those that were seen longest: a camera may run for weeks


@dataclass(frozen=True)
class Summary:
    """What a video showed; `told` is ready for JSON."""

    source: str
    told: dict[str, Any]
    timeline: Timeline = field(repr=False)

    @property
    def weak(self) -> set[int]:
        """The tracks of which the detector would for most of their time rather not say that they are faces."""
        return {track["track"] for track in self.told["tracks"] if track["weak"] > 0.5}


@dataclass
class _Seen:
    """Faces of a video, added up."""

    first: float  # seconds
    last: float
    frames: int = 0
    scores: float = 0.0
    weak: float = 0.0  # seconds during which it was weak
    seconds: Counter[str] = field(default_factory=Counter)  # during which each expression was seen

    def add(self, face: Face, at: float, lasts: float) -> None:
        self.last, self.frames, self.scores = at, self.frames + 1, self.scores + face.score
        self.weak += lasts if face.weak else 0.0
        self.seconds.update(dict.fromkeys(face.probabilities, 0.0) | {face.expression: lasts})

    def told(self) -> dict[str, Any]:
        total = self.seconds.total()
        shares = {name: round(seconds / total, 4) for name, seconds in self.seconds.items()}
        score = round(self.scores / self.frames, 4)
        return {
            **{"first": self.first, "last": self.last, "frames": self.frames},
            **{"seconds": round(total, 3), "score": score, "weak": round(self.weak / total, 4)},
            "expressions": shares,
        }


@dataclass
class _Video:
    """A video up to its last frame, of which the next one will say how long it was shown."""

    frame: Picture
    faces: list[Face]
    lasts: float  # seconds, of the frame before
    start: float
    timeline: Timeline
    frames: int = 1
    with_face: float = 0.0  # seconds
    found: int = 0  # tracks
    tracks: dict[int, _Seen] = field(default_factory=dict)
    everyone: _Seen = field(default_factory=lambda: _Seen(0, 0))

    def add(self, frame: Picture, faces: list[Face]) -> None:
        self.lasts = max(_at(frame) - _at(self.frame), TICK)
        self.count()
        self.frame, self.faces, self.frames = frame, faces, self.frames + 1

    def count(self) -> None:
        at = _at(self.frame)
        self.with_face += self.lasts if self.faces else 0.0
        for face in self.faces:
            number = face.track or 0
            self.found = max(self.found, number)
            self.tracks.setdefault(number, _Seen(at, at)).add(face, at, self.lasts)
            self.everyone.add(face, at, self.lasts)
        self.timeline.add(self.faces, at - self.start, self.lasts)
        if len(self.tracks) > 2 * MOST:
            self.tracks = self.longest(at)

    def longest(self, at: float = float("inf")) -> dict[int, _Seen]:
        """The tracks that were seen longest, and those that may still go on, in the order of their numbers."""
        lengths = {n: (seen.last >= at - LOST, seen.seconds.total()) for n, seen in self.tracks.items()}
        kept = sorted(lengths, key=lengths.__getitem__, reverse=True)[:MOST]
        return {number: self.tracks[number] for number in sorted(kept)}

    def summary(self) -> Summary:
        self.count()
        seconds = _at(self.frame) + self.lasts - self.start
        everyone = self.everyone.told() if self.tracks else {"score": None, "expressions": {}}
        tracks = [{"track": number, **seen.told()} for number, seen in self.longest().items()]
        told = {
            **{"first": self.start, "last": self.frame.seconds, "frames": self.frames, "seconds": round(seconds, 3)},
            **{"with_face": round(self.with_face / seconds, 4)},
            **{key: everyone[key] for key in ("score", "expressions")},
            **{"tracks": tracks, "tracks_left_out": self.found - len(tracks)},
        }
        return Summary(self.frame.source, told, self.timeline)


def summarised(
    found: Iterable[tuple[Picture | Fault, list[Face]]],
) -> Iterator[tuple[Picture | Fault | Summary, list[Face]]]:
    """Pictures with their faces, in tracks, as they come; after the last frame of each video its summary."""
    video: _Video | None = None
    for item, faces in found:
        goes_on = video is not None and isinstance(item, Picture) and item.follows(video.frame)
        if video and not goes_on:
            yield video.summary(), []
            video = None
        if video and isinstance(item, Picture):
            video.add(item, faces)
        elif isinstance(item, Picture) and item.frame is not None:
            video = _Video(item, faces, 1 / item.rate, _at(item), Timeline(1 / item.rate))
        yield item, faces
    if video:
        yield video.summary(), []


def _at(frame: Picture) -> float:
    return frame.seconds or 0.0
