"""FER2013 in its public layouts: official splits, the paper's order of classes, bad input named."""

import os
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from mmfer.config import Fer2013Source
from mmfer.data.sources.fer2013 import CLASSES, read_fer2013
from mmfer.errors import MmferError

REAL = Path(os.environ.get("MMFER_FER2013", Path(__file__).parents[4] / "shared/data/fer2013.zip"))
PARTS = {"Training": 10, "PublicTest": 2, "PrivateTest": 2}  # images per class


def faces(rng, parts=PARTS):
    """(label, image, part) of every class and part."""
    rows = [(label, part) for part, n in parts.items() for label in range(7) for _ in range(n)]
    return [(label, rng.integers(0, 256, (48, 48), dtype=np.uint8), part) for label, part in rows]


def write_csv(path, rows, columns=("emotion", "pixels", "Usage")):
    table = [(label, " ".join(map(str, image.ravel())), part) for label, image, part in rows]
    pd.DataFrame(table, columns=["emotion", "pixels", "Usage"]).set_axis(list(columns), axis=1).to_csv(
        path, index=False
    )
    return path


def write_zip(path, rows, names=True):
    with zipfile.ZipFile(path, "w") as archive:
        for number, (label, image, part) in enumerate(rows):
            folder = "train" if part == "Training" else "test"
            stem = f"{part}_{number}" if names else f"{number}"
            data = cv2.imencode(".png", image)[1].tobytes()
            archive.writestr(f"{folder}/{CLASSES[label]}/{stem}.png", data)
    return path


def read(path, **more):
    return read_fer2013(Fer2013Source(path=str(path), **more), 2)


@pytest.mark.parametrize("columns", [("emotion", "pixels", "Usage"), ("emotion", " pixels", " Usage")])
def test_a_csv_gives_the_official_splits(tmp_path, rng, columns):
    rows = faces(rng)
    index, images, classes = read(write_csv(tmp_path / "fer2013.csv", rows, columns))
    assert classes == ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    assert (images == np.stack([image for _, image, _ in rows])).all()
    assert index["label"].tolist() == [label for label, _, _ in rows]
    expected = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
    assert index["split"].tolist() == [expected[part] for _, _, part in rows]
    assert any("counts differ from the official ones" in note for note in index.attrs["notes"])


def test_folders_in_a_zip_or_unpacked_give_the_same_faces_as_the_csv(tmp_path, rng):
    rows = faces(rng)
    table, _, _ = read(write_csv(tmp_path / "fer2013.csv", rows))
    zipped, _, _ = read(write_zip(tmp_path / "faces.zip", rows))
    with zipfile.ZipFile(tmp_path / "faces.zip") as archive:
        archive.extractall(tmp_path / "folder")
    unpacked, _, _ = read(tmp_path / "folder")
    key = ["digest", "label", "split"]
    for other in (zipped, unpacked):
        assert set(map(tuple, other[key].to_numpy())) == set(map(tuple, table[key].to_numpy()))


def test_without_private_test_whole_groups_of_training_validate(tmp_path, rng):
    rows = faces(rng, {"Training": 20, "PublicTest": 2})
    rows += [rows[3]] * 5  # copies of one training image
    index, _, _ = read(write_zip(tmp_path / "faces.zip", rows), holdout=0.2)
    assert index["split"][index["usage"] == "PublicTest"].eq("test").all()
    assert index.groupby("digest")["split"].nunique().max() == 1
    val = index[index["split"] == "val"]
    assert val.groupby("label").size().min() >= 3
    assert index.duplicated(["split", "digest"]).sum() == 5
    assert any("PrivateTest is absent" in note for note in index.attrs["notes"])


def test_the_challenges_pair_uses_train_and_says_that_test_has_no_labels(tmp_path, rng):
    rows = faces(rng, {"Training": 20})
    table = pd.DataFrame(
        [(label, " ".join(map(str, i.ravel()))) for label, i, _ in rows], columns=["emotion", "pixels"]
    )
    table.to_csv(tmp_path / "train.csv", index=False)
    table[["pixels"]].to_csv(tmp_path / "test.csv", index=False)
    index, _, _ = read(tmp_path)
    assert set(index["split"]) == {"train", "val", "test"}
    assert any("test.csv has no labels" in note for note in index.attrs["notes"])


def spoil_zip(path, name, data):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, data)


def png(image):
    return cv2.imencode(".png", image)[1].tobytes()


SPOILT = [
    ("../evil.png", b"x", "points outside the archive"),
    ("/etc/evil.png", b"x", "points outside the archive"),
    ("train/angry/big.png", png(np.zeros((64, 64), np.uint8)), "big.png is 64x64, 48x48 expected"),
    ("train/angry/broken.png", b"\x89PNG no image", "not an image that can be decoded"),
    ("train/angrry/a.png", png(np.zeros((48, 48), np.uint8)), "unknown class folder 'angrry'; did you mean angry"),
    ("elsewhere/a.png", png(np.zeros((48, 48), np.uint8)), "is not in train/<class>"),
]


