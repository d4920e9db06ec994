"""Nothing is lost: what was there stays until what is new is complete."""

import json

import pandas as pd
import pytest

from mmfer.files import new_file, new_folder, write_csv, write_json


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_folder_survives_a_fault_while_its_successor_is_written(tmp_path, error):
    target = tmp_path / "out"
    with new_folder(target) as new:
        (new / "a").write_text("first")

    def spoil():
        with new_folder(target) as new:
            (new / "a").write_text("second")
            raise error

    with pytest.raises(error):
        spoil()
    assert (target / "a").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    for name in ("a", "b"):
        with new_folder(tmp_path / "out") as new:
            (new / name).write_text(name)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b"]


def test_a_file_survives_a_fault(tmp_path):
    target = tmp_path / "a.json"
    write_json(target, {"x": 1})

    def spoil():
        with new_file(target) as new:
            new.write_text("{")
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011 (the error of the test itself)
        spoil()
    assert json.loads(target.read_text()) == {"x": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_nan_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not list(tmp_path.iterdir())


def test_a_table_has_no_row_numbers(tmp_path):
    write_csv(tmp_path / "a.csv", pd.DataFrame({"x": [1, 2]}))
    assert (tmp_path / "a.csv").read_text() == "x\n1\n2\n"
