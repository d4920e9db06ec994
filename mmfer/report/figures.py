"""Every plot of the project. Each function writes one PNG, atomically, and returns nothing.

Figures are matplotlib objects without pyplot: no window, no global state. Colours are those of Okabe and Ito, which
people with any kind of colour vision tell apart. Shares are between 0 and 1 and shown as percentages.
"""

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter

from mmfer.face.points import OUTLINES
from mmfer.files import new_file

DPI = 130
STYLE = {
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


def modalities(
    image: np.ndarray,
    landmarks: np.ndarray,
    hog: np.ndarray,
    path: Path,
    orientations: int = 9,
    cells: int = 6,
    block_cells: int = 2,
) -> None:
    """The paper's figure 1: one face (48, 48) uint8, its landmarks (68, 2) in pixels and its HOG (900,) as strokes."""
    with _figure(path, 9, 3.4) as figure:
        panels = figure.subplots(1, 3)
        titles = ("(a) face image", "(b) 68 landmarks", "(c) histogram of oriented gradients")
        for axes, title in zip(panels, titles, strict=True):
            axes.set_title(title, fontsize=11)
            axes.set(xlim=(-0.5, 47.5), ylim=(47.5, -0.5), aspect="equal")
            axes.axis("off")
        for axes in panels[:2]:
            axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        for first, last, closed in OUTLINES:
            points = [*range(first, last + 1), *([first] if closed else [])]
            panels[1].plot(*landmarks[points].T, color=ORANGE, linewidth=1.2)
        panels[1].plot(*landmarks.T, "o", markersize=3.4, color=SKY, markeredgecolor=BLACK, markeredgewidth=0.5)
        _draw_strokes(panels[2], cell_orientations(hog, orientations, cells, block_cells))


def cell_orientations(hog: np.ndarray, orientations: int, cells: int, block_cells: int) -> np.ndarray:
    """HOG descriptor in scikit-image's order -> mean strength per cell and gradient orientation (cells, cells, o).

    Each cell stands in up to block_cells^2 overlapping blocks, normalised differently in each; the mean is taken over
    the blocks that hold it.
    """
    blocks = cells - block_cells + 1
    values = np.asarray(hog, dtype=np.float64).reshape(blocks, blocks, block_cells, block_cells, orientations)
    total, count = np.zeros((cells, cells, orientations)), np.zeros((cells, cells, 1))
    for row, column in np.ndindex(block_cells, block_cells):
        window = np.s_[row : row + blocks, column : column + blocks]
        total[window] += values[:, :, row, column]
        count[window] += 1
    return total / count


def stroke_segments(strength: np.ndarray, side: int = 48) -> np.ndarray:
    """Strength (cells, cells, o) -> one stroke per value (cells * cells * o, 2 ends, 2) in pixels x, y of the image.

    A stroke runs along the edge, thus at right angles to the gradient, through the middle of its cell; its length is
    in proportion to the strength, and the strongest one is as long as the cell.
    """
    cells, _, orientations = strength.shape
    angle = np.pi * (np.arange(orientations) + 0.5) / orientations  # of the gradient, at the middle of the bin
    along = np.stack([-np.sin(angle), np.cos(angle)], axis=1)  # (o, 2), y down
    middle = (np.arange(cells) + 0.5) * side / cells - 0.5
    centre = np.stack(np.meshgrid(middle, middle), axis=-1)[:, :, None]  # (cells, cells, 1, 2)
    half = strength[..., None] / max(strength.max(), 1e-12) * side / cells / 2 * along
    return np.stack([centre - half, centre + half], axis=-2).reshape(-1, 2, 2)


def _draw_strokes(axes: Axes, strength: np.ndarray) -> None:
    axes.add_patch(Rectangle((-0.5, -0.5), 48, 48, facecolor=BLACK))
    cell = 48 / len(strength)
    edges = np.arange(1, len(strength)) * cell - 0.5
    axes.vlines(edges, -0.5, 47.5, color="#333333", linewidth=0.6)
    axes.hlines(edges, -0.5, 47.5, color="#333333", linewidth=0.6)
    shade = 0.25 + 0.75 * strength.ravel() / max(strength.max(), 1e-12)
    order = np.argsort(shade)  # strong strokes over weak ones
    segments, greys = stroke_segments(strength)[order], np.repeat(shade[order, None], 3, axis=1)
    axes.add_collection(LineCollection(segments, colors=greys, linewidths=1.3, capstyle="round"), autolim=False)


def sample_faces(images: dict[str, np.ndarray], counts: dict[str, dict[str, int]], title: str, path: Path) -> None:
    """The paper's figure 2: faces {class: (K, 48, 48) uint8} and images per class {split: {class: n}} as bars."""
    names = [_wrap(name, 14) for name in images]
    row, bars, gap, name_width = 0.85, 4.2, 0.25, 0.3 + 0.09 * _longest_line(names)  # inches
    faces, rows_height = row * max(len(rows) for rows in images.values()), row * len(images)
    width = name_width + faces + gap + bars + gap
    top = 0.35 + _title_height(title, width)
    height = top + rows_height + 0.15
    with _figure(path, width, height, title, layout="none") as figure:
        inches = np.array([width, height, width, height])
        left = figure.add_axes([name_width, 0.15, faces, rows_height] / inches)
        right = figure.add_axes([name_width + faces + gap, 0.15, bars, rows_height] / inches)
        for place, rows in enumerate(images.values()):
            for column, image in enumerate(rows):
                _draw_face(left, image, column, place, 1)
        left.set(xlim=(0, faces / row), ylim=(len(images), 0), xticks=[])
        left.set_yticks(np.arange(len(images)) + 0.5, names, fontsize=11)
        left.tick_params(length=0)
        left.spines[:].set_visible(False)
        _draw_counts(right, list(images), counts)


def _draw_face(axes: Axes, image: np.ndarray, x: float, y: float, side: float) -> None:
    """Draw a face (48, 48) with its upper left corner at (x, y), a sliver of white around it."""
    margin = 0.02 * side
    extent = (x + margin, x + side - margin, y + side - margin, y + margin)
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, extent=extent, interpolation="lanczos", aspect="auto")


