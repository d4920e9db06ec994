"""Names of classes as public copies spell them, and numbers of images."""

import numpy as np
import pytest

from mmfer.data.sources.classes import check_counts, class_number, class_numbers
from mmfer.errors import MmferError

CLASSES = ["angry", "disgust", "sadness"]


@pytest.mark.parametrize(("name", "number"), [("anger", 0), ("Angry", 0), ("DISGUSTED", 1), ("sad", 2), ("sadness", 2)])
def test_a_class_is_known_by_all_its_names(name, number):
    assert class_number(name, CLASSES, "here") == number


def test_no_name_means_two_classes():
    everything = ["angry", "contempt", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    assert sorted(set(class_numbers(everything).values())) == list(range(8))
    assert all(class_numbers(everything)[name] == number for number, name in enumerate(everything))


def test_an_unknown_name_ends_with_the_nearest_or_all_known_ones():
    with pytest.raises(MmferError, match="here: unknown class folder 'angrry'; did you mean angry"):
        class_number("angrry", CLASSES, "here")
    with pytest.raises(MmferError, match="known: angry, disgust, sadness"):
        class_number("xyz", CLASSES, "here")


def test_counts_are_compared_with_the_official_ones():
    labels = np.repeat([0, 1, 2], [3, 1, 2])
    assert check_counts(labels, CLASSES, [3, 1, 2], "part") == []
    (note,) = check_counts(labels, CLASSES, [3, 2, 2], "part")
    assert "6 images for 7 (disgust 1 for 2)" in note
    with pytest.raises(MmferError, match="part: no images of disgust, sadness"):
        check_counts(labels[:3], CLASSES, [3, 1, 2], "part")
