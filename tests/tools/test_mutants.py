"""The list of mutants fits the code as it is; a mutant is judged in a copy, by what its tests say."""

import pytest
import yaml

from mmfer.errors import MmferError
from tools import mutants
from tools.mutants import Entry, Mutant, copy_tree, judge, page, read_mutants, time_limit

CODE = "def double(x):\n    return 2 * x\n"
TESTS = "import code_\n\n\ndef test_double():\n    assert code_.double(0) == 0\n"
STRICT = TESTS + "    assert code_.double(3) == 6\n"


def made(old="2 * x", new="3 * x", means="three times"):
    return Mutant("code_.py", "test_code.py", Entry(means=means, old=old, new=new))


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A folder with one function and a lax test of it; its tests need nothing that takes long to import."""
    monkeypatch.setattr(mutants, "PRELOADED", ["pytest"])
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "code_.py").write_text(CODE)
    (folder / "test_code.py").write_text(TESTS)
    return folder


def test_every_mutant_of_the_list_still_changes_its_file():
    found = read_mutants()
    assert len({mutant.key for mutant in found}) == len(found)


@pytest.mark.parametrize(
    ("file", "old", "fault"),
    [
        ("code_.py", "4 * x", "has 0 times '4 \\* x' \\(three times\\)"),
        ("code_.py", "x", "has 2 times 'x'"),
        ("code_.py", "3 * x", "has 0 times"),
        ("gone.py", "2 * x", "gone.py is not there"),
    ],
)
def test_a_stale_list_is_refused(tree, file, old, fault):
    (tree / "tests").mkdir()
    entry = {"means": "three times", "old": old, "new": "3 * x"}
    listed = {file: {"tests": "test_code.py", "mutants": [entry]}}
    (tree / "tests" / "mutants.yaml").write_text(yaml.safe_dump(listed))
    with pytest.raises(MmferError, match=fault):
        read_mutants(tree)


@pytest.mark.parametrize(("tests", "verdict"), [(TESTS, "survived"), (STRICT, "killed")])
def test_a_mutant_lives_or_dies_by_its_tests_and_the_file_is_put_back(tree, tests, verdict):
    (tree / "test_code.py").write_text(tests)
    assert judge(made(), tree, 60) == verdict
    assert (tree / "code_.py").read_text() == CODE


def test_a_mutant_without_end_is_timed_out(tree):
    assert judge(made(new="[1 for _ in iter(int, 1)]"), tree, 5) == "timed out"


def test_a_mutant_that_is_no_python_is_a_fault_of_the_list(tree):
    assert judge(made(new="2 *"), tree, 60) == "broken"


def test_tests_that_fail_without_a_mutant_prove_nothing(tree):
    (tree / "test_code.py").write_text(TESTS.replace("== 0", "== 1"))
    with pytest.raises(MmferError, match="fails without any mutant"):
        time_limit(tree, "test_code.py")


def test_the_copy_has_the_tracked_files_and_none_that_git_ignores(tmp_path):
    copy = copy_tree(tmp_path / "copy")
    assert (copy / "mmfer" / "errors.py").read_text() == (mutants.ROOT / "mmfer" / "errors.py").read_text()
    assert not (copy / ".git").exists()
    assert not list(copy.rglob("__pycache__"))


def test_the_page_counts_and_explains_survivors():
    lived, died = made(means="it lives"), made(new="4 * x", means="it dies")
    stamp = {"date": "2000-01-01", "commit": "abc"}
    results = {lived.key: {"verdict": "survived", **stamp}, died.key: {"verdict": "killed", **stamp}}
    text = page([lived, died, made(new="5 * x")], results)
    assert "2 of 3 one-line mutants" in text
    assert "on 2000-01-01 at abc" in text
    assert "| `code_.py` | 2 | 1 | 1 |" in text
    assert "- `code_.py`, it lives: not explained yet: a test is missing." in text
    assert "| `code_.py` | it dies | killed |" in text
