"""Trials of recipes: what they are trained with, that none is trained twice, and what the tables say of them."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from typer.testing import CliRunner

from mmfer.config import CleanParams, ExtractParams, TrainParams
from mmfer.data.faceset import open_faceset, params_of
from mmfer.errors import MmferError
from mmfer.face.pack import write_pack
from mmfer.face.prepare import see, stored_rows
from mmfer.training import campaign
from mmfer.training.models import Model, load_model
from tests.tiny import write_tiny
from tests.training.test_campaign import PARAMS
from tools import trials

TRIALS = [
    {"name": "base", "change": {"train": {"epochs": 1}, "augment": {"mode": "online"}}, "why": "as it was"},
    {"name": "sgd", "of": "base", "change": {"train": {"optimizer": "sgd", "beta1": 0.5}}, "why": "another optimiser"},
    {"name": "erase", "of": "sgd", "change": {"augment": {"erase": 1.0}}, "why": "less to see", "kept": True},
    {
        "name": "hidden",
        "of": "base",
        "change": {"hide": {"variants": 1}, "augment": {"hidden": 0.5}},
        "why": "a part is hidden",
    },
    {"name": "wide", "of": "base", "change": {"system": {"kind": "agrawal", "filters": [3, 2]}}, "why": "wider"},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with data, a list of trials, and what became of it in `out`."""
    home = tmp_path_factory.mktemp("trials")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    write_tiny(home / "data")
    (home / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    write_list(home, TRIALS)
    before = digests(home / "data")
    (home / "said.txt").write_text(trials_run(home, home / "data"))
    assert digests(home / "data") == before, "the source is only read"
    torch.set_num_threads(threads)
    return home


def write_list(home, listed, name="trials.yaml", **more):
    content = {
        "params": str(home / "params.yaml"),
        "dataset": "tiny",
        "system": "agrawal",
        "seeds": [0, 1],
        "keep": 5.0,
    }
    (home / name).write_text(yaml.safe_dump(content | {"trials": listed} | more))
    return home / name


def trials_run(home, source, out="out", file="trials.yaml"):
    result = CliRunner().invoke(trials.app, ["run", str(source), "--out", str(home / out), "--list", str(home / file)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def digests(folder):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def facts_of(home, table):
    runs = pd.read_csv(home / "out/trials.csv")
    return json.loads((home / "out" / runs.set_index(["trial", "seed"]).loc[table, "run"] / "model.json").read_text())


def test_each_trial_is_trained_with_its_changes_and_those_of_what_it_changes(folder):
    base, sgd, erase, hidden, wide = (facts_of(folder, (trial["name"], 1)) for trial in TRIALS)
    plain = PARAMS["defaults"]["train"] | {"epochs": 1, "seeds": [0, 1]}
    assert base["train"] == TrainParams(**plain).model_dump()
    assert sgd["train"] == erase["train"] == base["train"] | {"optimizer": "sgd", "beta1": 0.5}
    augments = [params_of(facts["made_by"], "augment") for facts in (base, sgd, erase, hidden)]
    assert augments[0] == augments[1] != augments[2] == augments[0] | {"erase": 1.0}
    assert augments[3] == augments[0] | {"hidden": 0.5}
    assert params_of(hidden["made_by"], "hide")["variants"] == 1
    assert (augments[0]["mode"], augments[0]["copies"]) == ("online", 3)
    assert (base["params"]["filters"], wide["params"]["filters"]) == ([2, 2], [3, 2])


def test_each_trial_gets_its_first_seed_before_any_gets_its_second(folder):
    said = re.findall(r"^\[\d+/10\] tiny (\w+) seed(\d)$", (folder / "said.txt").read_text(), re.MULTILINE)
    assert said == [(trial["name"], seed) for seed in "01" for trial in TRIALS]


def test_the_tables_hold_what_each_model_says_of_the_plain_validation_faces(folder):
    table, data = pd.read_csv(folder / "out/trials.csv"), folder / "data"
    faces, values = open_faceset(data / "augmented"), open_faceset(data / "features")
    rows = np.flatnonzero((faces.index["split"] == "val") & (faces.index["copy"] == 0))
    stored = stored_rows(faces, values, rows)
    labels = faces.index["label"].to_numpy()[rows]
    right = {}
    for row in table.itertuples():
        probabilities = load_model(folder / "out" / row.run).predict(stored)
        right[row.trial, row.seed] = probabilities.argmax(1) == labels
        assert row.faces == len(rows)
        assert row.accuracy == pytest.approx(right[row.trial, row.seed].mean(), abs=1e-4)
        assert row.loss == pytest.approx(-np.log(probabilities[np.arange(len(rows)), labels]).mean(), abs=1e-4)
    assert list(zip(table["trial"], table["seed"], strict=True)) == [(t["name"], s) for t in TRIALS for s in (0, 1)]
    lines = {line.split(" | ")[0][2:]: line for line in (folder / "out/trials.md").read_text().splitlines()}
    gain = np.mean([right["sgd", seed].mean() - right["base", seed].mean() for seed in (0, 1)])
    assert f"| {100 * gain:+.2f} ± " in lines["sgd"]
    assert lines["sgd"].endswith(f"| {'yes' if 100 * gain >= 5 else 'no'} |")
    assert lines["erase"].endswith("| yes |")  # as decided
    assert 'of sgd: augment `{"erase": 1.0}`' in lines["erase"]
    assert "±" not in lines["base"]


def test_no_test_face_is_predicted(folder, tmp_path, monkeypatch):
    run, asked = pd.read_csv(folder / "out/trials.csv")["run"][0], []
    (tmp_path / run).symlink_to(folder / "out" / run)
    monkeypatch.setattr(Model, "predict", lambda self, stored: asked.append(stored["images"]) or np.eye(3))
    _, seen = trials.validation(folder / "data", tmp_path)
    trials.predicted(seen, tmp_path, run)
    faces, hidden = open_faceset(folder / "data/augmented"), open_faceset(tmp_path / "val/hidden")
    rows = np.flatnonzero(faces.index["split"] == "val")
    np.testing.assert_array_equal(asked[0], faces.images[rows])
    np.testing.assert_array_equal(hidden.index["parent"], faces.index["parent"][rows])  # and no other face
    assert len(asked) == 2


def test_hidden_validation_faces_are_found_anew_and_counted(folder):
    out = folder / "out"
    labels, (_, hidden) = trials.validation(folder / "data", out)
    raw = np.array(open_faceset(out / "val/hidden").images)
    found, _ = see(raw, CleanParams(), ExtractParams(), 1)
    for name, values in found.items():
        np.testing.assert_array_equal(hidden[name], values)
    for row in pd.read_csv(out / "trials.csv").itertuples():
        right = load_model(out / row.run).predict(found).argmax(1) == labels
        assert row.hidden == pytest.approx(right.mean(), abs=1e-4)


def test_what_is_trained_is_not_trained_again_under_another_name_or_by_other_code(folder, tmp_path, monkeypatch):
    renamed = [TRIALS[0] | {"name": "start"}, TRIALS[1] | {"of": "start"}]
    write_list(folder, renamed, "renamed.yaml")
    monkeypatch.setattr(campaign, "train_model", None)  # it would fail
    monkeypatch.setattr(trials, "plan", None)
    trials_run(folder, folder / "data", file="renamed.yaml")
    command = ["table", "--out", str(folder / "out"), "--list", str(folder / "renamed.yaml"), "--target", str(tmp_path)]
    assert CliRunner().invoke(trials.app, command).exit_code == 0
    assert list(pd.read_csv(tmp_path / "trials.csv")["trial"]) == ["start", "start", "sgd", "sgd"]


def test_a_trial_that_is_not_trained_yet_is_listed_and_decides_nothing(folder, tmp_path):
    more = [*TRIALS, {"name": "later", "of": "base", "change": {"train": {"epochs": 2}}, "why": "longer"}]
    command = ["--list", str(write_list(folder, more, "more.yaml", seeds=[0, 1, 2]))]
    CliRunner().invoke(trials.app, ["table", "--out", str(folder / "out"), "--target", str(tmp_path), *command])
    lines = (tmp_path / "trials.md").read_text().splitlines()
    assert next(line for line in lines if line.startswith("| later |")).endswith("| not trained yet |")
    assert next(line for line in lines if line.startswith("| sgd |")).endswith("| open |")  # a seed is missing


def test_a_pack_is_a_source_as_its_folder_is(folder, tmp_path):
    write_pack(folder / "data", tmp_path / "tiny.pack")
    write_list(folder, TRIALS[:1], "one.yaml", seeds=[0])
    trials_run(folder, tmp_path / "tiny.pack", "packed", "one.yaml")
    packed, opened = (pd.read_csv(folder / out / "trials.csv") for out in ("packed", "out"))
    assert packed["accuracy"][0] == opened["accuracy"][0]


def test_the_difference_and_its_standard_error_by_hand():
    one = {0: np.array([True, True, False, True]), 1: np.array([True, False, False, True])}
    other = {0: np.array([True, False, False, False]), 1: np.array([True, False, True, True]), 2: np.zeros(4, bool)}
    by_face = np.array([0.0, 0.5, -0.5, 0.5])  # means over both seeds
    gain, error = trials.difference(one, other)
    assert gain == pytest.approx(0.125)
    assert error == pytest.approx(np.sqrt(((by_face - 0.125) ** 2).sum() / 3 / 4))
    assert trials.difference(one, {3: one[0]}) == (None, None)


@pytest.mark.parametrize(
    ("trial", "message"),
    [
        ({"change": {"train": {"optimiser": "sgd"}}}, r"t: train: optimiser: unknown key; did you mean optimizer\?"),
        ({"change": {"augment": {"erase": 2.0}}}, "t: augment: erase: input should be less than or equal to 1"),
        ({"change": {"system": {"filter": [1]}}}, r"filter: unknown key; did you mean filters\?"),
        ({"change": {}, "of": "bass"}, r"t: of\.bass: not there; did you mean base\?"),
    ],
)
def test_what_is_wrong_with_a_trial_is_named(folder, trial, message):
    listed = [TRIALS[0], {"name": "t", "of": "base", "why": "a fault"} | trial]
    with pytest.raises(MmferError, match=message):
        trials.read_trials(write_list(folder, listed, "faulty.yaml"))


def test_the_committed_list_can_be_run_and_starts_from_a_tenth_of_the_published_samples():
    listed, recipes = trials.read_trials(Path("docs/results/trials.yaml"))
    train = recipes[listed.trials[0].name].train
    assert train.epochs * train.samples_per_epoch == pytest.approx(0.1 * 53 * 32768, rel=0.01)
    assert all(recipe.augment.mode == "online" and recipe.train.seeds == listed.seeds for recipe in recipes.values())
