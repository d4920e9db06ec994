"""The expressions of a video over time, a band for each of its tracks."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mmfer.report.canvas import COLOURS, GREY, new_figure

PALE = "#d0d0d0"  # of what is neutral, so that the others stand out


def draw_timeline(bands: dict[str, np.ndarray], edges: np.ndarray, classes: list[str], title: str, path: Path) -> None:
    """Draw bands {name: mean probabilities (T, C), NaN where nothing was seen}, one above the other, as PNG or SVG.

    `edges` (T + 1,) are the ends of their times in seconds.
    """
    order = sorted(range(len(classes)), key=lambda place: classes[place] == "neutral")  # at the top, as a ground
    colours = [PALE if name == "neutral" else COLOURS[place % 7] for place, name in enumerate(classes)]
    count = max(len(bands), 1)
    with new_figure(path, 11, 1.6 + 0.6 * count, title) as figure:
        rows = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
        for axes, (name, shares) in zip(rows, bands.items(), strict=False):
            tops = np.cumsum(shares[:, order], axis=1).T
            for place, low, high in zip(order, [0 * tops[0], *tops], tops, strict=False):
                axes.stairs(high, edges, baseline=low, fill=True, color=colours[place], linewidth=0)
            axes.set_ylabel(name, rotation=0, ha="right", va="center")
        if not bands:
            rows[0].text(0.5, 0.5, "no face", transform=rows[0].transAxes, ha="center", va="center", color=GREY)
        for axes in rows:
            _clear(axes)
            axes.set_xlim(edges[0], edges[-1])
        rows[-1].tick_params(axis="x", length=3)
        rows[-1].spines["bottom"].set_visible(True)
        rows[-1].xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 3, 5, 6, 10]))
        rows[-1].xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: clock(seconds, edges[-1])))
        patches = [Patch(color=colours[place], label=classes[place]) for place in order]
        if patches:
            figure.legend(handles=patches, loc="outside lower center", ncols=min(len(classes), 8), fontsize=9)


def clock(seconds: float, longest: float) -> str:
    """A time as seconds, minutes:seconds or hours:minutes:seconds, as the longest one needs."""
    if longest < 120:
        return f"{seconds:g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if longest >= 3600 else f"{60 * hours + minutes}:{rest:02}"


def _clear(axes: Axes) -> None:
    """A band without an axis: its height is 100 %."""
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.tick_params(axis="x", length=0)
    axes.spines[:].set_visible(False)
