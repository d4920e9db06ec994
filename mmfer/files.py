"""Writing without loss: everything goes to a temporary sibling and is renamed when it is complete; walking folders."""

from __future__ import annotations  # pandas takes 0.3 s to import, and using a network needs none of it

import glob
import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

JUNK = {"__MACOSX", "@eaDir"}
NUMBERING = Path("/proc/self/ns/pid")  # on Linux tells containers, whose processes are numbered anew, from each other
# How names of temporary files of this computer begin, before the number of the process.
OURS = f".{platform.node()}-{NUMBERING.stat().st_ino if NUMBERING.exists() else 0}-"


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that takes the place of `target` when the block ends without an error.

    Until then `target` is as it was, and after an error or Ctrl-C it still is.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = (target.with_name(f".{target.name}.{suffix}") for suffix in ("new", "old"))
    _settle(target, temporary, old)  # what a killed process left behind
    temporary.mkdir()
    try:
        with _named(target):
            yield temporary
        if target.exists():
            target.rename(old)
        temporary.rename(target)
    finally:
        _settle(target, temporary, old)


@contextmanager
def _named(target: Path) -> Iterator[None]:
    """Give an error of the disk that names no file (a write into one that is open) the name of what is written."""
    try:
        yield
    except OSError as error:
        if error.errno and error.filename is None:
            error.filename = str(target)
        raise


def _settle(target: Path, temporary: Path, old: Path) -> None:
    """Put the former folder back if its successor has not taken its place; remove the others."""
    if old.exists() and not target.exists():
        old.rename(target)
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target` (same suffix) that is renamed to it when the block ends without error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(target)
    try:
        with _named(target):
            yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_name(target: Path) -> Path:
    """A name beside `target` that is this process's own; what killed processes left in that folder is removed."""
    _clear(target.parent.absolute())
    return target.with_name(f"{OURS}{os.getpid()}.{target.name}")


def take_name(temporary: Path, target: Path) -> None:
    """Rename a file to `target` unless that is there: unlike a look before a rename, nobody comes between."""
    try:
        os.link(temporary, target)
        temporary.unlink()
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        if not target.exists():
            temporary.rename(target)


@cache
def _clear(folder: Path) -> None:
    """Remove temporary files of processes of this computer that have ended; once for each folder."""
    for stray in folder.glob(f"{glob.escape(OURS)}*"):
        number = stray.name.removeprefix(OURS).partition(".")[0]
        if number.isdigit() and _has_ended(int(number)):
            stray.unlink(missing_ok=True)


def _has_ended(number: int) -> bool:
    if os.name == "nt":  # where this signal ends a process
        return False
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except OSError:  # somebody else's
        pass
    return False


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with new_file(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: Path, value: object) -> None:
    """Write JSON with an indent and a final newline atomically; NaN is refused: DVC and browsers cannot read it."""
    write_text(target, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_csv(target: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV without its row numbers, atomically."""
    with new_file(target) as temporary:
        table.to_csv(temporary, index=False)


def files_below(folder: Path) -> list[Path]:
    """The files in a folder and its subfolders, linked ones too (each once), sorted; without what systems leave behind.

    That is everything in or below a name with a dot in front (._a.png, .thumbnails), __MACOSX and @eaDir.
    """
    found: list[Path] = []
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else sorted(name for name in folders if not is_junk(name))
        found += [] if real in seen else [Path(place, name) for name in names if not is_junk(name)]
        seen.add(real)
    return sorted(found)


def is_junk(name: str) -> bool:
    """Whether a file or folder of this name is one that operating systems leave behind."""
    return name.startswith(".") or name in JUNK


def as_utf8(name: str) -> str:
    """A file name with \ufffd for the bytes that are not UTF-8 (in Python lone surrogates)."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
