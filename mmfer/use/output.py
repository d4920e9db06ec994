"""What `mmfer predict` prints: a table with bars, JSON, a line of JSON for each picture, or CSV.

Each form is a context whose value prints, or remembers, one picture (or fault) with its faces.
"""

import csv
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from mmfer.use.answers import cells, columns
from mmfer.use.media import Fault
from mmfer.use.photos import Picture
from mmfer.use.predictor import Face

BAR = 24  # characters of a bar of 100 %
Add = Callable[[Picture | Fault, list[Face]], None]


def writer(form: str, classes: list[str]) -> AbstractContextManager[Add]:
    """The printer of a form: table, json, jsonl or csv."""
    return {"table": table, "json": json_list, "jsonl": json_lines, "csv": lambda: csv_rows(classes)}[form]()


@contextmanager
def table() -> Iterator[Add]:
    """For reading: a picture, its faces, a bar for each expression. Faults are the command's to report."""
    # A bar is drawn in blocks where the terminal can show them.
    block = "█" if (sys.stdout.encoding or "").lower().startswith("utf") else "#"

    def add(item: Picture | Fault, faces: list[Face]) -> None:
        if isinstance(item, Fault):
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
    head = f"  {number}  {said}  at {x0},{y0}, {x1 - x0} x {y1 - y0}, score {face.score:.2f}{weak}{hidden}"
    wide = max(map(len, face.probabilities))
    ordered = sorted(face.probabilities.items(), key=lambda pair: -pair[1])
    bars = [f"     {name:<{wide}} {v:6.1%} {block * round(BAR * v)}".rstrip() for name, v in ordered]
    return [head, *bars]


@contextmanager
def json_lines() -> Iterator[Add]:
    """A line for each picture or fault, as soon as it is known."""
    yield lambda item, faces: print(json.dumps(as_dict(item, faces)), flush=True)


@contextmanager
def json_list() -> Iterator[Add]:
    """One list of all, printed at the end, also where that is an interrupt."""
    rows: list[dict[str, Any]] = []
    try:
        yield lambda item, faces: rows.append(as_dict(item, faces))
    finally:
        print(json.dumps(rows, indent=1))


@contextmanager
def csv_rows(classes: list[str]) -> Iterator[Add]:
    """A row for each face; a picture without one has a row with empty cells, a fault none."""
    rows = csv.writer(sys.stdout, lineterminator="\n")
    names = columns(classes)
    rows.writerow(names)

    def add(item: Picture | Fault, faces: list[Face]) -> None:
        if isinstance(item, Fault):
            return
        empty = [item.source, item.frame, item.seconds] + [None] * (len(names) - 3)
        rows.writerows([cells(item, face) for face in faces] or [empty])
        sys.stdout.flush()

    yield add


def as_dict(item: Picture | Fault, faces: list[Face]) -> dict[str, Any]:
    """A picture with its faces, or a fault, ready for JSON."""
    if isinstance(item, Fault):
        return {"source": item.source, "error": item.message}
    frame = {} if item.frame is None else {"frame": item.frame, "seconds": item.seconds}
    width, height = item.size
    return {"source": item.source, **frame, "width": width, "height": height, "faces": [f.as_dict() for f in faces]}
