"""What `make repro` prints of DVC's output."""

from tools.repro import shown


def test_stages_are_numbered_and_timed():
    assert shown("Running stage 'raw@a':\n", 1, 13, 0.04) == "[1/13, 0.0 min] Running stage 'raw@a':\n"
    skipped = "Stage 'clean@a' didn't change, skipping\n"
    assert shown(skipped, 2, 13, 0.0) == f"[2/13, 0.0 min, about 0 left] {skipped}"


def test_what_is_left_takes_as_long_as_what_is_done():
    assert shown("Running stage 'x':\n", 5, 13, 2.0) == "[5/13, 2.0 min, about 4 left] Running stage 'x':\n"  # 4 done


def test_what_a_stage_prints_stays_as_it_is():
    assert shown("> python -m stages.clean 'a'\n", 2, 13, 1.0) == "> python -m stages.clean 'a'\n"


def test_no_push_is_advised():
    assert shown("Use `dvc push` to send your updates to remote storage.\n", 13, 13, 1.0) == ""
