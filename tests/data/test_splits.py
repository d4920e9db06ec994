"""Who trains, validates and tests: all rows have one side, and no picture or person has two."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfer.config import CkplusSource, SyntheticSource
from mmfer.data.faceset import FaceSet, new_index, open_faceset
from mmfer.data.sources.ckplus import draw_folds
from mmfer.data.splits import Rows, check_leaks, first_copies, folds_of, split_rows
from mmfer.data.synthetic.faces import plan_rows
from mmfer.errors import MmferError
from tests.tiny import write_tiny


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    """Features of the tiny set with a test split."""
    return write_tiny(tmp_path_factory.mktemp("splits")) / "features"


@pytest.fixture(scope="module")
def folds(tmp_path_factory):
    """Features of the tiny set in four folds."""
    return write_tiny(tmp_path_factory.mktemp("folds"), folds=4) / "features"


def faceset(index, source):
    """A FaceSet without arrays, as if it were that of features; each row is a face of its own with one copy."""
    rows = np.arange(len(index))
    index = index.assign(
        digest=[f"{row:032x}" for row in rows], parent=rows, copy=0, trainable=index["split"] == "train"
    )
    made_by = {"stage": "extract", "from": {"stage": "download", "params": source.model_dump(), "notes": []}}
    faces = FaceSet(Path("data/d/features"), "d", list("abcdefg"), len(index), made_by=made_by)
    vars(faces)["index"] = index  # as if it had been read
    return faces


@pytest.fixture
def synthetic():
    """The plan of the committed synthetic data set: 28 of its images show no face, and so no person."""
    source = SyntheticSource()
    plan = plan_rows(source)
    assert plan["subject"].isna().sum() == 28
    names = [f"face-{row}" for row in range(len(plan))]
    return faceset(new_index(names, plan["label"], plan["split"], subject=plan["subject"]), source)


def ckplus(split):
    """40 people with seven images each, in five folds by person or by image."""
    person, label = np.repeat(np.arange(40), 7), np.tile(np.arange(7), 40)
    subject, source = (
        np.array([f"S{p:03}" for p in person]),
        np.array([f"S{p:03}_{e}" for p, e in zip(person, label, strict=True)]),
    )
    fold = draw_folds(label, subject if split == "subject" else source, 5, 0)
    index = new_index(source.tolist(), label, "train", subject=subject, fold=fold)
    return faceset(index, CkplusSource(folds=5, split=split))


def test_splits_of_the_data_set_are_the_sides(synthetic):
    rows = split_rows(synthetic, -1, "last")
    for name in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(rows, name), np.flatnonzero(synthetic.index["split"] == name))


def test_half_of_a_persons_images_in_another_split_are_an_error(synthetic):
    index = synthetic.index
    person = index["subject"][index["split"] == "train"].dropna().iloc[0]
    images = index.index[index["subject"] == person]
    for split in ("test", "val"):
        index.loc[images[: len(images) // 2], "split"] = split
        message = (
            rf"leak: 1 subjects, {person} among them, are in training and {'test' if split == 'test' else 'valid'}"
        )
        with pytest.raises(MmferError, match=message):
            split_rows(synthetic, -1, "last")


def test_a_person_who_validates_and_tests_is_an_error(synthetic):
    index = synthetic.index
    index.loc[index.index[index["split"] == "val"][0], "split"] = "test"
    with pytest.raises(MmferError, match=r"leak: 1 subjects, .* are in validation and test"):
        split_rows(synthetic, -1, "last")


def test_images_of_nobody_known_are_nobody_on_two_sides(synthetic):
    nobody = synthetic.index["subject"].isna()
    assert set(synthetic.index["split"][nobody]) == {"train", "val", "test"}
    split_rows(synthetic, -1, "last")


def test_one_frame_of_a_person_in_another_fold_is_an_error():
    faces = ckplus("subject")
    for fold in range(5):
        split_rows(faces, fold, "best")
    row = faces.index.index[faces.index["fold"] == 2][0]
    faces.index.loc[row, "fold"] = 0
    for fold in (0, 2):
        with pytest.raises(MmferError, match=rf"leak: 1 subjects, {faces.index['subject'][row]} among them"):
            split_rows(faces, fold, "last")


def test_a_source_that_splits_at_random_says_so_and_keeps_pictures_apart_all_the_same():
    faces = ckplus("random")
    assert faces.index.groupby("subject")["fold"].nunique().max() > 1
    for fold in range(5):
        split_rows(faces, fold, "best")
    one, other = (faces.index.index[faces.index["fold"] == fold][0] for fold in (0, 1))
    faces.index.loc[one, "digest"] = faces.index["digest"][other]
    with pytest.raises(MmferError, match=r"leak: 1 digests, .* are in training and test"):
        split_rows(faces, 0, "last")


@pytest.mark.parametrize("column", ["digest", "parent", "subject"])
@pytest.mark.parametrize("sides", [("train", "val"), ("train", "test"), ("val", "test")])
def test_what_is_on_two_sides_stops_with_a_line_that_names_it(splits, column, sides):
    faces = open_faceset(splits)
    rows = split_rows(faces, -1, "last")
    one, other = (getattr(rows, side)[0] for side in sides)
    faces.index.loc[one, column] = faces.index[column][other]
    names = {"train": "training", "val": "validation", "test": "test"}
    text = rf"{splits}: leak: 1 {column}s, .* are in {names[sides[0]]} and {names[sides[1]]}; .*download@tiny"
    with pytest.raises(MmferError, match=text) as error:
        check_leaks(faces, rows)
    assert "\n" not in str(error.value)


def test_folds_are_tested_by_models_that_have_not_seen_them(folds):
    faces = open_faceset(folds)
    number, plain = faces.index["fold"].to_numpy(), (faces.index["copy"] == 0).to_numpy()
    for fold in range(4):
        rows, last = split_rows(faces, fold, "best"), split_rows(faces, fold, "last")
        following = (fold + 1) % 4
        np.testing.assert_array_equal(rows.test, np.flatnonzero(plain & (number == fold)))
        np.testing.assert_array_equal(rows.val, np.flatnonzero(plain & (number == following)))
        assert set(number[rows.train]) == {0, 1, 2, 3} - {fold, following}
        assert not last.val.size
        assert set(number[last.train]) == {0, 1, 2, 3} - {fold}
        assert faces.index["trainable"][last.train].all()


def test_every_face_is_tested_once_and_trains_in_all_other_folds(folds):
    faces = open_faceset(folds)
    parents = faces.index["parent"].to_numpy()
    parts = [split_rows(faces, fold, "last") for fold in folds_of(faces.index)]
    assert sorted(parents[np.concatenate([rows.test for rows in parts])]) == list(range(60))
    trained, times = np.unique(np.concatenate([rows.train for rows in parts]), return_counts=True)
    np.testing.assert_array_equal(trained, np.flatnonzero(faces.index["trainable"]))
    assert set(times) == {3}


def test_copies_train_and_plain_faces_alone_validate_and_test(splits):
    faces = open_faceset(splits)
    rows, copy = split_rows(faces, -1, "best"), faces.index["copy"].to_numpy()
    assert set(copy[rows.train]) == {0, 1, 2}
    assert set(copy[np.concatenate([rows.val, rows.test])]) == {0}


@given(st.lists(st.sampled_from(["train", "val", "test"]), min_size=1, max_size=40), st.data())
def test_a_leak_is_found_where_and_only_where_a_value_is_on_two_sides(sides, data):
    people = data.draw(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=len(sides), max_size=len(sides)))
    index = new_index([str(i) for i in range(len(sides))], [0] * len(sides), sides, subject=people)
    faces = faceset(index, SyntheticSource())
    rows = Rows(*(np.flatnonzero(index["split"] == side) for side in ("train", "val", "test")))
    leaking = {p for p in people if p and len({s for s, q in zip(sides, people, strict=True) if q == p}) > 1}
    if leaking:
        with pytest.raises(MmferError, match="leak"):
            check_leaks(faces, rows)
    else:
        check_leaks(faces, rows)


@pytest.mark.parametrize("copies", [1, 2, 3, None])
def test_the_first_copies_are_as_many_of_each_face_as_asked_for(splits, copies):
    faces = open_faceset(splits)
    rows = split_rows(faces, -1, "last")
    index = faces.index.loc[first_copies(faces.index, rows.train, copies)]
    assert set(index["parent"]) == set(faces.index["parent"][rows.train])
    assert {tuple(numbers) for _, numbers in index.groupby("parent")["copy"]} == {tuple(range(copies or 3))}


def test_more_copies_than_there_are_is_an_error(splits):
    faces = open_faceset(splits)
    with pytest.raises(MmferError, match=r"copies: 4 is more than the 3 .*raise augment\.copies"):
        first_copies(faces.index, split_rows(faces, -1, "last").train, 4)


def test_a_data_set_is_trained_once_for_each_fold_or_once_in_all(folds, splits):
    assert folds_of(open_faceset(folds).index) == [0, 1, 2, 3]
    assert folds_of(open_faceset(splits).index) == [-1]
