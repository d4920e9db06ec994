"""The data contract: what is written is what opens; what does not fit is named."""

import hashlib
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmfer.data import faceset
from mmfer.data.faceset import (
    count_splits,
    create_array,
    digests,
    new_faceset,
    new_index,
    open_faceset,
    read_index,
    rows_digest,
    write_array,
    write_index,
    write_rows,
)
from mmfer.errors import MmferError
from tests.tiny import MADE_BY


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (6, 48, 48), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path, images):
    with new_faceset(tmp_path / "set", "d", ["a", "b"], index(images), MADE_BY) as new:
        write_array(new, "images", images)
    return tmp_path / "set"


def index(images, **more):
    columns = {"label": np.arange(len(images)) % 2, "split": "train", "digest": digests(images)} | more
    return new_index([f"s{i}" for i in range(len(images))], **columns)


def test_what_is_written_is_what_opens_read_only(folder, images):
    faces = open_faceset(folder)
    assert (faces.images == images).all()
    assert (faces.dataset, faces.classes, len(faces), list(faces.arrays)) == ("d", ["a", "b"], 6, ["images"])
    with pytest.raises(ValueError, match="read-only"):
        faces.images[0] = 0


def test_an_array_that_a_caller_needs_and_the_folder_lacks_is_named(folder):
    with pytest.raises(MmferError, match=r"set/hog\.npy: not found; .*dvc repro"):
        open_faceset(folder, needs=("images", "hog"))
    faces = open_faceset(folder, needs=("images",))
    for name in ("landmarks", "hog", "transforms"):
        with pytest.raises(MmferError, match=rf"set/{name}\.npy: not found; .*dvc repro"):
            getattr(faces, name)


def test_rows_written_in_any_order_are_in_their_places(tmp_path, images):
    with new_faceset(tmp_path / "set", "d", ["a", "b"], index(images), MADE_BY) as new:
        create_array(new, "images", images.shape)
        for start in (4, 0, 2):
            write_rows(new, "images", start, images[start : start + 2])
    assert (open_faceset(tmp_path / "set").images == images).all()


def test_an_index_is_written_in_parts_and_any_rows_and_columns_of_it_are_read(tmp_path, images, monkeypatch):
    monkeypatch.setattr(faceset, "PART", 4)
    table = index(np.concatenate([images] * 3))
    for number, parts in enumerate((table, (table[at : at + 4] for at in range(0, 18, 4)))):
        with new_faceset(tmp_path / str(number), "d", ["a", "b"], parts, MADE_BY):
            pass
        faces = open_faceset(tmp_path / str(number))
        assert pq.read_metadata(faces.folder / "index.parquet").num_row_groups == 5
        for rows in (slice(0, 18), slice(3, 5), slice(4, 8), slice(5, 7), slice(6, 99), slice(9, 9)):
            expected = table[rows].reset_index(drop=True)
            pd.testing.assert_frame_equal(read_index(faces.folder, rows=rows), expected)
            pd.testing.assert_frame_equal(
                read_index(faces.folder, ["digest", "label"], rows), expected[["digest", "label"]]
            )
        pd.testing.assert_frame_equal(pd.concat(faces.parts()), table)
        pd.testing.assert_frame_equal(faces.columns("split", "fold"), table[["split", "fold"]])
        pd.testing.assert_frame_equal(faces.index, table)


def test_an_index_that_the_block_writes_is_checked_too(tmp_path, images):
    with pytest.raises(MmferError, match="labels must be 0 to 0"):
        with new_faceset(tmp_path / "set", "d", ["a"], None, MADE_BY) as folder:
            write_index(folder, index(images))
    assert not (tmp_path / "set").exists()


def test_an_index_whose_rows_are_damaged_is_named(folder):
    path = folder / "index.parquet"
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)
    with pytest.raises(MmferError, match=r"(?s)set: faceset\.json or index\.parquet is damaged .*dvc repro"):
        _ = open_faceset(folder).index


def test_text_of_an_index_that_is_not_utf_8_is_named_when_it_is_read(folder):
    table = pq.read_table(folder / "index.parquet")
    broken = pa.array([b"\xff"] * len(table), pa.binary()).view(pa.string())
    pq.write_table(table.set_column(0, "source", broken), folder / "index.parquet")
    with pytest.raises(MmferError, match=r"index\.parquet is damaged .*Invalid UTF8"):
        _ = open_faceset(folder).index


