"""The probabilities of a video's tracks over its whole length, in a bounded number of steps, and their picture."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmfer.use.predictor import Face

STEPS = 2000  # of time, at most; where a video goes on they become twice as long
MOST = 100  # tracks that are kept, those that were seen longest
SHOWN = 12  # of these in a picture
SEEN = 0.1  # least part of a step during which a face that counts was seen


@dataclass
class Timeline:
    """Sums over time from the start of a video: of each track (STEPS, C) probabilities times seconds."""

    step: float  # seconds
    length: float = 0.0
    classes: list[str] = field(default_factory=list)
    tracks: dict[int, np.ndarray] = field(default_factory=dict)

    def add(self, faces: list[Face], start: float, lasts: float) -> None:
        """Count the faces of a frame that is shown from `start` on for so long, seconds."""
        self.length = start + lasts
        while self.length > STEPS * self.step:
            self._double()
        steps = np.arange(int(start / self.step), min(int(self.length / self.step) + 1, STEPS))
        parts = np.minimum(self.length, (steps + 1) * self.step) - np.maximum(start, steps * self.step)
        for face in faces:
            self._sums(face)[steps] += np.outer(np.maximum(parts, 0), [*face.probabilities.values()])

    def _sums(self, face: Face) -> np.ndarray:
        number = face.track or 0
        if number not in self.tracks:
            if len(self.tracks) >= 2 * MOST:
                self.tracks = {number: self.tracks[number] for number in self._longest(MOST)}
            self.classes = [*face.probabilities]
            self.tracks[number] = np.zeros((STEPS, len(self.classes)), np.float32)
        return self.tracks[number]

    def bands(self) -> tuple[dict[int, np.ndarray], np.ndarray]:
        """Mean probabilities (T, C) of the tracks that were seen longest, NaN where unseen, and edges (T + 1,)."""
        count = max(int(np.ceil(self.length / self.step - 1e-6)), 1)
        bands = {}
        for number in sorted(self._longest(SHOWN)):
            sums = self.tracks[number][:count]
            seconds = sums.sum(axis=1, keepdims=True)
            bands[number] = np.where(seconds > SEEN * self.step, sums / np.maximum(seconds, 1e-9), np.nan)
        return bands, np.arange(count + 1) * self.step

    def _longest(self, count: int) -> list[int]:
        return sorted(self.tracks, key=lambda number: -float(self.tracks[number].sum()))[:count]

    def _double(self) -> None:
        self.step *= 2
        for sums in self.tracks.values():
            sums[: STEPS // 2] = sums[::2] + sums[1::2]
            sums[STEPS // 2 :] = 0


def draw(timeline: Timeline, start: float, name: str, path: Path, weak: Collection[int] = ()) -> None:
    """The picture of a video that begins at `start`, seconds, as PNG or SVG; `weak` are tracks to be called so."""
    from mmfer.report.timeline import draw_timeline

    bands, edges = timeline.bands()
    names = {f"track {number}{', weak' if number in weak else ''}": band for number, band in bands.items()}
    more = len(timeline.tracks) - len(bands)
    title = f"{name}: probabilities over time" + (f"; {len(bands)} tracks that were seen longest" if more else "")
    draw_timeline(names, edges + start, timeline.classes, title, path)
