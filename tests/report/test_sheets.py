"""Pictures of a data set's faces: which faces they show."""

import numpy as np
import pandas as pd
from PIL import Image

from mmfer.config import StudyParams
from mmfer.data.faceset import FaceSet, open_faceset
from mmfer.report import figures, sheets
from mmfer.report.sheets import four_faces, write_sheets


def test_the_four_faces_are_found_ones_of_four_classes_and_do_not_depend_on_results(tmp_path):
    label = np.arange(30) % 7
    index = pd.DataFrame({"condition": np.repeat(["clean", "fog 1"], 30), "label": np.tile(label, 2), "found": True})
    index.loc[:29, "found"] = np.arange(30) % 2 == 0
    index.to_parquet(tmp_path / "index.parquet")
    faces = FaceSet(tmp_path, "d", list("abcdefg"), len(index))
    rows = four_faces(faces, 0)
    assert len(set(label[rows])) == 4
    assert (rows % 2 == 0).all()
    assert (rows == four_faces(faces, 0)).all()


def test_hidden_faces_are_shown_where_there_are_some(data, tmp_path, monkeypatch):
    hidden = open_faceset(data / "hidden")
    sheets.hidden(hidden, tmp_path / "hidden.png")
    assert not (tmp_path / "hidden.png").exists()
    shown = []
    monkeypatch.setattr(figures, "contact_sheet", lambda images, *_, **__: shown.append(images))
    images = np.zeros((70, 48, 48), np.uint8)
    sheets.hidden(FaceSet(tmp_path, "d", ["a"], 70, {"images": images}), tmp_path / "hidden.png")
    assert shown[0].shape == (60, 48, 48)


def test_sheets_show_rejected_images_copies_and_conditions(data, monkeypatch):
    shown, draw = {}, figures.contact_sheet

    def contact_sheet(images, captions, columns, path, **more):
        shown[path.name] = images
        draw(images, captions, columns, path, **more)

    monkeypatch.setattr(figures, "contact_sheet", contact_sheet)
    write_sheets(data, StudyParams(faces_per_class=1))
    names = sorted(file.name for file in (data / "sheets").iterdir())
    assert names == ["conditions.png", "copies.png", "faces.png", "modalities.png", "perturbed.png", "rejected.png"]
    raw = np.load(data / "raw/images.npy")
    np.testing.assert_array_equal(shown["rejected.png"], raw[9::10])  # the tiny set rejects each tenth image
    assert len(shown["perturbed.png"]) == 10 + 1 + 15  # the paper's conditions, the clean face, a corruption each
    for name in names:
        with Image.open(data / "sheets" / name) as picture:
            assert picture.mode == "P"