@pytest.mark.parametrize(("name", "data", "message"), SPOILT)
def test_a_hostile_or_wrong_member_is_named(tmp_path, rng, name, data, message):
    path = write_zip(tmp_path / "faces.zip", faces(rng))
    spoil_zip(path, name, data)
    with pytest.raises(MmferError, match=message):
        read(path)


def test_a_bomb_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train/angry/a.png", bytes(50 << 20))
    with pytest.raises(MmferError, match="decompression bomb"):
        read(tmp_path / "bomb.zip")


def test_missing_truncated_and_other_files_are_named(tmp_path, rng):
    path = write_zip(tmp_path / "faces.zip", faces(rng))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(MmferError, match="truncated zip"):
        read(path)
    with pytest.raises(MmferError, match=r"not found; correct source\.path"):
        read(tmp_path / "absent.zip")
    (tmp_path / "a.rar").write_bytes(b"Rar!")
    with pytest.raises(MmferError, match="neither a zip nor"):
        read(tmp_path / "a.rar")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(MmferError, match=r"no layout of FER2013.*known: fer2013\.csv"):
        read(tmp_path / "empty.zip")


BAD_ROWS = [
    ("0,1 2 3,Training", "3 pixels, 48x48 = 2304 expected"),
    ("9," + "1 " * 2304 + ",Training", "unknown label '9'"),
    ("0," + "300 " * 2304 + ",Training", "0 to 255 expected"),
    ("0," + "x " * 2304 + ",Training", "no number"),
    ("0," + "1 " * 2304 + ",Other", "unknown Usage 'Other'"),
    ("0,1", "2 columns for the 3"),
]


@pytest.mark.parametrize(("row", "message"), BAD_ROWS)
def test_a_bad_row_of_a_csv_is_named_by_its_line(tmp_path, rng, row, message):
    path = write_csv(tmp_path / "fer2013.csv", faces(rng))
    with path.open("a") as file:
        file.write(row + "\n")
    with pytest.raises(MmferError, match=message):
        read(path)


def test_a_csv_without_a_column_says_which(tmp_path):
    (tmp_path / "fer.csv").write_text("emotion,usage\n0,Training\n")
    with pytest.raises(MmferError, match="lacks the column pixels"):
        read(tmp_path / "fer.csv")


def test_a_class_without_images_is_refused(tmp_path, rng):
    rows = [row for row in faces(rng) if row[0] != 1]
    with pytest.raises(MmferError, match="no images of disgust"):
        read(write_csv(tmp_path / "fer2013.csv", rows))


USAGES = ["training publictest privatetest", "Train Validation Private_Test", "TRAIN val PRIVATETEST"]


@pytest.mark.parametrize("usage", USAGES)
def test_a_usage_is_known_however_it_is_written(tmp_path, rng, usage):
    rows = faces(rng)
    written = dict(zip(PARTS, usage.split(), strict=True))
    index, _, _ = read(write_csv(tmp_path / "f.csv", [(label, image, written[part]) for label, image, part in rows]))
    assert index["usage"].tolist() == [part for _, _, part in rows]


def write_folders(path, rows, names, number=False):
    for place, (label, image, part) in enumerate(rows):
        file = path / names[part] / (str(label) if number else CLASSES[label]) / f"{place}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), image)
    return path


@pytest.mark.parametrize("number", [False, True])
@pytest.mark.parametrize("validation", ["validation", "Val", "valid"])
def test_a_validation_folder_validates_and_classes_may_be_numbers(tmp_path, rng, validation, number):
    names = {"Training": "train", "PublicTest": validation, "PrivateTest": "test"}
    index, _, _ = read(write_folders(tmp_path / "d", faces(rng), names, number))
    assert index.groupby("split").size().to_dict() == {"train": 70, "val": 14, "test": 14}
    assert index["usage"].map(names).tolist() == [Path(source).parts[0] for source in index["source"]]
    folders = [Path(source).parts[1] for source in index["source"]]
    assert [str(label) if number else CLASSES[label] for label in index["label"]] == folders


def test_a_number_that_is_no_class_is_named(tmp_path, rng):
    path = write_folders(tmp_path / "d", faces(rng), {part: "train" for part in PARTS}, number=True)
    (path / "train" / "0").rename(path / "train" / "7")
    with pytest.raises(MmferError, match="train/7: unknown class folder '7'; known: angry"):
        read(path)


def test_train_and_test_that_are_links_to_another_disk_are_read(tmp_path, rng):
    names = {"Training": "train", "PublicTest": "test", "PrivateTest": "test"}
    disk = write_folders(tmp_path / "disk", faces(rng), names)
    (tmp_path / "linked").mkdir()
    for part in ("train", "test"):
        (tmp_path / "linked" / part).symlink_to(disk / part)
    assert read(tmp_path / "linked")[0]["source"].tolist() == read(disk)[0]["source"].tolist()


@pytest.mark.skipif(not REAL.exists(), reason="FER2013 is not at hand; set MMFER_FER2013 to its zip")
def test_the_real_folders_have_the_official_counts():
    index, _, _ = read(REAL)
    assert (index["usage"] == "Training").sum() == 28_709
    assert (index["usage"] == "PublicTest").sum() == 3_589
    assert not any("counts differ" in note for note in index.attrs["notes"])
