"""Cut into shards, worked on shard by shard, joined again: the same faces in the same order."""

import shutil

import numpy as np
import pandas as pd
import pytest

from mmfer.config import AugmentParams, CleanParams, ExtractParams, HideParams
from mmfer.data import shards
from mmfer.data.faceset import open_faceset
from mmfer.data.shards import cut, join
from mmfer.errors import MmferError
from mmfer.face.augment import write_augmented
from mmfer.face.clean import write_clean
from mmfer.face.extract import write_features
from mmfer.face.hide import write_hidden

SIZES = [25, 23]


@pytest.fixture(scope="module")
def data(face_data, tmp_path_factory):
    """Raw faces, cut in two, and what the stages make of each shard; everything is joined. Only to read."""
    data = tmp_path_factory.mktemp("shards") / "faces"
    shutil.copytree(face_data / "raw", data / "raw")
    for shard in cut(data, SIZES[0]):
        folder = shard.folder.parent
        write_clean(folder / "raw", folder / "clean", CleanParams(), 2)
        write_augmented(folder / "raw", folder / "clean", folder / "augmented", AugmentParams(copies=4), 2)
        write_features(folder / "augmented", folder / "clean", folder / "features", ExtractParams(), 2)
    for name in ("clean", "augmented", "features"):
        join(data, name)
    return data


def test_shards_hold_all_faces_in_their_order_with_the_marks_of_the_whole(data):
    raw, parts = open_faceset(data / "raw"), [open_faceset(data / str(number) / "raw") for number in range(2)]
    assert [len(part) for part in parts] == SIZES
    assert [part.dataset for part in parts] == ["faces/0", "faces/1"]
    assert all((part.made_by["from"], part.classes) == (raw.made_by, raw.classes) for part in parts)
    np.testing.assert_array_equal(np.concatenate([part.images for part in parts]), raw.images)
    pd.testing.assert_frame_equal(pd.concat([part.index for part in parts], ignore_index=True), raw.index)


def test_clean_shards_joined_are_the_faces_cleaned_whole(data, face_data):
    for name in ("landmarks.npy", "transforms.npy", "faceset.json"):
        assert (data / "clean" / name).read_bytes() == (face_data / "clean" / name).read_bytes(), name
    pd.testing.assert_frame_equal(open_faceset(data / "clean").index, open_faceset(face_data / "clean").index)


@pytest.mark.parametrize("name", ["augmented", "features"])
def test_rows_of_shards_joined_are_those_of_the_whole_but_for_the_draws(data, face_data, name):
    joined, whole = open_faceset(data / name), open_faceset(face_data / name)
    assert (joined.dataset, joined.classes, joined.made_by) == ("faces", whole.classes, whole.made_by)
    pd.testing.assert_frame_equal(joined.index, whole.index)
    plain = (whole.index["copy"] == 0).to_numpy()
    for array in whole.arrays:
        np.testing.assert_array_equal(joined.array(array)[plain], whole.array(array)[plain])
        drawn = (joined.array(array)[~plain] != whole.array(array)[~plain]).any()
        assert drawn == (array != "visible")  # which is that of the face


def test_rows_are_copied_in_chunks_of_any_size(data, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "CHUNK", 7)
    shutil.copytree(data, tmp_path / "faces")
    joined = join(tmp_path / "faces", "features")
    np.testing.assert_array_equal(joined.hog, open_faceset(data / "features").hog)


def test_shards_that_were_made_otherwise_or_not_at_all_are_not_joined(data, tmp_path):
    shutil.copytree(data, tmp_path / "faces")
    shard = tmp_path / "faces/1"
    write_augmented(shard / "raw", shard / "clean", shard / "augmented", AugmentParams(copies=2), 1)
    with pytest.raises(MmferError, match=r"1/augmented: not made as .*0/augmented was; run the stage"):
        join(tmp_path / "faces", "augmented")
    shutil.rmtree(shard / "augmented")
    with pytest.raises(MmferError, match=r"1/augmented/index\.parquet: not found"):
        join(tmp_path / "faces", "augmented")
    with pytest.raises(MmferError, match="no shards; cut them first"):
        join(shard, "clean")


def test_shards_of_an_earlier_cut_are_named(data):
    with pytest.raises(MmferError, match=r"faces/1: a shard of another cut; delete the numbered folders in .*faces"):
        cut(data, 48)


def test_what_was_made_of_the_shards_of_another_cut_is_refused(data, tmp_path):
    shutil.copytree(data, tmp_path / "faces")
    cut(tmp_path / "faces", SIZES[0] + 5)
    for number in range(2):
        raw, clean, augmented = (tmp_path / f"faces/{number}" / name for name in ("raw", "clean", "augmented"))
        with pytest.raises(MmferError, match=rf"{number}/clean: not made of .*/{number}/raw as it is now; run the sta"):
            write_augmented(raw, clean, augmented, AugmentParams(copies=4), 1)
    with pytest.raises(MmferError, match=r"0/features: not made of .*/0/raw as it is now"):
        join(tmp_path / "faces", "features")
    cut(tmp_path / "faces", SIZES[0] + 5, "clean")
    shard = tmp_path / "faces/0"
    with pytest.raises(MmferError, match=r"0/augmented: not made of .*/0/clean as it is now"):
        write_features(shard / "augmented", shard / "clean", shard / "features", ExtractParams(), 1)
    write_augmented(shard / "raw", shard / "clean", shard / "augmented", AugmentParams(copies=4), 1)


def test_shards_are_joined_where_one_has_no_face_to_hide(data, tmp_path):
    folder = tmp_path / "faces"
    for name in ("raw", "clean"):
        shutil.copytree(data / name, folder / name)
        cut(folder, 33, name)  # behind row 33 are people who validate or test, and noise
    for number in range(2):
        shard = folder / str(number)
        write_hidden(shard / "raw", shard / "clean", shard / "hidden", HideParams(variants=2), 1)
        write_augmented(shard / "raw", shard / "clean", shard / "augmented", AugmentParams(copies=4, hidden=0.5), 1)
        write_features(shard / "augmented", shard / "clean", shard / "features", ExtractParams(), 1)
    assert len(open_faceset(folder / "1/hidden")) == 0
    hidden, features, raw = join(folder, "hidden"), join(folder, "features"), open_faceset(folder / "raw")
    assert (features.index["variant"] >= 0).sum() > 20
    assert hidden.index["source"].tolist() == raw.index["source"].iloc[hidden.index["parent"]].tolist()
    assert set(raw.index["split"].iloc[hidden.index["other"]]) == {"train"}


def test_what_is_joined_may_be_worked_on_as_a_whole(data, tmp_path):
    shutil.copytree(data, tmp_path / "faces")
    raw, clean, augmented, features = (tmp_path / "faces" / n for n in ("raw", "clean", "augmented", "features"))
    write_features(augmented, clean, features, ExtractParams(), 2)
    np.testing.assert_array_equal(open_faceset(features).hog, open_faceset(data / "features").hog)
    write_augmented(raw, clean, augmented, AugmentParams(copies=2), 2)
