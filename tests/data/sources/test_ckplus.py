"""CK+ in its public layouts: persons apart, labels in the paper's order, three last frames."""

import os
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from mmfer.config import CkplusSource
from mmfer.data import cutting
from mmfer.data.sources.archives import decode_grey
from mmfer.data.sources.ckplus import CLASSES, OFFICIAL, draw_folds, read_ckplus
from mmfer.data.synthetic.faces import render_face
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


def test_a_neutral_folder_is_left_out_and_told(ck48, rng):
    with zipfile.ZipFile(ck48, "a") as archive:
        for frame in range(2):
            archive.writestr(f"CK+48/Neutral/S000_009_{frame:08}.png", png(rng))
    index, images, _ = read_ckplus(source(ck48), 1)
    assert (len(index), len(images)) == (168, 168)
    assert "2 neutral images are left out" in index.attrs["notes"]


def test_random_folds_are_labelled_as_leaking(ck48):
    index, _, _ = read_ckplus(source(ck48, split="random"), 1)
    assert index.groupby("subject")["fold"].nunique().max() > 1
    assert any("same persons" in note for note in index.attrs["notes"])


def ck48_with_equal_images(folder, rng, pairs):
    """Twelve persons with all expressions, one frame each; the persons of a pair share their first image."""
    pictures = {(person, number): png(rng) for person, number in np.ndindex(12, 7)}
    pictures |= {(other, 0): pictures[one, 0] for one, other in pairs}
    with zipfile.ZipFile(folder / "ck.zip", "w") as archive:
        for (person, number), picture in pictures.items():
            archive.writestr(f"CK+48/{FOLDERS[number]}/S{person:03}_{number:03}_{1:08}.png", picture)
    return folder / "ck.zip"


@pytest.mark.parametrize("split", ["random", "subject"])
@pytest.mark.parametrize("seed", range(4))
def test_equal_images_are_in_one_fold_whoever_they_show(tmp_path, rng, split, seed):
    path = ck48_with_equal_images(tmp_path, rng, [(0, 1), (2, 3), (3, 4)])
    index, _, _ = read_ckplus(source(path, split=split, seed=seed), 1)
    assert index["digest"].duplicated().sum() == 2
    assert index.groupby("digest")["fold"].nunique().max() == 1
    if split == "subject":
        assert index.groupby("subject")["fold"].nunique().max() == 1


def test_folds_do_not_depend_on_the_order_of_the_rows(rng):
    labels, groups = rng.integers(0, 7, 300), np.array([f"p{i}" for i in rng.integers(0, 40, 300)])
    folds, order = draw_folds(labels, groups, 5, 0), rng.permutation(300)
    np.testing.assert_array_equal(draw_folds(labels[order], groups[order], 5, 0), folds[order])
    assert (draw_folds(labels, groups, 5, 1) != folds).any()


def test_more_folds_than_persons_are_refused(ck48):
    with pytest.raises(MmferError, match=r"8 groups of images .* do not fill 10 folds; lower source\.folds"):
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


def write_original(folder, people, frames, picture):
    """The original tree: eight sequences of each person, the last of them without an emotion; picture() is a PNG."""
    for person, number in np.ndindex(people, 8):
        name, place = f"S{person:03}_{number + 1:03}", f"S{person:03}/{number + 1:03}"
        images, emotion = folder / "cohn-kanade-images" / place, folder / "Emotion" / place
        images.mkdir(parents=True)
        emotion.mkdir(parents=True)
        for frame in range(1, frames + 1):
            (images / f"{name}_{frame:08}.png").write_bytes(picture())
        if number < 7:
            (emotion / f"{name}_{frames:08}_emotion.txt").write_text(f"   {number + 1}.0000000e+00\n")


def test_the_original_tree_gives_the_last_three_frames_of_sequences_with_an_emotion(tmp_path, rng):
    write_original(tmp_path, 4, 5, lambda: png(rng, (60, 80)))
    index, images, _ = read_ckplus(source(tmp_path, folds=3), 2)
    assert len(index) == len(images) == 4 * 7 * 3
    assert set(index["frame"]) == {3, 4, 5}
    assert index.groupby("label").size().tolist() == [12] * 7
    middle = decode_grey((tmp_path / index["source"][0]).read_bytes(), "")[0][:, 10:70]
    np.testing.assert_array_equal(images[0], cv2.resize(middle, (48, 48), interpolation=cv2.INTER_AREA))
    assert "84 frames without a detected face: the largest centred square was taken" in index.attrs["notes"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("S000_001_00000002_emotion.txt", "8.0000000e+00", r"holds '8\.0000000e\+00', a number from 0 to 7"),
        ("S000_001_00000002_emotion.txt", "inf", "holds 'inf', a number from 0 to 7"),
        ("S000_001_00000002_emotion.txt", "", "holds '', a number from 0 to 7"),
        ("S000_emotion.txt", "3.0000000e+00", "S000_emotion.txt does not name person, sequence and frame"),
    ],
)
def test_a_wrong_emotion_file_is_named_with_what_is_wrong(tmp_path, rng, name, text, message):
    write_original(tmp_path, 1, 2, lambda: png(rng, (60, 80)))
    (tmp_path / "Emotion/S000/001" / name).write_text(text)
    with pytest.raises(MmferError, match=message):
        read_ckplus(source(tmp_path, folds=3), 1)


def test_a_thread_makes_one_detector_for_all_its_frames(tmp_path, rng, monkeypatch):
    import dlib

    made, make = [], dlib.fhog_object_detector
    monkeypatch.setattr(cutting, "_idle_detectors", [])
    monkeypatch.setattr(dlib, "fhog_object_detector", lambda path: made.append(path) or make(path))
    write_original(tmp_path, 3, 1, lambda: png(rng, (60, 80)))
    read_ckplus(source(tmp_path, folds=3), 2)
    assert 1 <= len(made) <= 2


def test_of_two_faces_in_a_frame_the_larger_is_cut_out_whole(tmp_path, rng):
    (large, points), (small, _) = (render_face("happy", seed=0, size=size, frontal=True) for size in (260, 110))
    frame = np.full((480, 640), 90, np.uint8)
    frame[150:410, 40:300], frame[30:140, 480:590] = large, small

    def picture():
        noise = rng.integers(0, 3, frame.shape, dtype=np.uint8)  # no two frames of a film are equal
        return cv2.imencode(".png", frame + noise, [cv2.IMWRITE_PNG_COMPRESSION, 0])[1].tobytes()

    write_original(tmp_path, 3, 1, picture)
    index, images, _ = read_ckplus(source(tmp_path, folds=3), 2)
    assert not any("without a detected face" in note for note in index.attrs["notes"])
    matches = [cv2.matchTemplate(frame, cv2.resize(images[0], (n, n)), cv2.TM_CCOEFF_NORMED) for n in range(240, 301)]
    side, best = max(enumerate(matches, 240), key=lambda match: match[1].max())
    assert best.max() > 0.95  # it is a part of the frame, made smaller
    top, left = np.unravel_index(best.argmax(), best.shape)
    inside = points + np.array([40 - left, 150 - top])
    assert inside.min() > 0
    assert inside.max() < side
    assert np.abs(inside.mean(axis=0) - side / 2).max() < 0.15 * side


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
