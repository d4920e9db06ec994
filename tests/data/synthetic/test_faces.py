"""Rendered faces: the same bytes for any number of workers, people apart, the shares that were asked for."""

import numpy as np
import pytest

from mmfer.config import SyntheticSource
from mmfer.data.synthetic.faces import read_synthetic

SOURCE = SyntheticSource(faces=210, identities=28, non_faces=0.1, label_noise=0.1)


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


def test_classes_are_balanced_and_in_the_papers_order(dataset):
    index, images, classes = dataset
    assert classes == ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    assert images.shape == (210, 48, 48)
    counts = np.bincount(index["label"], minlength=7)
    assert counts.min() >= 20
    assert counts.max() <= 40


def test_another_seed_renders_other_faces(dataset):
    other = read_synthetic(SOURCE.model_copy(update={"seed": 1}), 2)[1]
    assert (other != dataset[1]).mean() > 0.5


def test_faces_differ_from_each_other(dataset):
    assert dataset[0]["digest"].nunique() == 210
