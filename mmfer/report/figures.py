"""Pictures of faces: the paper's figures 1 and 2, and contact sheets. Each function writes one PNG at once.

Drawn by the stages study and sheets and by the demo alone, so that a new colour makes no data or model again.
"""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle

from mmfer.face.points import OUTLINES
from mmfer.report.canvas import BLACK, BLUE, GREEN, GREY, ORANGE, SKY, longest_line, new_figure, title_height, wrap


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
    with new_figure(path, 9, 3.4) as figure:
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
    axes.add_collection(LineCollection(list(segments), colors=greys, linewidths=1.3, capstyle="round"), autolim=False)


def sample_faces(images: dict[str, np.ndarray], counts: dict[str, dict[str, int]], title: str, path: Path) -> None:
    """The paper's figure 2: faces {class: (K, 48, 48) uint8} and images per class {split: {class: n}} as bars."""
    names = [wrap(name, 14) for name in images]
    row, bars, gap, name_width = 0.85, 4.2, 0.25, 0.3 + 0.09 * longest_line(names)  # inches
    faces, rows_height = row * max(len(rows) for rows in images.values()), row * len(images)
    width = name_width + faces + gap + bars + gap
    top = 0.35 + title_height(title, width)
    height = top + rows_height + 0.15
    with new_figure(path, width, height, title, layout=None) as figure:
        bottom, share = 0.15 / height, rows_height / height
        left = figure.add_axes((name_width / width, bottom, faces / width, share))
        right = figure.add_axes(((name_width + faces + gap) / width, bottom, bars / width, share))
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
    lines = [wrap(caption, 18, break_long_words=True) for caption in captions or []]
    step = cell + line * max((text.count("\n") + 1.6 for text in lines), default=0)
    columns = max(min(columns, len(images)), 3)
    rows = max(-(-len(images) // columns), 1)
    width = columns * cell + 2 * margin
    height = rows * step + 2 * margin + title_height(title, width)
    with new_figure(path, width, height, title, layout=None) as figure:
        axes = figure.add_axes((margin / width, margin / height, columns * cell / width, rows * step / height))
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
