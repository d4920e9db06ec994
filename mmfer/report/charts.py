"""Plots of results, each written as one PNG at once. Shares are between 0 and 1 and shown as percentages."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from mmfer.report.canvas import BLACK, BLUE, COLOURS, GREY, VERMILLION, longest_line, new_figure, title_height, wrap


def roc_curves(curves: dict[str, tuple[np.ndarray, np.ndarray, float]], title: str, path: Path) -> None:
    """The paper's figure 5: {class: (false positive rates, true positive rates, area)}, each class against the rest."""
    names = [wrap(name, 20) for name in curves]
    # The width leaves the axes about square. Fixing their aspect would let the layout push labels off the page.
    width = 6.6 + 0.09 * longest_line(["chance", *names])
    with new_figure(path, width, 4.9 + title_height(title, width), title) as figure:
        axes = figure.subplots()
        for place, (name, (fpr, tpr, area)) in enumerate(zip(names, curves.values(), strict=True)):
            style: dict[str, Any] = {"color": COLOURS[place % 7], "linestyle": ("-", "--")[place % 2]}
            axes.plot(fpr, tpr, linewidth=1.6, label=f"{area:.3f}  {name}", **style)
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", label="0.500  chance")
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        axes.set(xlabel="false positive rate", ylabel="true positive rate")
        axes.grid(True)
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), title="area under curve", alignment="left")


def confusion(matrix: np.ndarray, classes: list[str], title: str, path: Path) -> None:
    """The paper's figure 6: counts (C, C), true classes in rows; each cell shows its share of the row and its count."""
    totals = matrix.sum(axis=1, keepdims=True)
    shares = matrix / np.maximum(totals, 1)
    names = [wrap(name, 12) for name in classes]
    turned = longest_line(names) > 8
    side, name_width = 0.76 * max(len(classes), 4), 0.09 * longest_line(names)  # inches
    width = side + name_width + 0.6
    height = side + 0.5 + (0.8 * name_width if turned else 0.1) + title_height(title, width)
    with new_figure(path, width, height, title) as figure:
        axes = figure.subplots()
        axes.imshow(colormaps["Blues"](shares), aspect="auto")
        for (row, column), share in np.ndenumerate(shares):
            style: dict[str, Any] = {
                "ha": "center",
                "textcoords": "offset points",
                "color": _ink(colormaps["Blues"](share)),
            }
            shown = f"{100 * share:.1f}" if totals[row, 0] else "–"
            axes.annotate(shown, (column, row), (0, 4), va="center", fontsize=11, **style)
            axes.annotate(f"{matrix[row, column]:,}", (column, row), (0, -11), va="center", fontsize=7.5, **style)
        ticks = range(len(classes))
        turn: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if turned else {}
        axes.set_xticks(ticks, names, **turn)
        axes.set_yticks(ticks, names)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set(xlabel="predicted class", ylabel="true class (each row: 100 %)")


def _ink(colour: Sequence[float] | np.ndarray) -> str:
    """Black or white, whichever has the higher contrast (WCAG 2.1) with a background colour (red, green, blue, ...)."""
    luminance = np.array(colour[:3]) ** 2.2 @ [0.2126, 0.7152, 0.0722]
    return BLACK if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#ffffff"


def interval_bars(rows: list[tuple[str, float, float, float, float | None]], title: str, path: Path) -> None:
    """Accuracies (label, value, low, high, claim or None), shares, from top to bottom; claims are hollow marks."""
    labels, values, lows, highs, claims = zip(*rows, strict=True)
    places = np.arange(len(rows))
    with new_figure(path, 8, 1.3 + _row_height(len(rows)) * len(rows), title) as figure:
        axes = figure.subplots()
        axes.hlines(places, lows, highs, color=BLUE, linewidth=2)
        axes.plot(values, places, "o", color=BLUE, markersize=6, label="measured here, with its 95 % interval")
        claimed = [(claim, place) for claim, place in zip(claims, places, strict=True) if claim is not None]
        if claimed:
            look: dict[str, Any] = {
                "color": VERMILLION,
                "markerfacecolor": "none",
                "markersize": 8,
                "markeredgewidth": 1.6,
            }
            legend = "claimed in the paper (its own filtered test set)"
            axes.plot(*zip(*claimed, strict=True), "D", linestyle="none", label=legend, **look)
        texts = [
            f"{100 * v:.1f} %  [{100 * low:.1f}, {100 * high:.1f}]"
            for v, low, high in zip(values, lows, highs, strict=True)
        ]
        _describe_rows(axes, labels, texts)
        shown = [*lows, *highs, *(claim for claim, _ in claimed)]
        axes.set_xlim(min(shown) - 0.03, max(shown) + 0.03)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
        figure.legend(loc="outside lower center", ncols=2, fontsize=9)


def effects(rows: list[tuple[str, float, float, float]], path: Path) -> None:
    """Differences of accuracy (label, value, low, high), shares, from top to bottom, beside a line at zero."""
    labels, values, lows, highs = zip(*rows, strict=True)
    places = np.arange(len(rows))
    with new_figure(path, 8, 0.9 + 0.55 * len(rows)) as figure:
        axes = figure.subplots()
        axes.axvline(0, color=GREY, linewidth=1)
        axes.hlines(places, lows, highs, color=BLUE, linewidth=2)
        axes.plot(values, places, "o", color=BLUE, markersize=6)
        texts = [
            f"{100 * v:+.1f}  [{100 * low:+.1f}, {100 * high:+.1f}]"
            for v, low, high in zip(values, lows, highs, strict=True)
        ]
        _describe_rows(axes, labels, texts)
        reach = 1.1 * max(map(abs, [*lows, *highs]))
        axes.set_xlim(-reach, reach)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:+.0f}" if share else "0"))
        axes.set_xlabel("points of accuracy: left, the other is ahead; right, the reference")


def _row_height(rows: int) -> float:
    """Inches of a row: fewer where there are many, with room for a line of text."""
    return 0.42 if rows <= 12 else 0.25


def _describe_rows(axes: Axes, labels: tuple[str, ...], texts: list[str]) -> None:
    """A label to the left of each row and its figures to the right."""
    places = np.arange(len(labels))
    for place, text in enumerate(texts):
        axes.text(1.02, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=9)
    wide = _row_height(len(labels)) < 0.4
    axes.set_yticks(places, labels if wide else [wrap(label, 36) for label in labels], fontsize=9)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.grid(True, axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