@pytest.mark.parametrize("name", ["images.npy", "index.parquet", "faceset.json"])
@pytest.mark.parametrize("fault", ["missing", "truncated"])
def test_a_missing_or_truncated_file_is_named_with_a_remedy(folder, name, fault):
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if fault == "truncated":
        path.write_bytes(content[: len(content) // 2])
    with pytest.raises(MmferError, match=f"{name.split('.')[0]}.*dvc repro"):
        open_faceset(folder)


@pytest.mark.parametrize("content", ["[]", "{}", '{"format": 99}'])
def test_a_head_of_another_kind_is_named(folder, content):
    (folder / "faceset.json").write_text(content)
    with pytest.raises(MmferError, match=r"faceset\.json: format (None|99), expected 1; .*dvc repro"):
        open_faceset(folder)


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("arrays", 3, r"faceset\.json: arrays: input should be a valid list"),
        ("classes", None, r"faceset\.json: classes: input should be a valid list"),
        ("made_by", {"stage": "clean", "params": {}, "from": {"stage": "download"}}, r"made_by\.from\.params: missing"),
    ],
)
def test_a_head_that_lacks_something_is_named(folder, key, value, fault):
    head = json.loads((folder / "faceset.json").read_text())
    (folder / "faceset.json").write_text(json.dumps(head | {key: value}))
    with pytest.raises(MmferError, match=fault):
        open_faceset(folder)


def test_a_head_of_an_array_that_is_no_python_is_damage(folder):
    content = (folder / "images.npy").read_bytes()
    (folder / "images.npy").write_bytes(content.replace(b"(", b"{", 1))
    with pytest.raises(MmferError, match=r"images\.npy: damaged"):
        open_faceset(folder)


def test_an_empty_array_file_is_named(folder):
    (folder / "images.npy").write_bytes(b"")
    with pytest.raises(MmferError, match=r"images\.npy: damaged"):
        open_faceset(folder)


def test_an_array_that_does_not_match_the_index_is_named(folder, images):
    np.save(folder / "images.npy", images[:5])
    with pytest.raises(MmferError, match=r"images\.npy: uint8 \(5, 48, 48\) does not match 6 rows"):
        open_faceset(folder)
    np.save(folder / "images.npy", images.astype(float))
    with pytest.raises(MmferError, match="float64"):
        open_faceset(folder)


@pytest.mark.parametrize(
    ("more", "message"), [({"label": [9] * 6}, "labels must be 0 to 1"), ({"split": "dev"}, "dev")]
)
def test_an_index_that_breaks_the_contract_is_refused(tmp_path, images, more, message):
    with pytest.raises(MmferError, match=message):
        with new_faceset(tmp_path / "set", "d", ["a", "b"], index(images, **more), MADE_BY):
            pass


def test_an_interrupt_leaves_the_former_folder(folder, images):
    def spoil():
        with new_faceset(folder, "d", ["a", "b"], index(images), MADE_BY) as new:
            write_array(new, "images", images[::-1])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spoil()
    assert (open_faceset(folder).images == images).all()
    assert [path.name for path in folder.parent.iterdir()] == ["set"]


def test_digests_are_equal_for_equal_pixels_alone(images):
    images[3] = images[0]
    found = digests(images)
    assert found[3] == found[0]
    assert len(set(found)) == 5


def test_a_digest_of_rows_changes_with_faces_labels_names_and_their_order_alone(images):
    table, rows = index(images), np.array([1, 4, 2])
    digest = rows_digest(table, rows)
    assert digest == rows_digest(table.assign(kept=True).iloc[::-1], 5 - rows)
    others = [(table, rows[::-1]), (table, rows[:2]), (table, np.array([1, 4, 3]))]
    for column, value in {"source": "other", "label": 9, "digest": "0" * 32}.items():
        changed = table.copy()
        changed.loc[4, column] = value
        others.append((changed, rows))
        changed = table.copy()
        changed.loc[0, column] = value  # a row that is not among them
        assert rows_digest(changed, rows) == digest
    assert len({digest, *(rows_digest(*other) for other in others)}) == 7


def test_a_digest_of_rows_is_that_of_their_text(images):
    table = index(images)
    text = f'[["s1", "1", "{table["digest"][1]}"]]'
    assert rows_digest(table, np.array([1])) == hashlib.sha256(text.encode()).hexdigest()


def test_counts_name_every_class_of_every_split():
    table = new_index(["a", "b", "c", "d"], [0, 0, 2, 1], np.array(["train", "train", "test", "train"], dtype=object))
    counted = count_splits(table, ["x", "y", "z"])
    expected = [("train", "x", 2), ("train", "y", 1), ("train", "z", 0)]
    expected += [("test", "x", 0), ("test", "y", 0), ("test", "z", 1)]
    assert list(counted.itertuples(index=False, name=None)) == expected
