"""What `make repro` prints of DVC's output."""

from tools.repro import shown


def test_stages_are_numbered_and_timed():
    assert shown("Running stage 'clean@a':\n", 2, 13, 1.26) == "[2/13, 1.3 min] Running stage 'clean@a':\n"
    assert shown("Stage 'clean@a' didn't change, skipping\n", 2, 13, 0.0).startswith("[2/13, 0.0 min] Stage 'clean@a'")


def test_what_a_stage_prints_stays_as_it_is():
    assert shown("> python -m stages.clean 'a'\n", 2, 13, 1.0) == "> python -m stages.clean 'a'\n"


def test_no_push_is_advised():
    assert shown("Use `dvc push` to send your updates to remote storage.\n", 13, 13, 1.0) == ""
