"""CSV files that hold faces as text: columns emotion, pixels (2,304 grey values, row by row) and Usage."""

import csv
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from mmfer.config import FACE_PX
from mmfer.data.sources.archives import TABLES, Archive
from mmfer.errors import MmferError

PIXELS = FACE_PX * FACE_PX
MAX_LINE = 128 << 10  # characters; the pixels of a face take 12 thousand at most
CHUNK = 1024  # rows that are collected before they become one array


def table_columns(archive: Archive) -> dict[str, list[str]]:
    """{name of a CSV file: its columns, lower case and without spaces around them}."""
    tables = {}
    for name in archive.sizes:
        if name.lower().endswith(TABLES):
            with _open_rows(archive, name) as rows:
                tables[name] = _read_header(rows)
    return tables


def read_table(archive: Archive, name: str, labels: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Read a CSV of faces -> table (source, label, usage; "" where there is no such column), uint8 (N, 48, 48).

    Labels must be 0 to `labels` - 1. MmferError names the line that is wrong. The text is never in memory as a whole.
    """
    source, label, usage, chunks, chunk = [], [], [], [], []
    for line, cells in read_rows(archive, name, ["emotion", "pixels"]):
        where = f"{archive.path}: {name}, line {line}"
        chunk.append(_parse_pixels(cells["pixels"], where))
        label.append(_parse_label(cells["emotion"], labels, where))
        usage.append(cells.get("usage", "").strip())
        source.append(f"{name}:{line}")
        if len(chunk) == CHUNK:
            chunks.append(np.stack(chunk))
            chunk = []
    if not label:
        raise MmferError(f"{archive.path}: {name} has a header but no rows; download it again")
    images = np.concatenate([*chunks, np.stack(chunk)] if chunk else chunks)
    table = pd.DataFrame({"source": source, "label": label, "usage": usage})
    return table, images.reshape(-1, FACE_PX, FACE_PX)


def read_rows(archive: Archive, name: str, expected: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells, by column, of each row of a CSV; MmferError where it lacks a column or a row is short."""
    with _open_rows(archive, name) as rows:
        header = _read_header(rows)
        check_columns(archive, name, header, expected)
        for row in filter(_is_filled, rows):
            if len(row) != len(header):
                where = f"{archive.path}: {name}, line {rows.line_num}"
                raise MmferError(f"{where}: {len(row)} columns for the {len(header)} of the header; download it again")
            yield rows.line_num, dict(zip(header, row, strict=True))


def check_columns(archive: Archive, name: str, found: list[str], expected: list[str]) -> None:
    """MmferError where a CSV lacks a column."""
    missing = [column for column in expected if column not in found]
    if missing:
        raise MmferError(
            f"{archive.path}: {name} lacks the column {', '.join(missing)} (it has: {', '.join(found) or 'none'}); "
            f"{', '.join(expected)} are expected"
        )


@contextmanager
def _open_rows(archive: Archive, name: str) -> Iterator[Any]:
    """Rows of a CSV as lists of text, a csv.reader; MmferError where the file is not a text table."""
    try:
        with archive.open(name) as file:
            text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
            lines = _lines(text)
            first = [next(lines, "")]
            while first[-1].isspace():
                first.append(next(lines, ""))
            # Spreadsheets write semicolons where the comma is for decimals.
            delimiter = max(",;\t", key=first[-1].count)
            yield csv.reader(chain(first, lines), delimiter=delimiter)
    except (csv.Error, UnicodeDecodeError) as error:
        raise MmferError(f"{archive.path}: {name} is not a CSV file of faces ({error}); download it again") from None


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    """Lines of a table; a longer one than any of faces is refused before it is in memory."""
    while line := text.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            raise csv.Error(f"a line of {MAX_LINE:,} characters or more")
        yield line


def _read_header(rows: Any) -> list[str]:
    return [column.strip().lower() for column in next(filter(_is_filled, rows), [])]


def _is_filled(row: list[str]) -> bool:
    """Whether a row is more than a blank line, or the empty cells that spreadsheets leave at the end."""
    return any(cell.strip() for cell in row)


def _parse_pixels(text: str, where: str) -> np.ndarray:
    """2,304 numbers as text -> uint8 (2304,)."""
    with warnings.catch_warnings():
        # numpy stops at the first thing that is no number and only warns
        warnings.simplefilter("error", DeprecationWarning)
        try:
            values = np.fromstring(text, dtype=np.int64, sep=" ")
        except (DeprecationWarning, ValueError):
            raise MmferError(f"{where}: pixels hold something that is no number; download it again") from None
    if values.size != PIXELS:
        raise MmferError(f"{where}: {values.size} pixels, {FACE_PX}x{FACE_PX} = {PIXELS} expected; download it again")
    if values.min() < 0 or values.max() > 255:
        raise MmferError(f"{where}: pixels from {values.min()} to {values.max()}, 0 to 255 expected; download it again")
    return values.astype(np.uint8)


def _parse_label(text: str, labels: int, where: str) -> int:
    label = text.strip().removesuffix(".0")  # as pandas writes whole numbers of a column that once had gaps
    if not label.isascii() or not label.isdigit() or len(label) > 4 or int(label) >= labels:
        raise MmferError(f"{where}: unknown label {text!r}, 0 to {labels - 1} expected; correct or remove the line")
    return int(label)
