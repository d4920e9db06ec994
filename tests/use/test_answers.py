"""Faces as a table: a row for each, the same cells as the CSV, from photos of any form, folders and videos."""

import base64
import io
import os
import sys
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mmfer.errors import MmferError
from mmfer.use.answers import answers, columns, stream, table
from mmfer.use.media import read_media
from mmfer.use.output import csv_rows
from mmfer.use.photos import Picture
from mmfer.use.tracks import follow
from tests.use.photos import CLASSES, encode, made_face, write_video


class FakePredictor:
    """A face for each hundred grey levels; notes how many pictures it is given at once."""

    classes = CLASSES

    def __init__(self):
        self.batches = []

    def predict(self, pictures):
        self.batches.append(len(pictures))
        return [self.faces(picture.pixels.mean()) for picture in pictures]

    def faces(self, level):
        return [replace(made_face(left=90.0 * n), weak=n > 0) for n in range(int(level // 100))]


@pytest.fixture
def photos(tmp_path):
    """Photos with no, one and two faces."""
    for name, level in (("a", 50), ("b", 150), ("c", 250)):
        (tmp_path / f"{name}.png").write_bytes(encode(np.full((80, 120, 3), level, np.uint8)))
    return tmp_path


def test_a_row_for_each_face_says_where_it_is_and_what_it_shows(photos):
    made = table(FakePredictor(), [photos / "a.png", str(photos / "b.png"), (photos / "c.png").read_bytes()])
    assert list(made.columns) == columns(CLASSES)
    assert made["file"].tolist() == [f"{photos}/b.png", "photo 2", "photo 2"]
    assert made["x0"].tolist() == [0, 0, 90]
    assert made["weak"].tolist() == [False, False, True]
    assert made["happy"].tolist() == [0.9] * 3
    assert made["expression"].tolist() == ["happy"] * 3
    assert made[["frame", "seconds", "track"]].isna().all(axis=None)


def test_the_table_is_the_csv(photos, monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    write_video(photos / "v.mp4", [np.full((80, 120, 3), 150, np.uint8)] * 3)
    paths = [photos / "b.png", photos / "c.png", photos / "v.mp4"]
    with csv_rows(CLASSES) as add:
        for path in paths:
            for item, faces in follow(answers(read_media([str(path)]), FakePredictor())):
                add(item, faces)
    made, written = table(FakePredictor(), paths), pd.read_csv(io.StringIO(out.getvalue()))
    assert list(written.columns) == list(made.columns)
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(made.to_csv(index=False))), written)
    assert made["seconds"].tolist()[-3:] == [0, 0.1, 0.2]
    assert made["track"].tolist()[-3:] == [1, 1, 1]


def test_one_photo_a_folder_and_a_stack_are_taken_too(photos):
    assert table(FakePredictor(), np.full((80, 120, 3), 150, np.uint8))["file"].tolist() == ["photo 0"]
    assert table(FakePredictor(), photos)["file"].tolist() == [f"{photos}/{name}.png" for name in "bcc"]
    stack = np.full((2, 80, 120, 3), 150, np.uint8)
    assert table(FakePredictor(), stack)["file"].tolist() == ["photo 0", "photo 1"]


@pytest.mark.parametrize("scheme", ["data", "DATA"])
def test_a_data_url_is_no_path_however_it_is_written(photos, scheme):
    url = f"{scheme}:image/png;base64,{base64.b64encode((photos / 'b.png').read_bytes()).decode()}"
    assert table(FakePredictor(), [url])["file"].tolist() == ["photo 0"]


def test_a_file_that_cannot_be_read_is_a_warning_and_a_thing_that_is_no_photo_an_error(photos):
    (photos / "broken.png").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"broken\.png: empty; copy or download it again"):
        assert len(table(FakePredictor(), photos)) == 3
    with pytest.raises(MmferError, match="photo 1: int is no photo"):
        table(FakePredictor(), [photos / "b.png", 5])


def test_a_photo_whose_name_is_not_utf8_has_its_row(tmp_path):
    with open(os.fsencode(tmp_path) + b"/\xff.png", "wb") as file:
        file.write(encode(np.full((80, 120, 3), 150, np.uint8)))
    assert table(FakePredictor(), tmp_path)["file"].tolist() == [f"{tmp_path}/\ufffd.png"]


def test_a_table_without_faces_has_its_columns(photos):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = table(FakePredictor(), photos / "a.png")
    assert (len(made), list(made.columns), made["frame"].dtype) == (0, columns(CLASSES), "Int64")


def test_frames_are_read_as_they_are_needed(photos):
    predictor = FakePredictor()
    items = (Picture(f"{n}", np.full((80, 120, 3), 150, np.uint8)) for n in range(20))
    found = answers(items, predictor, 8)
    next(found)
    assert predictor.batches == [8]
    assert len(list(items)) == 12


def test_a_table_of_every_third_frame(photos):
    write_video(photos / "v.mp4", [np.full((80, 120, 3), 150, np.uint8)] * 7)
    made = table(FakePredictor(), photos / "v.mp4", every=3)
    assert made["frame"].tolist() == [0, 3, 6]


def test_a_table_of_a_video_is_smoothed_unless_it_shall_not_be(photos):
    predictor = FakePredictor()
    shown = iter([0.0, 1.0] * 2)
    predictor.predict = lambda pictures: [[made_face(happy=next(shown))] for _ in pictures]
    write_video(photos / "v.mp4", [np.full((80, 120, 3), 150, np.uint8)] * 2)
    assert 0 < table(predictor, photos / "v.mp4")["happy"].tolist()[1] < 0.5
    assert table(predictor, photos / "v.mp4", smooth=0)["happy"].tolist() == [0, 1]


def test_arrays_are_bgr_where_it_is_said():
    shown = []
    predictor = FakePredictor()
    predictor.predict = lambda pictures: shown.extend(pictures) or [[] for _ in pictures]
    table(predictor, np.full((8, 8, 3), [1, 2, 3], np.uint8), bgr=True)
    assert shown[0].pixels[0, 0].tolist() == [3, 2, 1]


def test_a_stream_answers_photos_as_they_come(photos):
    predictor = FakePredictor()
    taken = []
    images = (taken.append(n) or np.full((80, 120, 3), 60 * n, np.uint8) for n in range(5))
    found = stream(predictor, images, False, 2)
    assert (len(next(found)), taken) == (0, [0, 1])
    assert [len(faces) for faces in found] == [0, 1, 1, 2]
    assert predictor.batches == [2, 2, 1]


def test_a_stream_of_one_photo_has_its_faces_alone(photos):
    for one in (str(photos / "c.png"), photos / "c.png", (photos / "c.png").read_bytes(), np.full((80, 120, 3), 250.0)):
        image = one if not isinstance(one, np.ndarray) else one.astype(np.uint8)
        assert [len(faces) for faces in stream(FakePredictor(), image, False, 8)] == [2]


def test_a_stream_goes_on_after_what_is_no_photo_and_remembers_paths_alone(photos):
    images = [photos / "b.png", b"no photo", np.full((80, 120, 3), 250, np.uint8)]
    with pytest.warns(UserWarning, match="photo 1: not a photo that can be read"):
        found = list(stream(FakePredictor(), images, False, 8))
    assert [len(faces) for faces in found] == [1, 0, 2]
    assert [faces.photo for faces in found] == [str(photos / "b.png"), None, None]
    assert found[1].error.startswith("photo 1: not a photo")
    assert found[0].error is found[2].error is None
