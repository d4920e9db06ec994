"""Nothing is lost: what was there stays until what is new is complete."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from mmfer import files
from mmfer.files import new_file, new_folder, take_name, write_csv, write_json, write_text


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


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_are_refused(tmp_path, value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": [value]})
    assert not list(tmp_path.iterdir())


def test_a_table_has_no_row_numbers(tmp_path):
    write_csv(tmp_path / "a.csv", pd.DataFrame({"x": [1, 2]}))
    assert (tmp_path / "a.csv").read_text() == "x\n1\n2\n"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_fault_in_the_first_writing_leaves_nothing(tmp_path, error):
    def spoil(new):
        with new(tmp_path / "out") as path:
            (path / "a" if path.is_dir() else path).write_text("half")
            raise error

    for new in (new_folder, new_file):
        with pytest.raises(error):
            spoil(new)
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", [1, 2])
def test_an_interrupt_between_the_two_renames_puts_the_former_folder_back(tmp_path, monkeypatch, place):
    with new_folder(tmp_path / "out") as new:
        (new / "a").write_text("first")
    rename, calls = Path.rename, []

    def interrupted(path, target):
        calls.append(path)
        if len(calls) == place:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)

    def spoil():
        with new_folder(tmp_path / "out") as new:
            (new / "a").write_text("second")

    with pytest.raises(KeyboardInterrupt):
        spoil()
    assert [path.read_text() for path in tmp_path.rglob("*/a")] == ["first"]


def test_a_process_killed_between_the_two_renames_loses_nothing(tmp_path):
    (tmp_path / ".out.old").mkdir()
    (tmp_path / ".out.old" / "a").write_text("first")

    def spoil():
        with new_folder(tmp_path / "out"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spoil()
    assert (tmp_path / "out" / "a").read_text() == "first"


def test_what_a_killed_process_left_behind_does_not_get_in_the_way(tmp_path):
    for leftover in (".out.new", ".out.old"):
        (tmp_path / leftover).mkdir()
        (tmp_path / leftover / "stale").touch()
    with new_folder(tmp_path / "out") as new:
        (new / "a").touch()
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["out", "out/a"]


KILLED = """
import os, pathlib, signal
from mmfer.files import new_file
with new_file(pathlib.Path("figure.png")) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
def test_what_a_killed_process_left_beside_a_file_is_removed_and_nothing_else(tmp_path):
    assert subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, check=False).returncode == -signal.SIGKILL
    (stray,) = tmp_path.iterdir()
    others = {f"{files.OURS}{os.getppid()}.a.csv", f".elsewhere-{2**22}.a.csv", f"{files.OURS}x.csv", ".hidden"}
    for name in others:  # of a process that lives, of another computer, the user's own
        (tmp_path / name).touch()
    write_json(tmp_path / "other.json", {})
    assert not stray.exists()
    assert {path.name for path in tmp_path.iterdir()} == others | {"other.json"}


@pytest.mark.skipif(not files.NUMBERING.exists(), reason="needs Linux")
def test_a_container_does_not_clear_up_after_processes_of_another(tmp_path):
    """One host name may be that of several, as with --network host; each numbers its processes from 1 on."""
    assert files.OURS.endswith(f"-{os.stat('/proc/self/ns/pid').st_ino}-")
    other = tmp_path / f"{files.OURS.replace(str(files.NUMBERING.stat().st_ino), '1')}{2**22}.a.csv"
    other.touch()
    write_json(tmp_path / "a.json", {})
    assert other.exists()


@pytest.mark.parametrize("links", [True, False])
def test_a_name_that_is_taken_stays_its_owners(tmp_path, monkeypatch, links):
    def refuse(*_):
        raise PermissionError

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    for content in ("first", "second"):
        (tmp_path / "new").write_text(content)
        take_name(tmp_path / "new", tmp_path / "name")
    assert (tmp_path / "name").read_text() == "first"


def test_a_name_that_is_taken_after_a_look_stays_its_owners(tmp_path, monkeypatch):
    (tmp_path / "name").write_text("first")
    (tmp_path / "new").write_text("second")
    monkeypatch.setattr(Path, "exists", lambda _: False)
    take_name(tmp_path / "new", tmp_path / "name")
    assert (tmp_path / "name").read_text() == "first"


def test_folders_above_are_made(tmp_path):
    write_json(tmp_path / "a" / "b" / "c.json", {})
    with new_folder(tmp_path / "d" / "e"):
        pass
    assert (tmp_path / "a/b/c.json").is_file()
    assert (tmp_path / "d/e").is_dir()


def test_the_temporary_file_keeps_the_suffix_that_decides_its_format(tmp_path):
    with new_file(tmp_path / "sheet.png") as new:
        assert new.suffix == ".png"
        assert new.parent == tmp_path  # a rename between file systems is a copy
        new.touch()


def test_text_is_utf_8_and_what_is_not_leaves_the_former(tmp_path):
    write_text(tmp_path / "a", "é")
    assert (tmp_path / "a").read_bytes() == b"\xc3\xa9"
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a", "\ud800")
    assert (tmp_path / "a").read_bytes() == b"\xc3\xa9"
    assert len(list(tmp_path.iterdir())) == 1


def test_json_is_indented_and_ends_its_last_line(tmp_path):
    write_json(tmp_path / "a.json", {"x": [1]})
    assert (tmp_path / "a.json").read_text() == '{\n  "x": [\n    1\n  ]\n}\n'


@pytest.mark.parametrize("new", [new_file, new_folder])
def test_a_full_disk_is_told_with_the_name_of_what_was_written(tmp_path, new):
    with pytest.raises(OSError, match="No space left") as caught, new(tmp_path / "data"):
        raise OSError(errno.ENOSPC, "No space left on device")  # as write() says it: of a file that is open
    assert caught.value.filename == str(tmp_path / "data")
