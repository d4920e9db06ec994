"""Figures: what is drawn lies where it should, and texts stand apart on the page."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from skimage.feature import hog

from mmfer.report import canvas, charts, figures

SEVEN = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
LONG_TITLE = "a system on a dataset: its protocol, stated at such length that no figure holds it in one line, " * 2
TWO = ["a class with a rather long name", "another_name_without_any_spaces"]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved, as objects."""
    figures_saved, save = [], Figure.savefig

    def savefig(figure, *args, **kwargs):
        save(figure, *args, **kwargs)
        figures_saved.append(figure)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return figures_saved


def faces(rng, count):
    return rng.integers(0, 256, (count, 48, 48), dtype=np.uint8)


def landmarks(rng, count):
    return rng.uniform(2, 45, (count, 68, 2)).astype(np.float32)


def draw_modalities(rng, classes, path):
    figures.modalities(faces(rng, 1)[0], landmarks(rng, 1)[0], rng.random(900).astype(np.float16), path)


def draw_sample_faces(rng, classes, path):
    counts = {split: dict.fromkeys(classes, 1000) for split in ("train", "val", "test")}
    figures.sample_faces({name: faces(rng, 3) for name in classes}, counts, LONG_TITLE, path)


def draw_roc_curves(rng, classes, path):
    charts.roc_curves(
        {name: (np.array([0, 0.2, 1]), np.array([0, 0.7, 1]), 0.75) for name in classes}, LONG_TITLE, path
    )


def draw_confusion(rng, classes, path):
    charts.confusion(rng.integers(0, 9, (len(classes), len(classes))), classes, LONG_TITLE, path)


def draw_contact_sheet(rng, classes, path):
    captions = [f"{name}\n{'folder/' * 9}file.png" for name in classes]
    figures.contact_sheet(faces(rng, len(classes)), captions, 4, path, landmarks(rng, len(classes)), LONG_TITLE)


def draw_interval_bars(rng, classes, path):
    rows = [(name, 0.6, 0.58, 0.62, 0.8 if place else None) for place, name in enumerate(classes)]
    charts.interval_bars(rows, "Accuracy", path)


def draw_many_intervals(rng, classes, path):
    charts.interval_bars([(f"system_number_{place}", 0.6, 0.58, 0.62, None) for place in range(35)], "Accuracy", path)


def draw_effects(rng, classes, path):
    charts.effects([(f"{name}: a claim of the paper: against vgg", 0.1, -0.1, 0.3) for name in classes], path)


DRAWINGS = [
    *(draw_many_intervals, draw_effects),
    *(draw_modalities, draw_sample_faces, draw_roc_curves, draw_confusion),
    *(draw_contact_sheet, draw_interval_bars),
]


def text_boxes(figure, monkeypatch):
    """[(text, box in pixels)] of all texts that come onto the page, save slanted ones: their upright boxes overlap."""
    boxes, draw = [], Text.draw

    def record(text, renderer):
        draw(text, renderer)
        if text.get_text() and text.get_visible() and text.get_rotation() in (0, 90):
            boxes.append((text.get_text(), text.get_window_extent(renderer)))

    figure.set_dpi(canvas.DPI)
    monkeypatch.setattr(Text, "draw", record)
    FigureCanvasAgg(figure).draw()
    return boxes


@pytest.mark.parametrize("draw", DRAWINGS)
@pytest.mark.parametrize("classes", [SEVEN, TWO], ids=["seven", "two"])
def test_every_figure_is_a_png_of_sensible_size_with_its_texts_on_the_page_and_apart(
    draw, classes, rng, tmp_path, drawn, monkeypatch
):
    draw(rng, classes, tmp_path / "new" / "figure.png")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["figure.png"]  # no temporary left
    with Image.open(tmp_path / "new" / "figure.png") as picture:
        assert picture.format == "PNG"
        assert 300 <= picture.width <= 1600
        assert 180 <= picture.height <= 1400
    boxes, page = text_boxes(drawn[0], monkeypatch), drawn[0].bbox
    assert len(boxes) >= 3
    for text, box in boxes:
        assert page.x0 - 1 <= box.x0 <= box.x1 <= page.x1 + 1, text
        assert page.y0 - 1 <= box.y0 <= box.y1 <= page.y1 + 1, text
    for (text, box), (other, other_box) in combinations(boxes, 2):
        assert not box.padded(-1).overlaps(other_box.padded(-1)), f"{text!r} covers {other!r}"


def test_a_figure_that_fails_leaves_the_former_one(rng, tmp_path):
    path = tmp_path / "modalities.png"
    path.write_bytes(b"former")
    with pytest.raises(ValueError, match="reshape"):
        figures.modalities(faces(rng, 1)[0], landmarks(rng, 1)[0], np.zeros(899), path)
    assert path.read_bytes() == b"former"
    assert list(tmp_path.iterdir()) == [path]


