"""Rendered faces: the same bytes for any number of workers, people apart, the shares that were asked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfer.config import SyntheticSource
from mmfer.data.synthetic.faces import plan_rows, read_synthetic

SOURCE = SyntheticSource(faces=140, identities=28, non_faces=0.1, label_noise=0.1)


@pytest.fixture(scope="module")
def dataset():
    return read_synthetic(SOURCE, 2)


def test_workers_do_not_change_the_bytes(dataset):
    index, images, _ = read_synthetic(SOURCE, 1)
    assert (images == dataset[1]).all()
    assert index.equals(dataset[0])


def test_no_person_is_in_two_splits(dataset):
    index = dataset[0]
    people = index[index["subject"].notna()]
    assert people.groupby("subject")["split"].nunique().max() == 1
    assert set(index["split"]) == {"train", "val", "test"}


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"faces": 100, "identities": 100}, "identities = 100 is more than the 99 images that show a face; lower it"),
        ({"identities": 14, "val_share": 0.49, "test_share": 0.49}, "leave nobody of 14 to train on; lower"),
    ],
)
def test_people_without_images_and_parts_without_people_are_refused(block, message):
    with pytest.raises(ValueError, match=message):
        SyntheticSource(**block)


@given(st.integers(70, 200), st.integers(14, 60), st.floats(0.05, 0.4), st.floats(0.05, 0.4), st.floats(0, 0.2))
@settings(max_examples=40)
def test_a_plan_keeps_people_in_one_split_and_meets_the_shares(faces, identities, val_share, test_share, non_faces):
    shares = {"val_share": val_share, "test_share": test_share, "non_faces": non_faces}
    plan = plan_rows(SyntheticSource(faces=faces, identities=identities, **shares))
    people = plan[plan["subject"].notna()].groupby("subject")["split"]
    assert people.nunique().max() == 1
    split = people.first().value_counts()
    assert len(people) == identities
    assert split.get("val", 0) == round(val_share * identities)
    assert split.get("test", 0) == round(test_share * identities)
    assert plan["subject"].isna().sum() == round(non_faces * faces)


def test_classes_are_balanced_and_in_the_papers_order(dataset):
    index, images, classes = dataset
    assert classes == ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    assert images.shape == (140, 48, 48)
    counts = np.bincount(index["label"], minlength=7)
    assert counts.min() >= 13
    assert counts.max() <= 27


def test_another_seed_renders_other_faces(dataset):
    other = read_synthetic(SOURCE.model_copy(update={"seed": 1}), 2)[1]
    assert (other != dataset[1]).mean() > 0.5


def test_faces_differ_from_each_other(dataset):
    assert dataset[0]["digest"].nunique() == 140
