"""FER+: the published rule for labels and shares, the faces that go with them, and files that do not go together."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmfer.config import FerplusSource
from mmfer.data.sources.ferplus import COLUMNS, OFFICIAL, SPLITS, count_votes, majority, read_ferplus
from mmfer.data.votes import votes_of
from mmfer.errors import MmferError
from tests.data.sources.test_fer2013 import write_csv

REAL = Path(os.environ.get("MMFER_FERPLUS", "fer2013new.csv"))
HEAD = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
# Rows of the published file (MIT licence), and the shares of the votes that its authors' rule leaves; None: left out.
PUBLISHED = [
    ("Training,fer0000000.png,4,0,0,1,3,2,0,0,0,0", None),  # four of the nine that count: no majority
    ("Training,fer0000001.png,6,0,1,1,0,0,0,0,2,0", [1, 0, 0, 0, 0, 0, 0, 0]),
    ("Training,fer0000003.png,4,0,0,4,1,0,0,0,1,0", None),
    ("Training,fer0000006.png,2,0,0,8,0,0,0,0,0,0", [0.2, 0, 0, 0.8, 0, 0, 0, 0]),
    ("Training,fer0000009.png,0,0,6,0,0,0,4,0,0,0", [0, 0, 0.6, 0, 0, 0, 0.4, 0]),
    ("Training,fer0000016.png,4,6,0,0,0,0,0,0,0,0", [0.4, 0.6, 0, 0, 0, 0, 0, 0]),
    ("Training,,0,0,0,0,0,0,0,0,0,10", None),
    ("Training,fer0000219.png,3,3,0,0,0,0,0,4,0,0", None),
    ("Training,fer0000298.png,1,0,0,1,2,3,1,1,1,0", [0, 0, 0, 0, 0.4, 0.6, 0, 0]),  # of five that count three
    ("Training,fer0000326.png,0,5,5,0,0,0,0,0,0,0", None),
]


def sure(part, name="x.png"):
    """A row for each class, of ten raters of one mind."""
    return [f"{part},{name},{','.join(map(str, row))}" for row in np.eye(8, 10, dtype=int) * 10]


ROWS = [*sure("Training"), *sure("Training"), *sure("PublicTest"), *sure("PrivateTest")]


def write(folder, rng, rows, head=HEAD):
    """fer2013.csv of noise and fer2013new.csv with these rows of votes -> the folder."""
    faces = [(0, rng.integers(0, 256, (48, 48), dtype=np.uint8), row.split(",")[0]) for row in rows]
    write_csv(folder / "fer2013.csv", faces)
    write_votes(folder, rows, head)
    return folder


def write_votes(folder, rows, head=HEAD):
    (folder / "fer2013new.csv").write_text("\n".join([head, *rows]) + "\n")


def read(path, **more):
    return read_ferplus(FerplusSource(path=str(path), **more), 1)


def test_published_rows_have_the_labels_and_shares_of_the_published_rule(tmp_path, rng):
    index, _, classes = read(write(tmp_path, rng, [row for row, _ in PUBLISHED] + ROWS))
    assert classes == HEAD.split(",")[2:10]
    expected = [shares for _, shares in PUBLISHED if shares]
    shares = votes_of(index, classes)
    np.testing.assert_allclose(shares[: len(expected)], expected, atol=1e-6)
    assert index["label"][: len(expected)].tolist() == [0, 3, 2, 1, 5]
    assert (shares.argmax(axis=1) == index["label"]).all()
    assert shares.dtype == np.float32


def test_each_face_keeps_its_own_votes_and_its_official_part(tmp_path, rng):
    rows = [*ROWS, "Training,,0,0,0,0,0,0,0,0,0,10"]
    rows = [rows[row] for row in rng.permutation(len(rows))]
    index, images, _ = read(write(tmp_path, rng, rows))
    faces = pd.read_csv(tmp_path / "fer2013.csv")
    lines = index["source"].str.removeprefix("fer2013.csv:").astype(int) - 2
    assert len(index) == len(images) == len(ROWS)
    for image, line, label, split in zip(images, lines, index["label"], index["split"], strict=True):
        part, _, *votes = rows[line].split(",")
        assert " ".join(map(str, image.ravel())) == faces["pixels"][line]
        assert votes[label] == "10"
        assert split == SPLITS[part]
    assert index["usage"].map(SPLITS).tolist() == index["split"].tolist()


def test_what_is_left_out_is_counted_by_its_reason_and_labels_are_said_to_come_from_outside(tmp_path, rng):
    more = [
        "PrivateTest,x,0,5,5,0,0,0,0,0,0,0",
        "PrivateTest,x,4,0,0,0,0,0,0,0,6,0",
        "PrivateTest,,0,0,0,0,0,0,0,0,0,10",
    ]
    notes = read(write(tmp_path, rng, [*ROWS, *more]))[0].attrs["notes"]
    said = "PrivateTest: 3 of 11 images are left out, as in FER+: 1 with no majority, 1 with a majority for unknown, "
    assert said + "1 with a majority for no face" in notes
    assert any("they come from outside FER2013" in note for note in notes)
    assert any("counts differ from the official ones: 8 images for 3,153" in note for note in notes)


def test_half_of_the_votes_is_no_majority_and_single_ones_do_not_count():
    votes = np.array([[5, 5, 0], [5, 4, 1], [6, 4, 0], [1, 1, 1], [3, 1, 1]])
    assert majority(count_votes(votes)).tolist() == [-1, 0, 0, -1, 0]


@pytest.mark.parametrize("where", ["a folder", "a zip", "beside the file", "named", "beside the zip"])
def test_the_votes_are_found_where_they_lie(tmp_path, rng, where):
    folder = write(tmp_path, rng, ROWS)
    path, votes = {
        "a folder": (folder, None),
        "a zip": (tmp_path / "all.zip", None),
        "beside the file": (folder / "fer2013.csv", None),
        "named": (tmp_path / "faces.zip", str(tmp_path / "elsewhere.csv")),
        "beside the zip": (tmp_path / "faces.zip", None),
    }[where]
    for name, members in {"all.zip": ("fer2013.csv", "fer2013new.csv"), "faces.zip": ("fer2013.csv",)}.items():
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for member in members:
                archive.write(folder / member, f"inside/{member}")
    if where == "named":
        (folder / "fer2013new.csv").rename(tmp_path / "elsewhere.csv")
    if where in ("a zip", "named"):
        (folder / "fer2013new.csv").unlink(missing_ok=True)
    index, _, _ = read(path, votes=votes)
    assert index["label"].tolist() == list(range(8)) * 4


def changed(row, text):
    return [*ROWS[:row], text, *ROWS[row + 1 :]]


BAD_VOTES = [
    (ROWS[:-1], r"fer2013new\.csv has 31 rows for 32 images"),
    ([*ROWS, ROWS[-1]], r"fer2013new\.csv has 33 rows for 32 images"),
    (changed(3, sure("PublicTest")[3]), r"fer2013new\.csv, line 5: Usage 'PublicTest', but Training of the image"),
    (changed(1, "Training,x,0,-1,0,0,0,0,0,0,0,0"), r"line 3: '-1' votes for happiness, 0 to 10 expected"),
    (changed(1, "Training,x,0,1,0,0,many,0,0,0,0,0"), r"line 3: 'many' votes for anger, 0 to 10 expected"),
    (changed(1, "Training,x,0,1,0,0,,0,0,0,0,0"), r"line 3: '' votes for anger, 0 to 10 expected"),
    (changed(1, "Training,x,0,1.5,0,0,0,0,0,0,0,0"), r"line 3: '1\.5' votes for happiness, 0 to 10 expected"),
    (changed(2, "Training,x,0,0,0,0,0,0,0,0,0,0"), r"line 4: 0 votes in all, 1 to 10 expected"),
    (changed(2, "Training,x,9,9,0,0,0,0,0,0,0,0"), r"line 4: 18 votes in all, 1 to 10 expected"),
    (changed(2, "Training,x,10"), r"line 4: 3 columns for the 12 of the header"),
]


@pytest.mark.parametrize(("votes", "message"), BAD_VOTES)
def test_votes_that_are_not_those_of_the_faces_are_named_by_file_and_line(tmp_path, rng, votes, message):
    write(tmp_path, rng, ROWS)
    write_votes(tmp_path, votes)
    with pytest.raises(MmferError, match=message) as raised:
        read(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_missing_column_of_votes_is_named(tmp_path, rng):
    with pytest.raises(MmferError, match=r"fer2013new\.csv lacks the column contempt"):
        read(write(tmp_path, rng, ROWS, HEAD.replace("contempt", "scorn")))


def test_the_first_version_of_the_file_which_had_no_names_of_images_is_read_too(tmp_path, rng):
    write(tmp_path, rng, ROWS)
    write_votes(tmp_path, [row.replace(",x.png", "") for row in ROWS], HEAD.replace(",Image name", ""))
    assert len(read(tmp_path)[0]) == len(ROWS)


def test_missing_files_are_named_with_what_to_do(tmp_path, rng):
    write(tmp_path, rng, ROWS)
    with pytest.raises(MmferError, match=r"none\.csv: no such \.csv file; take .* name it in source\.votes"):
        read(tmp_path, votes=str(tmp_path / "none.csv"))
    (tmp_path / "fer2013new.csv").unlink()
    with pytest.raises(MmferError, match=r"/fer2013new\.csv: no such \.csv file"):
        read(tmp_path / "fer2013.csv")
    (tmp_path / "fer2013.csv").rename(tmp_path / "faces.txt")
    with pytest.raises(MmferError, match=r"one CSV file with emotion, pixels, Usage is needed.*\(found: none\)"):
        read(tmp_path)
    with pytest.raises(MmferError, match=r"params\.yaml: source\.path: FER\+ needs fer2013\.csv"):
        read_ferplus(FerplusSource(), 1)


def test_a_part_without_images_is_refused(tmp_path, rng):
    with pytest.raises(MmferError, match="PrivateTest: no images of neutral"):
        read(write(tmp_path, rng, ROWS[:-8]))


@pytest.mark.skipif(not REAL.exists(), reason="the votes are not at hand; set MMFER_FERPLUS to fer2013new.csv")
def test_the_published_votes_leave_the_official_counts():
    table = pd.read_csv(REAL).rename(columns={"NF": "nf"})
    label = majority(count_votes(table[COLUMNS].to_numpy()))
    for part, counts in OFFICIAL.items():
        found = label[(table["Usage"] == part).to_numpy()]
        assert np.bincount(found[(found >= 0) & (found < 8)], minlength=8).tolist() == counts