def _draw_counts(axes: Axes, classes: list[str], counts: dict[str, dict[str, int]]) -> None:
    """Horizontal bars, one row per class, the splits end to end, the sum beside them."""
    places, end = np.arange(len(classes)) + 0.5, np.zeros(len(classes), dtype=np.int64)
    for (split, of_class), colour in zip(counts.items(), (BLUE, ORANGE, GREEN), strict=False):
        sizes = np.array([of_class[name] for name in classes])
        axes.barh(places, sizes, left=end, height=0.5, color=colour, label=f"{split} ({sizes.sum():,})")
        end += sizes
    for place, total in zip(places, end, strict=True):
        axes.annotate(f"{total:,}", (total, place), (4, 0), textcoords="offset points", va="center")
    axes.set(ylim=(len(classes), 0), yticks=[], xticks=[], xlim=(0, 1.17 * max(end.max(), 1)))
    axes.spines["bottom"].set_visible(False)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=len(counts), handlelength=1, columnspacing=1.2)


def roc_curves(curves: dict[str, tuple[np.ndarray, np.ndarray, float]], title: str, path: Path) -> None:
    """The paper's figure 5: {class: (false positive rates, true positive rates, area)}, each class against the rest."""
    names = [_wrap(name, 20) for name in curves]
    # The width leaves the axes about square. Fixing their aspect would let the layout push labels off the page.
    width = 6.6 + 0.09 * _longest_line(["chance", *names])
    with _figure(path, width, 4.9 + _title_height(title, width), title) as figure:
        axes = figure.subplots()
        for place, (name, (fpr, tpr, area)) in enumerate(zip(names, curves.values(), strict=True)):
            style = {"color": COLOURS[place % 7], "linestyle": ("-", "--")[place % 2]}
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
    names = [_wrap(name, 12) for name in classes]
    turned = _longest_line(names) > 8
    side, name_width = 0.76 * max(len(classes), 4), 0.09 * _longest_line(names)  # inches
    width = side + name_width + 0.6
    height = side + 0.5 + (0.8 * name_width if turned else 0.1) + _title_height(title, width)
    with _figure(path, width, height, title) as figure:
        axes = figure.subplots()
        axes.imshow(colormaps["Blues"](shares), aspect="auto")
        for (row, column), share in np.ndenumerate(shares):
            style = {"ha": "center", "textcoords": "offset points", "color": _ink(colormaps["Blues"](share))}
            shown = f"{100 * share:.1f}" if totals[row, 0] else "–"
            axes.annotate(shown, (column, row), (0, 4), va="center", fontsize=11, **style)
            axes.annotate(f"{matrix[row, column]:,}", (column, row), (0, -11), va="center", fontsize=7.5, **style)
        ticks = range(len(classes))
        turn = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if turned else {}
        axes.set_xticks(ticks, names, **turn)
        axes.set_yticks(ticks, names)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set(xlabel="predicted class", ylabel="true class (each row: 100 %)")


