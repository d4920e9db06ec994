"""What `mmfer predict` does: every picture is read, answered, printed, drawn and shown, and every video summed up."""

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from mmfer.errors import MmferError, require
from mmfer.use.answers import BATCH, answers
from mmfer.use.copies import Copies
from mmfer.use.live import until_signal
from mmfer.use.media import STDIN, Fault, read_media
from mmfer.use.output import Add, Item, writer
from mmfer.use.photos import Picture
from mmfer.use.predictor import Face, Predictor
from mmfer.use.summary import Summary, summarised
from mmfer.use.timeline import draw
from mmfer.use.tracks import SMOOTH, follow
from mmfer.use.window import Show, window

FORMATS = (".png", ".svg")  # of a timeline


class Wanted(NamedTuple):
    """What is read, and what becomes of it."""

    paths: list[str]
    camera: int | str | None = None
    every: int = 1  # of videos and the camera one frame in so many
    form: str = "table"  # of what is printed
    smooth: float = SMOOTH  # seconds over which probabilities are averaged
    copies: Path | None = None  # folder
    timeline: Path | None = None  # file
    show: bool = False  # in a window


def run(predictor: Predictor, wanted: Wanted) -> int:
    """Answer all that is wanted; the exit code."""
    if wanted.timeline:
        require("matplotlib")
    with ExitStack() as stack:
        stop = stack.enter_context(nullcontext(threading.Event()) if wanted.camera is None else until_signal())
        show = stack.enter_context(window()) if wanted.show else None
        out = stack.enter_context(writer(wanted.form, predictor.classes))
        copies = stack.enter_context(Copies(wanted.copies, wanted.every)) if wanted.copies else None
        items = read_media(wanted.paths, wanted.camera, wanted.every, wanted.copies, stop)
        at_once = wanted.camera is not None or show is not None
        ahead = not at_once and STDIN not in wanted.paths  # Ctrl-C ends no thread that waits for a photo
        answered = answers(_until(stop, items), predictor, 1 if at_once else BATCH, ahead)
        found = summarised(follow(answered, wanted.smooth))
        code, drawn = _deliver(found, out, copies, show, wanted.timeline, stop)
    for line in _notes(copies, wanted.timeline, drawn):
        print(line, file=sys.stderr)
    return code


def _deliver(
    found: Iterable[tuple[Item, list[Face]]],
    out: Add,
    copies: Copies | None,
    show: Show | None,
    timeline: Path | None,
    stop: threading.Event,
) -> tuple[int, int]:
    """Hand each answer to all that wait for it: the exit code, and how many timelines were drawn."""
    read = faults = drawn = 0
    with _progress() as moved_on:
        for item, faces in found:
            with tqdm.external_write_mode():
                out(item, faces)
                if isinstance(item, Fault):
                    faults += 1
                    print(f"error: {' '.join(item.message.split())}", file=sys.stderr, flush=True)  # names may break it
            if isinstance(item, Summary) and timeline:
                drawn += 1
                draw(item.timeline, item.told["first"], item.source, numbered(timeline, drawn), item.weak)
            if not isinstance(item, Picture):
                continue
            read += 1
            moved_on(item)
            if copies:
                copies.add(item, faces)
            if show and not show(item, faces):
                stop.set()
    return (1 if read else 2) if faults else 0, drawn


def _until(stop: threading.Event, items: Iterator[Picture | Fault]) -> Iterator[Picture | Fault]:
    for item in items:
        if stop.is_set():
            return
        yield item


def timeline_file(path: Path) -> Path:
    """The name of a picture of a format that can be drawn; MmferError for another."""
    if path.suffix.lower() not in FORMATS:
        raise MmferError(f"--timeline {path}: neither .png nor .svg; give it one of these ends")
    return path


def numbered(path: Path, number: int) -> Path:
    """The name of the file of this number, from 1, of several."""
    return path if number == 1 else path.with_stem(f"{path.stem}-{number}")


def _notes(copies: Copies | None, timeline: Path | None, drawn: int) -> Iterator[str]:
    if copies and copies.written:
        yield f"annotated copies in {copies.folder}: {len(copies.written)}"
        yield from copies.notes
    if timeline:
        files = ", ".join(str(numbered(timeline, number)) for number in range(1, drawn + 1))
        yield f"timeline in {files}" if drawn else "no timeline: there was no video"


@contextmanager
def _progress() -> Iterator[Callable[[Picture], None]]:
    """A bar where stderr is a terminal: pictures, or the frames of a video with the time that is left."""
    # Answers come in batches: their mean rate says more than that of the last ones.
    with tqdm(unit=" pictures", miniters=1, smoothing=0, leave=False, disable=None) as bar:
        before: Picture | None = None

        def moved_on(picture: Picture) -> None:
            nonlocal before
            if not picture.follows(before) and (picture.length or bar.total):
                bar.reset()
                bar.total, bar.unit = (picture.length, " frames") if picture.length else (None, " pictures")
                bar.set_description(Path(picture.source).name if picture.length else "", refresh=False)
            bar.update((picture.frame or 0) + 1 - bar.n if picture.length else 1)
            before = picture

        yield moved_on
