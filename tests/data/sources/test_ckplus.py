"""CK+ in its public layouts: persons apart, labels in the paper's order, three last frames."""

import os
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from mmfer.config import CkplusSource
from mmfer.data.sources.ckplus import CLASSES, OFFICIAL, draw_folds, read_ckplus
from mmfer.errors import MmferError

REAL = Path(os.environ.get("MMFER_CKPLUS", Path(__file__).parents[4] / "shared/data/ckplus48.zip"))
FOLDERS = ["anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise"]


def png(rng, size=(48, 48)):
    return cv2.imencode(".png", rng.integers(0, 256, size, dtype=np.uint8))[1].tobytes()


@pytest.fixture
def ck48(tmp_path, rng):
    """Eight persons with all seven expressions, three frames each."""
    path = tmp_path / "ck.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for person in range(8):
            for number, folder in enumerate(FOLDERS):
                for frame in range(3):
                    archive.writestr(f"CK+48/{folder}/S{person:03}_{number:03}_{frame + 9:08}.png", png(rng))
    return path


def source(path, **more):
    return CkplusSource(path=str(path), **({"folds": 4} | more))


def test_persons_are_in_one_fold_and_labels_in_the_papers_order(ck48):
    index, images, classes = read_ckplus(source(ck48), 2)
    assert classes == CLASSES
    assert images.shape == (168, 48, 48)
    assert index.groupby("subject")["fold"].nunique().max() == 1
    assert set(index["fold"]) == {0, 1, 2, 3}
    row = index[index["source"].str.contains("happy/S003_004")].iloc[0]
    assert (CLASSES[row["label"]], row["subject"], row["sequence"], row["frame"]) == ("happy", "S003", "S003_004", 9)


def test_random_folds_are_labelled_as_leaking(ck48):
    index, _, _ = read_ckplus(source(ck48, split="random"), 1)
    assert index.groupby("subject")["fold"].nunique().max() > 1
    assert any("same persons" in note for note in index.attrs["notes"])


def test_folds_do_not_depend_on_the_order_of_the_rows(rng):
    labels, groups = rng.integers(0, 7, 300), np.array([f"p{i}" for i in rng.integers(0, 40, 300)])
    folds, order = draw_folds(labels, groups, 5, 0), rng.permutation(300)
    np.testing.assert_array_equal(draw_folds(labels[order], groups[order], 5, 0), folds[order])
    assert (draw_folds(labels, groups, 5, 1) != folds).any()


def test_more_folds_than_persons_are_refused(ck48):
    with pytest.raises(MmferError, match="8 groups do not fill 10 folds"):
        read_ckplus(source(ck48, folds=10), 1)


def write_csv(path, rng):
    rows = [
        (label, " ".join(map(str, rng.integers(0, 256, 2304))), "Training") for label in [0, 1, 2, 3, 4, 5, 6, 7] * 3
    ]
    pd.DataFrame(rows, columns=["emotion", "pixels", "Usage"]).to_csv(path, index=False)


def test_ckextended_names_no_persons_so_only_the_random_split_is_possible(tmp_path, rng):
    write_csv(tmp_path / "ckextended.csv", rng)
    with pytest.raises(MmferError, match="split: random"):
        read_ckplus(source(tmp_path / "ckextended.csv"), 1)
    index, _, _ = read_ckplus(source(tmp_path / "ckextended.csv", split="random"), 1)
    assert np.bincount(index["label"]).tolist() == [3] * 7
    assert any("neutral" in note for note in index.attrs["notes"])


def test_the_original_tree_gives_the_last_three_frames_of_sequences_with_an_emotion(tmp_path, rng):
    for person in range(4):
        for number in range(1, 9):
            name, folder = f"S{person:03}_{number:03}", f"S{person:03}/{number:03}"
            frames, emotion = tmp_path / "cohn-kanade-images" / folder, tmp_path / "Emotion" / folder
            frames.mkdir(parents=True)
            emotion.mkdir(parents=True)
            for frame in range(1, 6):
                (frames / f"{name}_{frame:08}.png").write_bytes(png(rng, (60, 80)))
            if number < 8:
                (emotion / f"{name}_00000005_emotion.txt").write_text(f"   {number}.0000000e+00\n")
    index, images, _ = read_ckplus(source(tmp_path, folds=3), 1)
    assert len(index) == len(images) == 4 * 7 * 3
    assert set(index["frame"]) == {3, 4, 5}
    assert index.groupby("label").size().tolist() == [12] * 7
    assert any("without a detected face" in note for note in index.attrs["notes"])


@pytest.mark.parametrize(
    ("name", "message"),
    [("CK+48/glee/S001_001_00000001.png", "unknown class folder 'glee'"), ("CK+48/happy/face.png", "does not name")],
)
def test_an_unknown_folder_or_name_is_named(tmp_path, rng, name, message):
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, png(rng))
    with pytest.raises(MmferError, match=message):
        read_ckplus(source(path), 1)


def test_an_archive_without_faces_says_what_is_known(tmp_path):
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(MmferError, match=r"no layout of CK\+ .*known: CK\+48"):
        read_ckplus(source(path), 1)


@pytest.mark.skipif(not REAL.exists(), reason="CK+48 is not at hand; set MMFER_CKPLUS to its zip")
def test_the_real_ck48_has_the_official_counts():
    index, _, _ = read_ckplus(CkplusSource(path=str(REAL)), 2)
    assert np.bincount(index["label"]).tolist() == OFFICIAL
    assert (len(index), index["sequence"].nunique(), index["subject"].nunique()) == (981, 327, 118)
    per_fold = pd.crosstab(index["fold"], index["label"])
    assert per_fold.to_numpy().min() >= 3