def _ink(colour: tuple[float, ...]) -> str:
    """Black or white, whichever has the higher contrast (WCAG 2.1) with a background colour (red, green, blue, ...)."""
    luminance = np.array(colour[:3]) ** 2.2 @ [0.2126, 0.7152, 0.0722]
    return BLACK if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#ffffff"


def training_curves(history: pd.DataFrame, title: str, path: Path) -> None:
    """Loss, accuracy and learning rate by epoch.

    history: a row per epoch with epoch, learning_rate, train_loss, train_accuracy and, where there is a validation
    split, val_loss and val_accuracy; columns fold and seed tell several trainings apart, each of which gets its lines.
    """
    keys = [name for name in ("fold", "seed") if name in history]
    trainings = [part for _, part in history.groupby(keys)] if keys else [history]
    marker = "o" if history["epoch"].max() <= 30 else ""  # a single epoch is a point, not an invisible line
    look = {"marker": marker, "markersize": 3.5, "linewidth": 1.5 if len(trainings) == 1 else 0.9}
    with _figure(path, 8.5, 5, title) as figure:
        panels = figure.subplot_mosaic([["loss", "accuracy"], ["rate", "rate"]], height_ratios=[3, 1])
        for part in trainings:
            _draw_training(panels, part, look)
        for name in ("loss", "accuracy"):
            panels[name].set_title(name, loc="left")
            handles, labels = panels[name].get_legend_handles_labels()
            unique = dict(zip(labels, handles, strict=True))
            panels[name].legend(unique.values(), unique.keys())
        _describe_axes(panels, history)


def _draw_training(panels: dict[str, Axes], history: pd.DataFrame, look: dict[str, object]) -> None:
    for split, name, colour, style in (("train", "training", BLUE, "--"), ("val", "validation", VERMILLION, "-")):
        for quantity in ("loss", "accuracy"):
            if f"{split}_{quantity}" in history:
                values = history[f"{split}_{quantity}"]
                panels[quantity].plot(history["epoch"], values, label=name, color=colour, linestyle=style, **look)
    panels["rate"].plot(history["epoch"], history["learning_rate"], color=GREY, **look)
    if "val_accuracy" in history:
        best = history.iloc[history["val_accuracy"].argmax()]
        point = (best["epoch"], best["val_accuracy"])
        panels["accuracy"].plot(*point, "D", color=BLACK, markersize=5, linestyle="none", label="best validation")


