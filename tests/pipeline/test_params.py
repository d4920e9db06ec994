"""Which stages DVC runs again when a value of params.yaml changes, and what becomes of params.yaml in experiments.

The pipeline is that of dvc.yaml with two data sets, but each command only writes what the stage is to write.
"""

import shutil
from functools import reduce
from pathlib import Path

import networkx as nx
import pytest
import yaml
from dvc.repo import Repo
from dvc.utils.hydra import apply_overrides

from tests.hollow import ROOT, ran, run, write_hollow

SETS, SYSTEMS = ("synthetic", "other"), ("ours", "svm")
OTHER = """
  other:
    source:
      kind: synthetic
      seed: 1
    clean: {}
    hide: {}
    augment:
      copies: 7 # fewer
    extract: {}
    train: {}
    evaluate: {}
    perturb: {}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The project, run once and committed."""
    root = tmp_path_factory.mktemp("hollow")
    write_hollow(root, (ROOT / "params.yaml").read_text().replace("\nsystems:", f"{OTHER}\nsystems:", 1))
    assert ran(root, "repro") == EVERYTHING
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-qm", "built")
    return root


def of(stage, sets=SETS, systems=SYSTEMS):
    """A stage by its full names."""
    if stage in ("train", "evaluate", "robustness"):
        return {f"{stage}@{dataset}-{system}" for dataset in sets for system in systems}
    return {f"{stage}@{dataset}" for dataset in sets}


OF_DATA = ("download", "clean", "hide", "augment", "extract", "perturb", "sheets", "study")
ORDER = (*OF_DATA, "train", "evaluate", "robustness")
EVERYTHING = {"report"}.union(*(of(stage) for stage in ORDER))
AFTER = {  # stages that come after one
    "source": set(ORDER),
    "clean": set(ORDER) - {"download"},
    "hide": set(ORDER) - {"download", "clean"},
    "augment": set(ORDER) - {"download", "clean", "hide"},
    "extract": set(ORDER) - {"download", "clean", "hide", "augment"},
    "train": {"train", "evaluate", "robustness", "study"},
    "evaluate": {"evaluate", "study"},
    "perturb": {"perturb", "robustness", "sheets", "study"},
}
OF_BLOCKS = {
    "clean": {"eye_height_px": 19.0},
    "hide": {"variants": 2},
    "augment": {"mirror": 0.4},
    "extract": {"orientations": 8},
    "train": {"learning_rate": 0.002},
    "evaluate": {"seed": 7},
    "perturb": {"gamma": 1.5},
}
CHANGES = {
    **{f"defaults.{block}": (values, SETS) for block, values in OF_BLOCKS.items()},
    **{f"datasets.other.{block}": (values, ("other",)) for block, values in OF_BLOCKS.items()},
    "datasets.synthetic.source": ({"seed": 5}, ("synthetic",)),
}


@pytest.fixture(scope="module")
def repo(built):
    """The project in DVC's own terms."""
    with Repo(str(built)) as opened:
        yield opened


@pytest.fixture
def stale(built, repo):
    """The stages that DVC would run where values of a block are changed, those after them included."""
    graph = repo.index.graph.reverse()  # from a stage to those that read what it writes
    params = built / "params.yaml"
    before = params.read_text()

    def stale(place, values):
        content = yaml.safe_load(before)
        block = reduce(dict.__getitem__, place.split("."), content)
        assert block | values != block
        block |= values
        params.write_text(yaml.safe_dump(content))
        with repo.lock:
            changed = {stage for stage in graph if stage.changed()}
        return {later.name for stage in changed for later in (stage, *nx.descendants(graph, stage))}

    yield stale
    params.write_text(before)


@pytest.mark.parametrize("place", CHANGES)
def test_a_change_of_a_block_concerns_its_stages_of_its_data_sets_and_those_after(stale, place):
    values, sets = CHANGES[place]
    expected = {"report"}.union(*(of(stage, sets) for stage in AFTER[place.rpartition(".")[2]]))
    assert stale(place, values) == expected


def test_a_change_of_a_system_concerns_it_alone(stale):
    stages = [*(of(stage, systems=("ours",)) for stage in ("train", "evaluate", "robustness")), of("study"), {"report"}]
    assert stale("systems.ours", {"dropout": 0.1}) == set().union(*stages)


def test_a_change_of_the_study_concerns_the_pages_alone(stale):
    assert stale("study", {"seed": 3}) == of("sheets") | of("study") | {"report"}


@pytest.mark.parametrize(
    ("setting", "edit"),
    [
        ("defaults.augment.copies=10", ("copies: 30 #", "copies: 10 #")),
        ("defaults.train.max_minutes=5", ("max_minutes: #", "max_minutes: 5 #")),
        ("datasets.other.augment.copies=9", ("copies: 7 # fewer", "copies: 9 # fewer")),
        ("++datasets.other.train.epochs=3", ("    train: {}\n", "    train:\n      epochs: 3\n")),
    ],
)
def test_setting_a_value_of_an_experiment_changes_its_line_of_params_alone(tmp_path, built, setting, edit):
    file = Path(shutil.copy(built / "params.yaml", tmp_path))
    before = file.read_text()
    assert before.count(edit[0]) == 1
    apply_overrides(file, [setting])  # what `dvc exp run -S` does
    assert [line.split() for line in file.read_text().splitlines()] == [
        line.split() for line in before.replace(*edit).splitlines()
    ]


@pytest.mark.parametrize("way", ["--temp", "--queue"])
def test_an_experiment_elsewhere_or_later_leaves_the_workspace(built, way):
    before = (built / "params.yaml").read_bytes()
    run(built, "dvc", "exp", "run", way, "-S", "study.seed=7")
    assert (built / "params.yaml").read_bytes() == before
    assert run(built, "git", "status", "--porcelain") == ""


def test_an_experiment_here_runs_its_stages_and_changes_its_line_of_params(built):
    old, new = "    perturb: {}\n\nsystems", "    perturb:\n      gamma: 1.5\n\nsystems"
    before = (built / "params.yaml").read_text()
    expected = {"report"}.union(*(of(stage, ("other",)) for stage in ("perturb", "sheets", "robustness", "study")))
    assert ran(built, "exp", "run", "-S", "++datasets.other.perturb.gamma=1.5") == expected
    assert (built / "params.yaml").read_text() == before.replace(old, new)
