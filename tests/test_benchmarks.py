"""The benchmarks at toy size: what they write, and nothing about their times."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import report
from benchmarks.__main__ import SCRIPTS
from benchmarks.cost import table
from benchmarks.crowds import HEIGHT, SIZES, WIDTH, draw_crowd

ROOT = Path(__file__).resolve().parents[1]


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_what_is_told_of_the_committed_results_is_what_they_hold(tmp_path):
    shutil.copytree(ROOT / "benchmarks/results", tmp_path / "results")
    report.write(tmp_path)
    assert (tmp_path / "RESULTS.md").read_text() == (ROOT / "benchmarks/RESULTS.md").read_text()
    assert table() in (ROOT / "docs/cost.md").read_text()


def test_every_target_is_of_a_script():
    assert {target.script for target in report.TARGETS} <= set(SCRIPTS)


def test_an_unknown_script_is_named(tmp_path):
    done = run("hogs", "--out", tmp_path)
    assert done.returncode == 2
    assert "no such script: hogs" in done.stderr


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The folder that the quickest scripts wrote into."""
    out = tmp_path_factory.mktemp("benchmarks")
    done = run("hog", "loader", "--quick", "--out", out)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def test_a_script_says_where_and_with_what_it_measured(quick):
    result = json.loads((quick / "results/hog.json").read_text())
    assert {"processor", "cores", "versions", "load_before"} <= set(result["machine"])
    assert result["sizes"] == {"ours": 200, "scikit_image": 20, "memory_copy": 200}
    assert all(0 < row["least_s"] <= row["median_s"] for row in result["times"].values())


def test_the_page_has_each_target_and_each_figure(quick):
    page = (quick / "RESULTS.md").read_text()
    assert "these figures mean nothing" in page
    ratio = json.loads((quick / "results/hog.json").read_text())["ratios"]["scikit_image_to_ours"]
    met = "yes" if ratio >= 40 else "no"
    assert f"| HOG: scikit-image's time over ours, one core | {ratio:.3g} | at least 40 | {met} |" in page
    assert "| `mmfer --help`, s | – | at most 0.6 | not run |" in page
    assert (quick / "targets.svg").stat().st_size


@pytest.mark.parametrize(("value", "share"), [(0.3, 2), (0.6, 1), (1.2, 0.5)])
def test_less_is_better_where_a_target_is_a_limit(value, share):
    target = next(target for target in report.TARGETS if target.keys == ("times", "mmfer_help", "median_s"))
    assert target.share(value) == pytest.approx(share)


def test_crowds_hold_each_person_where_the_truth_says_and_nobody_twice():
    marked = np.zeros((90, 60, 3), np.uint8)
    marked[20:60, 15:45] = 255  # the face
    people = [(f"kind {k % 2}", marked, np.array([15.0, 20, 45, 60])) for k in range(700)]
    picture, truth = draw_crowd(np.random.default_rng(0), people)
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert 100 < len(truth) < 700
    assert [kind for kind, _ in truth] == [kind for kind, _, _ in people[: len(truth)]]
    for _, (left, top, right, bottom) in truth:
        assert SIZES[0] - 1 <= bottom - top <= 40  # never larger than in its photo
        inner = picture[round(top) + 2 : round(bottom) - 2, round(left) + 2 : round(right) - 2]
        assert inner.min() > 250
        assert picture[round(top) - 3, round((left + right) / 2)].max() < 5
