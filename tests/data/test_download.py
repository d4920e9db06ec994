"""From any source to the raw FaceSet: marks, counts and notes."""

import numpy as np
import pandas as pd
import pytest

from mmfer.config import Fer2013Source, SyntheticSource
from mmfer.data.download import READERS, write_raw
from mmfer.data.faceset import open_faceset


@pytest.fixture
def table(tmp_path, rng):
    """fer2013.csv: of seven classes six images for training, two for each test part; three copies between the parts."""
    parts = ["Training"] * 6 + ["PublicTest"] * 2 + ["PrivateTest"] * 2
    rows = [[label, rng.integers(0, 256, 2304), part] for part in parts for label in range(7)]
    rows[42][1] = rows[56][1]  # a validation image is a test image
    rows[0][1], rows[1][1] = rows[43][1], rows[44][1]  # two training images are validation images
    text = [(label, " ".join(map(str, pixels)), part) for label, pixels, part in rows]
    pd.DataFrame(text, columns=["emotion", "pixels", "Usage"]).to_csv(tmp_path / "fer2013.csv", index=False)
    return tmp_path / "fer2013.csv"


def test_copies_between_the_parts_are_counted_noted_and_printed(tmp_path, table, capsys):
    counts, by_class = write_raw(tmp_path / "raw", "f", Fer2013Source(path=str(table)), 2)
    marks = {"duplicate": 0, "duplicate_of_test": 1, "duplicate_of_val": 2}
    assert counts == {"images": 70, **marks, "left_out_of_train": 2, "left_out_of_val": 1}
    assert by_class["images"].tolist() == [6] * 7 + [2] * 14
    raw = open_faceset(tmp_path / "raw", needs=("images",))
    assert raw.index.index[raw.index["duplicate_of_test"]].tolist() == [42]
    assert raw.index.index[raw.index["duplicate_of_val"]].tolist() == [0, 1]
    note = "1 of 14 validation images are exact copies of test images: left out"
    assert note in raw.made_by["notes"]
    assert f"note: {note}\n" in capsys.readouterr().out


def test_a_rendered_data_set_is_what_its_source_renders_and_has_no_copies(tmp_path, rendered):
    source = SyntheticSource(faces=70, identities=14, non_faces=0.0, occluders=0.0, label_noise=0.0)
    counts, _ = write_raw(tmp_path / "raw", "s", source, 1)
    raw, (images, index, classes) = open_faceset(tmp_path / "raw"), rendered
    np.testing.assert_array_equal(raw.images, images)
    pd.testing.assert_frame_equal(raw.index[index.columns], index, check_dtype=False)
    assert raw.classes == classes
    assert raw.made_by == {"stage": "download", "params": source.model_dump(), "notes": []}
    assert counts["people"] == 14
    assert counts["left_out_of_train"] == counts["left_out_of_val"] == counts["duplicate"] == 0


def test_every_kind_of_source_has_its_reader():
    assert set(READERS) == {"synthetic", "fer2013", "ckplus", "ferplus"}