def _describe_axes(panels: dict[str, Axes], history: pd.DataFrame) -> None:
    epochs = history["epoch"]
    for axes in panels.values():
        axes.grid(True)
        axes.set_xlim(epochs.min() - 0.5, epochs.max() + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    panels["accuracy"].yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    panels["rate"].set_ylim(0, 1.1 * history["learning_rate"].max())
    panels["rate"].set_title("learning rate", loc="left")
    panels["rate"].set_xlabel("epoch")


def contact_sheet(
    images: np.ndarray,
    captions: list[str] | None,
    columns: int,
    path: Path,
    landmarks: np.ndarray | None = None,
    title: str = "",
) -> None:
    """Enlarged faces (N, 48, 48) uint8 in a grid, N may be 0; landmarks (N, 68, 2) in pixels are drawn as dots."""
    cell, line, margin = 1.15, 0.13, 0.1  # inches
    lines = [_wrap(caption, 18, break_long_words=True) for caption in captions or []]
    step = cell + line * max((text.count("\n") + 1.6 for text in lines), default=0)
    columns = max(min(columns, len(images)), 3)
    rows = max(-(-len(images) // columns), 1)
    width = columns * cell + 2 * margin
    height = rows * step + 2 * margin + _title_height(title, width)
    with _figure(path, width, height, title, layout="none") as figure:
        axes = figure.add_axes([margin / width, margin / height, columns * cell / width, rows * step / height])
        axes.axis("off")
        for place, image in enumerate(images):
            x, y = place % columns * cell, place // columns * step
            _draw_face(axes, image, x, y, cell)
            if lines:
                axes.text(x + cell / 2, y + cell + 0.02, lines[place], ha="center", va="top", fontsize=8)
            if landmarks is not None:
                scale = cell * 0.96 / 48  # _draw_face keeps 2 % free on each side
                points = (landmarks[place] + 0.5) * scale + [x + 0.02 * cell, y + 0.02 * cell]
                axes.plot(*points.T, "o", markersize=1.8, color=ORANGE, markeredgewidth=0)
        axes.set(xlim=(0, columns * cell), ylim=(rows * step, 0))
        if not len(images):
            axes.text(0.5, 0.5, "no images", transform=axes.transAxes, ha="center", va="center", color=GREY)


def interval_bars(rows: list[tuple[str, float, float, float, float | None]], title: str, path: Path) -> None:
    """Accuracies (label, value, low, high, claim or None), shares, from top to bottom; claims are hollow marks."""
    labels, values, lows, highs, claims = zip(*rows, strict=True)
    places = np.arange(len(rows))
    with _figure(path, 8, 1.6 + 0.42 * len(rows), title) as figure:
        axes = figure.subplots()
        axes.hlines(places, lows, highs, color=BLUE, linewidth=2)
        axes.plot(values, places, "o", color=BLUE, markersize=7, label="measured here, with its 95 % interval")
        claimed = [(claim, place) for claim, place in zip(claims, places, strict=True) if claim is not None]
        if claimed:
            look = {"color": VERMILLION, "markerfacecolor": "none", "markersize": 8, "markeredgewidth": 1.6}
            legend = "claimed in the paper (its own filtered test set)"
            axes.plot(*zip(*claimed, strict=True), "D", linestyle="none", label=legend, **look)
        for place, value, low, high in zip(places, values, lows, highs, strict=True):
            text = f"{100 * value:.1f} %  [{100 * low:.1f}, {100 * high:.1f}]"
            axes.text(1.02, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=9)
        axes.set_yticks(places, [_wrap(label, 32) for label in labels])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        shown = [*lows, *highs, *(claim for claim, _ in claimed)]
        axes.set_xlim(min(shown) - 0.03, max(shown) + 0.03)
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
        axes.grid(True, axis="x")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        figure.legend(loc="outside lower center", ncols=2, fontsize=9)


@contextmanager
def _figure(path: Path, width: float, height: float, title: str = "", layout: str = "constrained") -> Iterator[Figure]:
    """Yield a figure of this size in inches; it is written to `path` when the block ends without an error."""
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout=layout)
        if title:
            # A constrained layout finds the place of the title itself, but only where none is given.
            place = {} if layout == "constrained" else {"y": 1 - 0.1 / height}
            figure.suptitle(_wrap_title(title, width), **place)
        yield figure
        with new_file(Path(path)) as temporary:
            figure.savefig(temporary, dpi=DPI, metadata={"Software": None})


def _title_height(title: str, width: float) -> float:
    """Inches that a title takes at the top of a figure `width` inches wide."""
    return 0.15 + 0.2 * (_wrap_title(title, width).count("\n") + 1) if title else 0.0


def _wrap_title(title: str, width: float) -> str:
    return _wrap(title, int(10.5 * width))


def _wrap(text: str, width: int, break_long_words: bool = False) -> str:
    """Break each line of a text at about `width` characters."""
    return "\n".join(textwrap.fill(line, width, break_long_words=break_long_words) for line in text.splitlines())


def _longest_line(texts: list[str]) -> int:
    return max(len(line) for text in texts for line in text.splitlines())
