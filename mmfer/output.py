"""What `mmfer predict` prints: a table with bars, JSON, a line of JSON for each picture, or CSV."""

import csv
import json
import sys
from typing import Any

from mmfer.media import Fault, Picture
from mmfer.predictor import Face

BAR = 24  # characters of a bar of 100 %


class Table:
    """For reading: a picture, its faces, a bar for each expression."""

    def __enter__(self) -> "Table":
        # A bar is drawn in blocks where the terminal can show them.
        self._block = "█" if (sys.stdout.encoding or "").lower().startswith("utf") else "#"
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def add(self, item: Picture | Fault, faces: list[Face]) -> None:
        """Print one picture; the command itself reports faults."""
        if isinstance(item, Fault):
            return
        height, width = item.pixels.shape[:2]
        frame = "" if item.frame is None else f", frame {item.frame} ({item.frame / item.rate:.2f} s)"
        found = {0: "no face found", 1: "1 face"}.get(len(faces), f"{len(faces)} faces")
        print(f"{item.source}{frame}, {width} x {height}: {found}", flush=True)
        for number, face in enumerate(faces, 1):
            print("\n".join(self._face(number, face)), flush=True)

    def _face(self, number: int, face: Face) -> list[str]:
        x0, y0, x1, y1 = (round(edge) for edge in face.box)
        weak = ", weak: nothing better was found" if face.score < 0 else ""
        head = f"  {number}  {face.expression}  at {x0},{y0}, {x1 - x0} x {y1 - y0}, score {face.score:.2f}{weak}"
        wide = max(map(len, face.probabilities))
        ordered = sorted(face.probabilities.items(), key=lambda pair: -pair[1])
        bars = [f"     {name:<{wide}} {v:6.1%} {self._block * round(BAR * v)}".rstrip() for name, v in ordered]
        return [head, *bars]


class JsonLines:
    """A line for each picture or fault, as soon as it is known."""

    def __enter__(self) -> "JsonLines":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def add(self, item: Picture | Fault, faces: list[Face]) -> None:
        """Print one picture or fault."""
        print(json.dumps(as_dict(item, faces)), flush=True)


class Json:
    """One list of all, printed at the end."""

    def __enter__(self) -> "Json":
        self._rows: list[dict[str, Any]] = []
        return self

    def __exit__(self, *error: object) -> None:
        print(json.dumps(self._rows, indent=1))

    def add(self, item: Picture | Fault, faces: list[Face]) -> None:
        """Remember one picture or fault."""
        self._rows.append(as_dict(item, faces))


class Csv:
    """A row for each face; a picture without one has a row with empty cells, a fault none."""

    def __init__(self, classes: list[str]) -> None:
        self._classes = classes

    def __enter__(self) -> "Csv":
        self._rows = csv.writer(sys.stdout, lineterminator="\n")
        self._rows.writerow(["source", "frame", "x0", "y0", "x1", "y1", "score", "expression", *self._classes])
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def add(self, item: Picture | Fault, faces: list[Face]) -> None:
        """Print the rows of one picture."""
        if isinstance(item, Fault):
            return
        for face in faces:
            row = face.as_dict()
            values = [row["probabilities"][name] for name in self._classes]
            self._rows.writerow([item.source, item.frame, *row["box"], row["score"], row["expression"], *values])
        if not faces:
            self._rows.writerow([item.source, item.frame] + [None] * (6 + len(self._classes)))
        sys.stdout.flush()


def as_dict(item: Picture | Fault, faces: list[Face]) -> dict[str, Any]:
    """A picture with its faces, or a fault, ready for JSON."""
    if isinstance(item, Fault):
        return {"source": item.source, "error": item.message}
    frame = {} if item.frame is None else {"frame": item.frame, "seconds": round(item.frame / item.rate, 3)}
    height, width = item.pixels.shape[:2]
    return {"source": item.source, **frame, "width": width, "height": height, "faces": [f.as_dict() for f in faces]}


Writer = Table | Json | JsonLines | Csv


def writer(form: str, classes: list[str]) -> Writer:
    """The printer of a form: table, json, jsonl or csv."""
    return {"table": Table, "json": Json, "jsonl": JsonLines, "csv": lambda: Csv(classes)}[form]()
