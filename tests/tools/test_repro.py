"""What `make repro` prints of DVC's output."""

import pytest

from mmfer.errors import MmferError
from mmfer.use import doctor
from tools.repro import clear_torn_lock, shown


def test_stages_are_numbered_and_timed():
    assert shown("Running stage 'raw@a':\n", 1, 13, 0.04) == "[1/13, 0.0 min] Running stage 'raw@a':\n"
    skipped = "Stage 'clean@a' didn't change, skipping\n"
    assert shown(skipped, 2, 13, 0.0) == f"[2/13, 0.0 min, about 0 left] {skipped}"


def test_what_is_left_takes_as_long_as_what_is_done():
    assert shown("Running stage 'x':\n", 5, 13, 2.0) == "[5/13, 2.0 min, about 4 left] Running stage 'x':\n"  # 4 done


def test_what_a_stage_prints_stays_as_it_is():
    assert shown("> python -m stages.clean 'a'\n", 2, 13, 1.0) == "> python -m stages.clean 'a'\n"


@pytest.mark.parametrize(("content", "stays"), [("", False), ('{"read": ', False), ('{"read": {}}', True)])
def test_half_a_lock_is_found_and_removed_and_a_whole_one_stays(tmp_path, monkeypatch, content, stays):
    monkeypatch.chdir(tmp_path)
    clear_torn_lock()  # there is none
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    (tmp_path / ".dvc/tmp/rwlock").write_text(content)
    if not stays:
        with pytest.raises(MmferError, match=r"^\.dvc/tmp/rwlock: half written .*; delete it"):
            doctor.dvc_state()
    clear_torn_lock()
    assert (tmp_path / ".dvc/tmp/rwlock").exists() == stays


def test_no_push_is_advised():
    assert shown("Use `dvc push` to send your updates to remote storage.\n", 13, 13, 1.0) == ""
