"""What `mmfer predict` prints: a table with bars, JSON, a line of JSON for each picture, or CSV.

Each form is a context whose value prints one picture (or fault) with its faces, or what a video showed.
"""

import csv
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from textwrap import indent
from typing import Any

from mmfer.use.answers import cells, columns
from mmfer.use.media import Fault
from mmfer.use.photos import Picture
from mmfer.use.predictor import Face
from mmfer.use.summary import Summary

BAR = 24  # characters of a bar of 100 %
MOST = 10  # tracks of a video that the table names
Item = Picture | Fault | Summary
Add = Callable[[Item, list[Face]], None]


def writer(form: str, classes: list[str]) -> AbstractContextManager[Add]:
    """The printer of a form: table, json, jsonl or csv."""
    return {"table": table, "json": json_list, "jsonl": json_lines, "csv": lambda: csv_rows(classes)}[form]()


@contextmanager
def table() -> Iterator[Add]:
    """For reading: a picture, its faces, a bar for each expression. Faults are the command's to report."""
    # A bar is drawn in blocks where the terminal can show them.
    block = "█" if (sys.stdout.encoding or "").lower().startswith("utf") else "#"

    def add(item: Item, faces: list[Face]) -> None:
        if isinstance(item, Summary):
            print("\n".join(_summary_lines(item)), flush=True)
        if not isinstance(item, Picture):
            return
        width, height = item.size
        frame = "" if item.frame is None else f", frame {item.frame} ({item.seconds:.2f} s)"
        found = {0: "no face found", 1: "1 face"}.get(len(faces), f"{len(faces)} faces")
        print(f"{item.source}{frame}, {width} x {height}: {found}", flush=True)
        for number, face in enumerate(faces, 1):
            print("\n".join(_face_lines(number, face, block)), flush=True)

    yield add


def _face_lines(number: int, face: Face, block: str) -> list[str]:
    x0, y0, x1, y1 = (round(edge) for edge in face.box)
    weak = ", weak" if face.weak else ""
    said = " or ".join(face.candidates) if face.uncertain else face.expression
    hidden = f", hidden: {', '.join(face.hidden)}" if face.hidden else ""
    name = number if face.track is None else f"track {face.track}"
    head = f"  {name}  {said}  at {x0},{y0}, {x1 - x0} x {y1 - y0}, score {face.score:.2f}{weak}{hidden}"
    wide = max(map(len, face.probabilities))
    ordered = sorted(face.probabilities.items(), key=lambda pair: -pair[1])
    bars = [f"     {name:<{wide}} {v:6.1%} {block * round(BAR * v)}".rstrip() for name, v in ordered]
    return [head, *bars]


def _summary_lines(video: Summary) -> list[str]:
    """A video, and a line for each of those of its tracks that were seen longest."""
    told = video.told
    tracks = sorted(told["tracks"], key=lambda track: -track["seconds"])
    more = len(tracks) + told["tracks_left_out"]
    count = "1 track" if more == 1 else f"{more:,} tracks"
    head = f"{video.source}: {told['frames']:,} frames, {told['seconds']:.1f} s, with a face {told['with_face']:.0%}"
    lines = [f"{head}, {count}{_shares(told['expressions'])}"]
    for track in sorted(tracks[:MOST], key=lambda track: track["track"]):
        lasted = f"{track['first']:.2f} to {track['last']:.2f} s, seen {track['seconds']:.1f} s"
        score = f"score {track['score']:.2f}{', weak' if track['track'] in video.weak else ''}"
        lines.append(f"  track {track['track']}  {lasted}, {score}{_shares(track['expressions'])}")
    if more > MOST:
        lines.append(f"  and {more - MOST:,} more, seen for less")
    return lines


def _shares(expressions: dict[str, float]) -> str:
    """Shares of time, the largest first, without those that round to nothing."""
    ordered = sorted(expressions.items(), key=lambda pair: -pair[1])
    said = ", ".join(f"{name} {share:.0%}" for name, share in ordered if share >= 0.005)
    return f": {said}" if said else ""


@contextmanager
def json_lines() -> Iterator[Add]:
    """A line for each picture or fault, as soon as it is known."""
    yield lambda item, faces: print(json.dumps(as_dict(item, faces)), flush=True)


@contextmanager
def json_list() -> Iterator[Add]:
    """One list of all, printed as it comes and closed at the end, also where that is an interrupt."""
    between = "["

    def add(item: Item, faces: list[Face]) -> None:
        nonlocal between
        print(between + "\n" + indent(json.dumps(as_dict(item, faces), indent=1), " "), end="", flush=True)
        between = ","

    try:
        yield add
    finally:
        print("[]" if between == "[" else "\n]")


@contextmanager
def csv_rows(classes: list[str]) -> Iterator[Add]:
    """A row for each face; a picture without one has a row with empty cells; faults and summaries have none."""
    rows = csv.writer(sys.stdout, lineterminator="\n")
    names = columns(classes)
    rows.writerow(names)

    def add(item: Item, faces: list[Face]) -> None:
        if not isinstance(item, Picture):
            return
        empty = [item.source, item.frame, item.seconds] + [None] * (len(names) - 3)
        rows.writerows([cells(item, face) for face in faces] or [empty])
        sys.stdout.flush()

    yield add


def as_dict(item: Item, faces: list[Face]) -> dict[str, Any]:
    """A picture with its faces, a fault or a summary, ready for JSON."""
    if isinstance(item, Summary):
        return {"source": item.source, "summary": item.told}
    if isinstance(item, Fault):
        return {"source": item.source, "error": item.message}
    frame = {} if item.frame is None else {"frame": item.frame, "seconds": item.seconds}
    width, height = item.size
    return {"source": item.source, **frame, "width": width, "height": height, "faces": [f.as_dict() for f in faces]}
