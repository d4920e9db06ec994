"""What all figures share: style, colours, a file written at once, text that is broken into lines.

Figures are matplotlib objects without pyplot: no window, no global state. Colours are those of Okabe and Ito, which
people with any kind of colour vision see apart.
"""

import io
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image

from mmfer.files import new_file

DPI = 110
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "figure.titlesize": 12,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
}
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK = COLOURS = [
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
]
GREY = "#666666"
Layout = Literal["constrained"] | None  # None: the caller places the axes itself


@contextmanager
def new_figure(
    path: Path, width: float, height: float, title: str = "", layout: Layout = "constrained"
) -> Iterator[Figure]:
    """Yield a figure of this size in inches; it is written to `path` when the block ends without an error.

    Where that ends in .svg it is drawn in lines. A PNG has a palette of 256 colours: it lies in git or in DVC's cache,
    and is a third of the size.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout=layout)
        if title:
            # A constrained layout finds the place of the title itself, but only where none is given.
            place = {} if layout == "constrained" else {"y": 1 - 0.1 / height}
            figure.suptitle(wrap_title(title, width), **place)
        yield figure
        if path.suffix.lower() == ".svg":
            with new_file(path) as temporary:
                figure.savefig(temporary, format="svg")
            return
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", dpi=DPI)
        with Image.open(drawn) as picture, new_file(Path(path)) as temporary:
            picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(temporary, "PNG", optimize=True)


def title_height(title: str, width: float) -> float:
    """Inches that a title takes at the top of a figure `width` inches wide."""
    return 0.15 + 0.2 * (wrap_title(title, width).count("\n") + 1) if title else 0.0


def wrap_title(title: str, width: float) -> str:
    """Break a title into lines that a figure `width` inches wide has room for."""
    return wrap(title, int(10.5 * width))


def wrap(text: str, width: int, break_long_words: bool = False) -> str:
    """Break each line of a text at about `width` characters."""
    return "\n".join(textwrap.fill(line, width, break_long_words=break_long_words) for line in text.splitlines())


def longest_line(texts: list[str]) -> int:
    """Characters in the longest line of some texts."""
    return max(len(line) for text in texts for line in text.splitlines())
