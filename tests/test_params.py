"""The ready sets of docs/params: each is whole and resolves, is written as DVC would write it, and edits are kept."""

import io
import json
import re
import shutil
from functools import reduce
from pathlib import Path

import jsonschema
import pytest
import yaml
from dvc.repo import Repo
from ruamel.yaml import YAML
from typer.testing import CliRunner

from mmfer import params as ready
from mmfer.cli import app
from mmfer.config import Params, TrainParams, check, read_params
from mmfer.errors import MmferError
from mmfer.systems import system_params, systems
from mmfer.systems.ours import OursParams
from tools import params_schema

SETS = ready.set_names()
CATALOGUE = yaml.safe_load(ready.SYSTEMS.read_text())["systems"]


def text_of(name, paths=(), more=()):
    return ready.as_yaml(ready.compose(name, list(paths), list(more)), ready.remarks(name))


def params_of(name):
    return check(Params, yaml.safe_load(text_of(name)), name)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the ready sets and params.yaml alone."""
    shutil.copytree(ready.FOLDER, tmp_path / ready.FOLDER)
    shutil.copy("params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_committed_params_are_the_synthetic_set():
    assert Path("params.yaml").read_text() == text_of("synthetic"), "run `mmfer params synthetic`"


@pytest.mark.parametrize("name", SETS)
def test_a_set_states_every_value_of_defaults_sources_and_systems(name):
    content = yaml.safe_load(text_of(name))
    params = check(Params, content, name)
    assert params.defaults.model_dump() == content["defaults"]
    for dataset, block in content["datasets"].items():
        assert params.datasets[dataset].source.model_dump() == block["source"]
        assert set(block) == {"source", *content["defaults"]}
    for system, block in content["systems"].items():
        assert system_params(system, block)[1].model_dump() == {
            k: v for k, v in block.items() if k not in ("kind", "train")
        }


@pytest.mark.parametrize("name", SETS)
def test_dvc_would_write_a_set_as_it_stands(name):
    yaml, text = YAML(), text_of(name)
    yaml.default_flow_style = False  # as DVC has it
    written = io.StringIO()
    yaml.dump(yaml.load(text), written)
    assert written.getvalue() == text


@pytest.mark.parametrize("name", SETS)
def test_the_pipeline_resolves_for_each_set(name, project):
    (project / ".dvc").mkdir()
    (project / ".dvc/config").write_text("[core]\n    no_scm = true\n")
    shutil.copy(Path(__file__).parents[1] / "dvc.yaml", project)
    (project / "params.yaml").write_text(text_of(name))
    stages = Repo(str(project)).index.stages
    content = yaml.safe_load(text_of(name))
    sets, models = len(content["datasets"]), len(content["systems"])
    assert len(stages) == 1 + 8 * sets + 3 * sets * models  # report; 8 stages of a data set, 3 of a system on it
    for key in {key for stage in stages for dep in stage.params for key in dep.params}:
        reduce(dict.__getitem__, key.split("."), content)  # DVC stops where params.yaml lacks a key


@pytest.mark.parametrize("name", SETS)
def test_the_schema_accepts_each_set(name):
    jsonschema.validate(yaml.safe_load(text_of(name)), json.loads(ready.SCHEMA.read_text()))


def read_all(content):
    for name, block in check(Params, content, "params.yaml").systems.items():
        system_params(name, block)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("defaults", "train", "epochs"), 0),
        (("datasets", "synthetic", "clean", "treshold"), 0.0),
        (("datasets", "synthetic", "source", "facs"), 9),
        (("datasets", "syn thetic"), {}),
        (("systems", "ours", "chanels"), [1]),
        (("systems", "ours", "dropout"), 1.0),
        (("systems", "svm", "train"), {"lr": 1}),
    ],
)
def test_the_schema_refuses_what_reading_refuses(place, value):
    content = yaml.safe_load(text_of("synthetic"))
    block = content
    for key in place[:-1]:
        block = block[key]
    block[place[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, json.loads(ready.SCHEMA.read_text()))
    with pytest.raises(MmferError):
        read_all(content)


def test_the_committed_schema_is_that_of_the_models():
    assert ready.SCHEMA.read_text() == params_schema.as_json(), "run `make generated`"


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_systems_of_the_paper_can_be_built_from_their_blocks(name):
    kind, params = system_params(name, CATALOGUE[name])
    values = params.model_dump()
    stated = {key: value for key, value in CATALOGUE[name].items() if key not in ("kind", "train")}
    assert stated.items() <= values.items()
    assert {k for k, v in stated.items() if kind.params().model_dump()[k] == v} == set(), "says what is the default"


def test_the_comparison_has_every_kind_and_every_ablation_at_equal_widths():
    params = params_of("comparison_cpu")
    assert set(systems()) - {"se_fusion"} == {block["kind"] for block in params.systems.values()}
    # Copies that are drawn online cannot be fewer for some systems.
    ablations = {name for name in CATALOGUE if name.startswith("ours_") and not name.endswith(("_copy", "_copies"))}
    assert set(params.systems) >= ablations
    for name in ablations:
        for width in ("channels", "image_hidden", "landmarks_hidden", "hog_hidden"):
            assert params.systems[name][width] == params.systems["ours"][width]
        for key, value in CATALOGUE[name].items():
            assert params.systems[name][key] == value


def test_the_papers_setting_is_the_defaults():
    params = params_of("paper")
    for dataset in params.datasets.values():
        assert dataset.train == TrainParams(seeds=list(range(10)))
        assert (dataset.augment.copies, dataset.evaluate.runs) == (30, 10)
    assert system_params("ours", params.system("ours"))[1] == OursParams()


@pytest.mark.parametrize("name", [name for name in SETS if "fer2013" in name or name == "paper"])
def test_fer2013_rejects_no_quarter_of_its_images(name):
    params = params_of(name)
    assert params.dataset("fer2013").clean.threshold == -1.0


STALE = [
    ({"defaults": {"train": {"epoch": 3}}}, r"defaults\.train\.epoch: unknown key; did you mean epochs\?"),
    ({"defaults": {"trane": {}}}, r"defaults\.trane: unknown key; did you mean train\?"),
    (
        {"datasets": {"a": {"source": {"kind": "synthetic"}, "clean": {"threshold": 9.0}}}},
        r"datasets\.a\.clean\.threshold: .*not 9",
    ),
    ({"systems": {"ours": {"chanels": [1]}}}, r"systems\.ours: chanels: unknown key; did you mean channels\?"),
    ({"systems": {"ours": {"train": {"lr": 1}}}}, r"systems\.ours\.train: lr: unknown key"),
    ({"systems": {"vgh": {}}}, r"systems\.vgh\.kind\.vgh: not there; did you mean vgg\?"),
]


@pytest.mark.parametrize(("change", "message"), STALE)
def test_a_set_that_has_gone_stale_is_refused_by_its_key(project, change, message):
    content = {"datasets": {"a": {"source": {"kind": "synthetic"}}}, "systems": {"svm": {}}} | change
    (ready.FOLDER / "old.yaml").write_text("# Old.\n" + yaml.safe_dump(content))
    with pytest.raises(MmferError, match=rf"^docs/params/old\.yaml: {message}"):
        ready.compose("old", [], [])


def run(*arguments):
    return CliRunner().invoke(app, ["params", *arguments])


def test_the_command_writes_a_set_with_a_path_and_a_further_system(project):
    (project / "faces.zip").touch()
    done = run("fer2013", "--path", "faces.zip", "--system", "vgg")
    assert done.output == "params.yaml written; run `dvc repro`\n"
    params = read_params()
    assert params.dataset("fer2013").source.path == "faces.zip"
    assert list(params.systems) == ["se_fusion", "svm", "vgg"]
    assert params.system("vgg")["depth"] == "vgg19"


def test_each_data_set_of_several_is_given_its_path_by_name(project):
    (project / "faces.zip").touch()
    run("paper", "--path", "ckplus=faces.zip")
    assert [data.source.path for data in read_params().datasets.values()] == [None, "faces.zip"]


REFUSED = [
    (["fer201"], r"docs/params: fer201: not there; did you mean fer2013\?"),
    (["synthetic", "--system", "vgh"], r"docs/params/systems.yaml: vgh: not there; did you mean vgg\?"),
    (["paper", "--path", "docs"], r"--path docs: name the data set .*; give fer2013=docs or ckplus=docs$"),
    (["ckplus", "--path", "ck=docs"], r"--path ck=docs: name the data set .*; give ckplus=docs$"),
    (["synthetic", "--path", "docs"], r"--path docs: no data set of this set reads files; leave it out"),
    (["fer2013", "--path", "nowhere.zip"], r"--path nowhere.zip: no such file or folder; correct it"),
    (
        ["fer2013", "--path", "~nobody-of-that-name/a.zip"],
        r"--path ~nobody.*/a.zip: no such file or folder; correct it",
    ),
    (["fer2013", "--path", "fer2013=nowhere.zip"], r"--path nowhere.zip: no such file or folder; correct it"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_a_wrong_argument_is_refused_and_params_are_left(project, arguments, message):
    before = Path("params.yaml").read_text()
    assert re.search(message, str(run(*arguments).exception))
    assert Path("params.yaml").read_text() == before


def test_edits_are_kept_beside_the_new_file_and_ready_sets_are_not(project):
    assert "former" not in run("fer2013").output
    edited = Path("params.yaml").read_text().replace("copies: 30", "copies: 7")
    Path("params.yaml").write_text(edited)
    assert "your former one is now params.yaml.1" in run("ckplus").output
    assert Path("params.yaml.1").read_text() == edited
    Path("params.yaml").write_text("mine")
    assert "params.yaml.2" in run("ckplus").output
    assert Path("params.yaml.1").read_text() == edited


def test_outside_the_project_the_command_says_where_to_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "run from the folder that holds dvc.yaml" in str(run("fer2013").exception)


def test_without_a_name_the_sets_are_listed_with_their_remarks():
    listed = run().output
    assert all(f"{name}\n  " in listed for name in SETS)
    assert "110 minutes of two cores" in listed


@pytest.mark.parametrize("value", ["2024-99-99", "!!int abc", "[" * 5000, "[1", "!!python/object:os.system x"])
def test_a_value_that_is_no_yaml_is_refused_by_its_change(project, value):
    with pytest.raises(MmferError, match=r"--set defaults.train.epochs=.*; correct the value"):
        ready.read_changed("synthetic", [f"defaults.train.epochs={value}"])
