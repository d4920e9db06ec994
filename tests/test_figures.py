"""Every figure is written, whole; the HOG picture is computed back from the descriptor as it is laid out."""

import cv2
import numpy as np
import pandas as pd
import pytest

from mmfer import figures
from mmfer.config import ExtractParams
from mmfer.features import hog

CLASSES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]


def draw_all(folder, rng, classes):
    faces = rng.integers(0, 256, (6, 48, 48), dtype=np.uint8)
    grid = np.linspace(0, 1, 20)
    history = pd.DataFrame({"epoch": [1, 2, 3], "learning_rate": [1e-3, 5e-4, 1e-5], "train_loss": [2.0, 1.5, 1.2]})
    history = history.assign(train_accuracy=[0.2, 0.4, 0.5], val_loss=1.4, val_accuracy=0.45, fold=-1, seed=0)
    figures.modalities(faces[0], rng.uniform(5, 43, (68, 2)), hog(faces[:1], ExtractParams())[0], folder / "1.png")
    counts = {split: {name: 10 for name in classes} for split in ("train", "test")}
    figures.sample_faces({name: faces[:2] for name in classes}, counts, "faces", folder / "2.png")
    figures.roc_curves({name: (grid, grid**0.5, 0.66) for name in classes}, "ROC", folder / "3.png")
    figures.confusion(rng.integers(0, 50, (len(classes), len(classes))), classes, "confusion", folder / "4.png")
    figures.training_curves(history, "curves", folder / "5.png")
    figures.contact_sheet(faces, [classes[0]] * 6, 3, folder / "6.png", title="sheet")
    figures.contact_sheet(faces[:0], [], 3, folder / "7.png", title="nothing rejected")
    figures.interval_bars(
        [("ours", 64.0, 62.0, 66.0, 83.37), ("svm", 50.0, 48.0, 52.0, None)], "bars", folder / "8.png"
    )


@pytest.mark.parametrize("classes", [CLASSES, ["a", "a class with quite a long name"]])
def test_every_figure_is_a_whole_picture_and_nothing_is_left_over(tmp_path, rng, classes):
    draw_all(tmp_path, rng, classes)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{n}.png" for n in range(1, 9)]
    for path in tmp_path.iterdir():
        picture = cv2.imread(str(path))
        assert picture is not None
        assert min(picture.shape[:2]) > 20
        assert picture.std() > 0


def test_a_picture_of_horizontal_edges_has_its_energy_in_the_vertical_gradient():
    stripes = np.zeros((1, 48, 48), np.uint8)
    stripes[:, 2::4] = 200
    stripes[:, 3::4] = 200
    energy = figures.cell_orientations(hog(stripes, ExtractParams())[0], 9, 6, 2)
    assert energy.shape == (6, 6, 9)
    assert (energy.argmax(axis=2) == 4).all()  # 80 to 100 degrees
