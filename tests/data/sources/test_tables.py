"""CSV files of faces: what is written is what is read; a wrong line is named by its number."""

import numpy as np
import pytest

from mmfer.data.sources import tables
from mmfer.data.sources.archives import open_archive
from mmfer.data.sources.tables import read_table, table_columns
from mmfer.errors import MmferError


def write(path, images, labels, header="emotion,pixels,Usage", usage="Training"):
    lines = [
        f"{label},{' '.join(map(str, image.ravel()))},{usage}" for image, label in zip(images, labels, strict=True)
    ]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


@pytest.mark.parametrize("chunk", [1, 3, 4, 1024])
def test_pixels_labels_and_lines_come_back_for_any_size_of_chunks(tmp_path, rng, monkeypatch, chunk):
    monkeypatch.setattr(tables, "CHUNK", chunk)
    images, labels = rng.integers(0, 256, (9, 48, 48), dtype=np.uint8), rng.integers(0, 7, 9)
    with open_archive(write(tmp_path / "f.csv", images, labels)) as archive:
        table, read = read_table(archive, "f.csv", 7)
    assert (read == images).all()
    assert table["label"].tolist() == labels.tolist()
    assert table["source"].tolist() == [f"f.csv:{line}" for line in range(2, 11)]
    assert set(table["usage"]) == {"Training"}


def test_columns_are_known_whatever_their_case_and_spaces(tmp_path, rng):
    path = write(tmp_path / "f.csv", rng.integers(0, 256, (1, 48, 48)), [0], header="\ufeffEmotion, Pixels , USAGE")
    with open_archive(path) as archive:
        assert table_columns(archive) == {"f.csv": ["emotion", "pixels", "usage"]}
        assert len(read_table(archive, "f.csv", 7)[0]) == 1


def test_a_table_without_rows_and_one_that_is_no_text_are_named(tmp_path):
    (tmp_path / "empty.csv").write_text("emotion,pixels\n")
    with open_archive(tmp_path / "empty.csv") as archive, pytest.raises(MmferError, match="a header but no rows"):
        read_table(archive, "empty.csv", 7)
    (tmp_path / "bytes.csv").write_bytes(b"emotion,pixels\n\xff\xfe\xff\n")
    with open_archive(tmp_path / "bytes.csv") as archive, pytest.raises(MmferError, match="not a CSV file of faces"):
        read_table(archive, "bytes.csv", 7)


def test_the_line_of_a_wrong_label_is_named(tmp_path, rng):
    path = write(tmp_path / "f.csv", rng.integers(0, 256, (3, 48, 48)), [0, 7, 0])
    with open_archive(path) as archive, pytest.raises(MmferError, match=r"f\.csv, line 3: unknown label '7', 0 to 6"):
        read_table(archive, "f.csv", 7)
