"""Equal pictures: marked, kept on one side, and held out in whole groups."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfer.data.duplicates import copies_of_held_out, draw_order, hold_out, join_groups, mark_duplicates

SPLITS = ("train", "val", "test")
ROWS = st.lists(st.tuples(st.sampled_from(SPLITS), st.sampled_from("abcdefg")), min_size=1, max_size=20)


def marked(rows):
    return mark_duplicates(pd.DataFrame(rows, columns=["split", "digest"], dtype="string"))


def test_marks_of_every_kind_of_copy():
    index = marked(
        [("train", "a"), ("train", "a"), ("train", "v"), ("train", "t"), ("val", "v"), ("val", "t"), ("test", "t")]
    )
    assert index["duplicate"].tolist() == [False, True, False, False, False, False, False]
    assert index["duplicate_of_test"].tolist() == [False, False, False, True, False, True, False]
    assert index["duplicate_of_val"].tolist() == [False, False, True, True, False, False, False]


@given(ROWS)
def test_without_copies_of_held_out_pictures_the_three_parts_have_none_in_common(rows):
    index = marked(rows)
    left = index[~copies_of_held_out(index)]
    parts = {split: set(left["digest"][left["split"] == split]) for split in SPLITS}
    for one, other in combinations(SPLITS, 2):
        assert not parts[one] & parts[other]


@given(ROWS)
def test_nothing_but_copies_is_left_out_and_no_picture_is_lost(rows):
    index = marked(rows)
    left = index[~copies_of_held_out(index)]
    assert (left["split"] == "test").sum() == (index["split"] == "test").sum()
    # Test comes before validation, validation before training: the last of SPLITS that has a picture keeps all of its.
    keeps = index.groupby("digest")["split"].agg(lambda splits: max(splits, key=SPLITS.index))
    assert left.index.tolist() == index.index[index["split"] == index["digest"].map(keeps)].tolist()


GROUPS = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 5)), min_size=1, max_size=15)


def rows_of(groups):
    """Groups (class, images) -> label of each row, its digest."""
    label = np.repeat([label for label, _ in groups], [size for _, size in groups])
    return label, np.repeat(
        [f"picture-{number}" for number in range(len(groups))], [size for _, size in groups]
    ).tolist()


@given(GROUPS, st.sampled_from([0.1, 0.3, 0.49]), st.integers(0, 5))
def test_whole_groups_are_held_out_and_every_class_that_can_stays_on_both_sides(groups, share, seed):
    label, digest = rows_of(groups)
    drawn = hold_out(label, digest, share, seed)
    table = pd.DataFrame({"label": label, "digest": digest, "drawn": drawn})
    assert table.groupby("digest")["drawn"].nunique().max() == 1
    for _, rows in table.groupby("label"):
        wanted = max(round(len(rows) * share), 1)
        largest = rows.groupby("digest").size().max()
        if rows["digest"].nunique() > 1:
            assert 1 <= rows["drawn"].sum() < len(rows)
            assert rows["drawn"].sum() < wanted + largest
        else:
            assert not rows["drawn"].any()


@given(GROUPS, st.randoms(use_true_random=False))
def test_the_held_out_part_does_not_depend_on_the_order_of_the_rows(groups, random):
    label, digest = rows_of(groups)
    order = list(range(len(label)))
    random.shuffle(order)
    shuffled = hold_out(label[order], [digest[row] for row in order], 0.3, 0)
    np.testing.assert_array_equal(shuffled, hold_out(label, digest, 0.3, 0)[order])


def test_the_share_of_every_class_is_held_out_and_another_seed_draws_others():
    label, digest = np.repeat([0, 1], [100, 300]), [f"picture-{row}" for row in range(400)]
    drawn = hold_out(label, digest, 0.2, 0)
    assert np.bincount(label[drawn]).tolist() == [20, 60]
    assert (hold_out(label, digest, 0.2, 1) != drawn).any()


def test_equal_pictures_with_different_labels_are_held_out_together():
    digest = ["both", "both", *(f"picture-{row}" for row in range(8))]
    for seed in range(20):
        drawn = hold_out(np.array([0, 1] * 5), digest, 0.4, seed)
        assert drawn[0] == drawn[1]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("uvwxyz")), min_size=1, max_size=12))
def test_joined_groups_are_those_that_a_chain_of_equal_images_connects(rows):
    groups, digest = pd.Series([group for group, _ in rows]), [image for _, image in rows]
    expected = {group: {group} for group, _ in rows}
    for _ in rows:  # a chain is no longer than the rows
        for group, image in rows:
            near = set().union(*(expected[other] for other, same in rows if same == image))
            for name in near:
                expected[name] = expected[name] | near | expected[group]
    assert join_groups(groups, digest).tolist() == [min(expected[group]) for group in groups]


def test_draw_order_is_that_of_each_key_alone():
    keys = draw_order(["a", "b", "c"], 0)
    assert draw_order(["c", "a"], 0).tolist() == [keys[2], keys[0]]
    assert len({*keys, *draw_order(["a", "b", "c"], 1)}) == 6


@pytest.mark.parametrize("split", SPLITS)
def test_a_copy_within_its_own_part_is_marked_but_stays(split):
    index = marked([(split, "a"), (split, "a")])
    assert index["duplicate"].tolist() == [False, True]
    assert not copies_of_held_out(index).any()
