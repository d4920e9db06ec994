"""CSV files of faces: what is written is what is read; a wrong line is named by its number."""

import gzip
import tracemalloc

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


@pytest.mark.parametrize("value", ["256", "-1", str(2**32), str(2**64 + 5)])
def test_a_pixel_out_of_range_is_named_however_far_it_is(tmp_path, value):
    path = tmp_path / "f.csv"
    path.write_text(f"emotion,pixels\n0,{'7 ' * 2303}{value}\n")
    with (
        open_archive(path) as archive,
        pytest.raises(MmferError, match=r"line 2: pixels from .*0 to 255 expected"),
    ):
        read_table(archive, "f.csv", 7)


def test_a_label_of_many_digits_is_unknown(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text(f"emotion,pixels\n{'1' * 5000},{'7 ' * 2304}\n")
    with open_archive(path) as archive, pytest.raises(MmferError, match=r"f\.csv, line 2: unknown label"):
        read_table(archive, "f.csv", 7)


def test_a_line_without_end_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("emotion,pixels\n" + "7 " * 5_000_000)
    tracemalloc.start()
    with open_archive(path) as archive, pytest.raises(MmferError, match=r"not a CSV file of faces \(a line of 131,072"):
        read_table(archive, "f.csv", 7)
    assert tracemalloc.get_traced_memory()[1] < 3_000_000
    tracemalloc.stop()


def as_written_by(path, habit):
    """The file of `write` with another program's habits."""
    lines = path.read_text().splitlines()
    if habit == "blank lines":
        lines = ["", lines[0], "", lines[1], "   ", *lines[2:], "", ",,", ""]
    elif habit == "windows":
        lines = [f"{line}\r" for line in lines]
    elif habit in (";", "\t"):
        lines = [line.replace(",", habit) for line in lines]
    elif habit == "floats":
        lines = [line.replace(",", ".0,", 1) if line[0].isdigit() else line for line in lines]
    if habit == "gz":
        path = path.with_suffix(".csv.gz")
        path.write_bytes(gzip.compress("\n".join(lines).encode()))
    else:
        path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("habit", ["blank lines", "windows", ";", "\t", "floats", "gz"])
@pytest.mark.parametrize("as_folder", [False, True])
def test_a_csv_as_other_programs_write_it_has_the_same_faces(tmp_path, rng, habit, as_folder):
    images, labels = rng.integers(0, 256, (4, 48, 48), dtype=np.uint8), [0, 6, 3, 1]
    (tmp_path / "d").mkdir()
    path = as_written_by(write(tmp_path / "d" / "f.csv", images, labels), habit)
    if habit == "gz":
        (tmp_path / "d" / "f.csv").unlink()
    with open_archive(path.parent if as_folder else path) as archive:
        assert table_columns(archive) == {path.name: ["emotion", "pixels", "usage"]}
        table, read = read_table(archive, path.name, 7)
    assert (read == images).all()
    assert table["label"].tolist() == labels
    lines = [4, 6, 7, 8] if habit == "blank lines" else [2, 3, 4, 5]
    assert table["source"].tolist() == [f"{path.name}:{line}" for line in lines]
    assert set(table["usage"]) == {"Training"}


TABLE = gzip.compress(b"emotion,pixels\n" * 99)
DAMAGED = {
    "bomb": (gzip.compress(bytes(20 << 20)), r"f\.csv\.gz: unpacks to more than 10,485,760 bytes: a bomb"),
    "cut off": (TABLE[:-9], r"f\.csv\.gz: damaged .*; download it again"),
    "not packed": (b"emotion,pixels\n", r"f\.csv\.gz: damaged .*; download it again"),
}


@pytest.mark.parametrize("fault", DAMAGED)
def test_a_packed_table_that_is_damaged_or_a_bomb_is_told(tmp_path, fault):
    content, message = DAMAGED[fault]
    (tmp_path / "f.csv.gz").write_bytes(content)
    with pytest.raises(MmferError, match=message), open_archive(tmp_path / "f.csv.gz"):
        pass