def test_a_figure_is_the_same_bytes_each_time(tmp_path):
    for name in ("a.png", "b.png"):
        charts.interval_bars([("ours", 0.6, 0.58, 0.62, None)], "Accuracy", tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def stripes(angle_deg):
    """Face of waves whose gradient points at this angle (x right, y down)."""
    y, x = np.mgrid[:48, :48]
    angle = np.deg2rad(angle_deg)
    return 127 + 120 * np.sin((x * np.cos(angle) + y * np.sin(angle)) * 0.9)


def strongest_stroke(image):
    strength = figures.cell_orientations(hog(image, 9, (8, 8), (2, 2), block_norm="L2-Hys"), 9, 6, 2)
    ends = figures.stroke_segments(strength).reshape(6, 6, 9, 2, 2)[2, 3]
    return strength, ends[strength[2, 3].argmax()]


def test_horizontal_edges_give_horizontal_strokes_in_every_cell():
    strength, (start, end) = strongest_stroke(stripes(90))
    assert (strength.argmax(axis=2) == 4).all()  # bin 4 of 9 spans 80 to 100 degrees
    assert start[1] == pytest.approx(end[1])
    assert abs(end[0] - start[0]) == pytest.approx(8, rel=0.15)  # as long as the cell, nearly: it is the strongest


@pytest.mark.parametrize("angle", [10, 50, 130, 170])
def test_strokes_run_along_the_edges_as_seen_on_the_page(angle):
    start, end = strongest_stroke(stripes(angle))[1]
    gradient = np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))])
    assert (end - start) @ gradient == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose((start + end) / 2, [3 * 8 + 3.5, 2 * 8 + 3.5])  # column 3, row 2


def test_cell_orientations_find_each_cell_in_every_block_that_holds_it(rng):
    cells = rng.random((6, 6, 9))
    blocks = [cells[row : row + 2, column : column + 2] for row in range(5) for column in range(5)]
    np.testing.assert_allclose(figures.cell_orientations(np.ravel(blocks), 9, 6, 2), cells)


def test_cell_orientations_average_over_the_blocks():
    # 2 x 2 cells in blocks of one: nothing overlaps. 3 cells in blocks of two: the middle one stands in four blocks.
    np.testing.assert_array_equal(figures.cell_orientations(np.arange(4), 1, 2, 1)[..., 0], [[0, 1], [2, 3]])
    values = np.repeat([1, 2, 3, 6], 4)
    np.testing.assert_array_equal(
        figures.cell_orientations(values, 1, 3, 2)[..., 0], [[1, 1.5, 2], [2, 3, 4], [3, 4.5, 6]]
    )


def test_a_blank_face_has_strokes_of_no_length(rng, tmp_path):
    segments = figures.stroke_segments(np.zeros((6, 6, 9)))
    assert np.isfinite(segments).all()
    np.testing.assert_array_equal(segments[:, 0], segments[:, 1])
    figures.modalities(faces(rng, 1)[0], landmarks(rng, 1)[0], np.zeros(900), tmp_path / "blank.png")


def test_modalities_follow_other_hog_settings(rng, tmp_path):
    path = tmp_path / "small_cells.png"
    figures.modalities(faces(rng, 1)[0], landmarks(rng, 1)[0], rng.random(10 * 10 * 9 * 6), path, 6, 12, 3)
    assert path.exists()


def test_confusion_of_an_absent_class_is_a_dash_and_dark_cells_have_white_text(tmp_path, drawn):
    charts.confusion(np.array([[1990, 10], [0, 0]]), ["a", "b"], "", tmp_path / "confusion.png")
    texts = [(text.get_text(), text.get_color()) for text in drawn[0].axes[0].texts]
    black, white = "#000000", "#ffffff"
    assert texts == [
        *(("99.5", white), ("1,990", white), ("0.5", black), ("10", black)),
        *(("–", black), ("0", black), ("–", black), ("0", black)),
    ]


@pytest.mark.parametrize("classes", [SEVEN, TWO], ids=["seven", "two"])
def test_roc_axes_are_about_square_however_long_the_names(classes, rng, tmp_path, drawn):
    draw_roc_curves(rng, classes, tmp_path / "roc.png")
    width, height = drawn[0].axes[0].get_position().size * drawn[0].get_size_inches()
    assert 0.8 < width / height < 1.25


def test_contact_sheet_of_no_images_says_so_and_is_white(tmp_path):
    figures.contact_sheet(np.zeros((0, 48, 48), dtype=np.uint8), [], 12, tmp_path / "sheet.png", title="Rejected")
    with Image.open(tmp_path / "sheet.png") as picture:
        assert np.mean(np.asarray(picture.convert("L")) == 255) > 0.9


def test_contact_sheet_puts_faces_in_rows_and_landmarks_on_the_pixels(tmp_path):
    images = np.zeros((5, 48, 48), dtype=np.uint8)
    images[4] = 255  # second row, first of four columns
    points = np.full((5, 68, 2), 24.0)
    figures.contact_sheet(images, None, 4, tmp_path / "plain.png")
    figures.contact_sheet(images, None, 4, tmp_path / "dotted.png", landmarks=points)
    plain, dotted = (np.asarray(Image.open(tmp_path / name).convert("L")) for name in ("plain.png", "dotted.png"))
    at = np.array([0.1 + 0.575, 0.1 + 0.575]) * canvas.DPI  # middle of the first face: margin and half a face
    column, row = at.round().astype(int)
    step = round(1.15 * canvas.DPI)
    assert [int(plain[row, column + k * step]) for k in range(4)] == [0, 0, 0, 0]
    assert plain[row + step, column] == 255
    changed = np.argwhere(plain[:step, :step] != dotted[:step, :step])
    np.testing.assert_allclose(changed.mean(axis=0), at, atol=3)  # landmark 24 lies half a pixel (1.4 here) past it
