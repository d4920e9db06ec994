"""The file of one data set's results and its page, on results that were really measured."""

import io
import json
import shutil
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from mmfer.config import StudyParams
from mmfer.errors import MmferError
from mmfer.report import study as of_study
from mmfer.report.study import gather, write_foreign, write_study
from stages import study as stage
from tests.report.html import Page
from tests.report.measured import PARAMS, SYSTEMS


@pytest.fixture(scope="module")
def above(data, tmp_path_factory):
    """The same results, but all of them above chance, which few epochs do not give, and `lenet` not."""
    folder = tmp_path_factory.mktemp("above") / "data/tiny"
    shutil.copytree(data, folder)
    for file in folder.glob("results/evaluate/*/details.json"):
        details = json.loads(file.read_text())
        details["whole"]["chance"]["above"] = details["system"] != "lenet"
        file.write_text(json.dumps(details))
    return folder


@pytest.fixture(scope="module")
def file(above):
    return gather(above, PARAMS)


@pytest.fixture(scope="module")
def target(file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    write_study(file, folder)
    return folder


@pytest.fixture(scope="module")
def page(target):
    return Page((target / "study.html").read_text(encoding="utf-8"))


def table(page, head):
    """The rows below the first head that starts with these cells."""
    return next(rows[1:] for rows in page.tables if rows[0][: len(head)] == head)


def test_the_file_has_all_results_but_the_probabilities_and_is_the_same_bytes_each_time(above, file):
    with ZipFile(file) as archive:
        names = set(archive.namelist())
    assert {f"evaluate/{name}/faces.parquet" for name in SYSTEMS} < names
    assert {f"robustness/{name}/conditions.csv" for name in SYSTEMS if name != "image"} < names
    assert not [name for name in names if name.endswith(".npz")]
    before = file.read_bytes()
    assert gather(above, PARAMS).read_bytes() == before


def test_the_page_is_made_again_from_the_file_alone(file, target, tmp_path):
    alone = shutil.copy(file, tmp_path / "moved.zip")
    write_study(alone, tmp_path / "again")
    for name in ("study.md", "study.html", "study.json", "systems.csv", "figures/accuracy.png", "figures/roc.png"):
        assert (tmp_path / "again" / name).read_bytes() == (target / name).read_bytes()


def test_the_stage_makes_a_page_of_a_file_without_data(file, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path}/mlruns")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    done = CliRunner().invoke(stage.app, ["elsewhere", "--file", str(file), "--target", str(tmp_path / "page")])
    assert done.exit_code == 0, done.output
    assert "mmfer on tiny" in (tmp_path / "page/study.html").read_text()


def test_tables_have_a_row_for_each_system_above_chance_and_name_the_others(page, target):
    ranked = [name for name in SYSTEMS if name != "lenet"]
    rows = table(page, ["system", "one run"])
    assert sorted(row[0].split()[0] for row in rows) == sorted(ranked)
    assert rows[0][0] == "ours"
    systems = pd.read_csv(target / "systems.csv")
    assert sorted(systems["system"]) == sorted(ranked)
    assert (systems["low"] <= systems["accuracy"]).all()
    assert (systems["accuracy"] <= systems["high"]).all()
    assert "Not shown to be above chance, and so neither ranked nor compared: lenet (" in page.text
    of_lenet = [rows[0][:2] for rows in page.tables if "lenet" in {row[0] for row in rows}]
    assert of_lenet == [["system", "parameters"]]  # what it costs is a fact


def test_accuracies_are_those_that_evaluate_wrote(page, above):
    for row in table(page, ["system", "one run"]):
        whole = json.loads((above / "results/evaluate" / row[0].split()[0] / "details.json").read_text())["whole"]
        averaged = whole["averaged"]
        shown = [whole["plain"]["accuracy"], averaged["accuracy"], averaged["accuracy_low"], averaged["accuracy_high"]]
        one_run, mean, low, high = (f"{100 * value:.2f}" for value in shown)
        assert row[1:4] == [one_run, mean, f"{low} to {high}"]


def test_systems_without_robustness_are_in_the_other_tables_alone(page):
    assert sorted(row[0] for row in table(page, ["system", "clean"])) == ["binary", "face found", "ours", "svm"]
    assert "image" in {row[0] for row in table(page, ["system", "what differs from ours"])}


def test_ablations_state_what_differs_and_by_how_much(page, above):
    rows = {row[0]: row for row in table(page, ["system", "what differs from ours"])}
    assert rows["image"][1] == "branches: [image]"
    assert rows["binary"][1] == "train.loss: binary"
    right = {}
    for name in ("ours", "image"):
        faces = pd.read_parquet(above / "results/evaluate" / name / "faces.parquet")
        right[name] = (faces["averaged"] == faces["label"]).mean()
    assert rows["image"][5].split()[0] == f"{100 * (right['image'] - right['ours']):+.1f}"


def test_what_is_on_two_sides_is_counted(page):
    assert "6 of 60 images hold no face" in page.text  # each tenth of the tiny set
    assert "20 people are known, 0 of them on two sides." in page.text


def test_every_picture_is_there_and_those_of_faces_are_only_where_they_were_drawn(page, target):
    files = page.attributes("img", "src")
    assert {"figures/accuracy.png", "figures/roc.png", "figures/confusion.png"} <= set(files)
    assert all((target / file).exists() for file in files)
    assert "figures/modalities.png" not in files


def test_rows_are_as_long_as_their_heads(page):
    assert all(len(row) == len(rows[0]) for rows in page.tables for row in rows)


def test_no_placeholder_is_eaten(page):
    assert "data/tiny/results/robustness/<system>/conditions.csv" in page.text


@pytest.mark.parametrize("reference", ["svm", "lenet"])
def test_an_estimator_or_a_network_without_branches_can_be_the_reference(above, tmp_path, reference):
    shutil.copytree(above, tmp_path / "tiny")
    params = StudyParams(reference=reference, baseline="svm", faces_per_class=1)
    text = write_study(gather(tmp_path / "tiny", params), tmp_path / "page").read_text(encoding="utf-8")
    assert f"{reference} has no modalities that could be left out" in text
    assert "faster than the compared networks" in text


MEASURED = Path(__file__).parents[2] / "docs/results/ckplus_hidden_short/study.zip"


def changed(file, change):
    """A copy of a real study.zip whose members {name: bytes} `change` has changed."""
    with ZipFile(MEASURED) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file


def table_of(rows):
    """A Parquet file of one column, in which each row costs next to nothing."""
    made, column = io.BytesIO(), pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), ["x"])
    pq.write_table(pa.table({"x": column}), made)
    return made.getvalue()


def with_details(members, **values):
    name = next(name for name in members if name.endswith("details.json") and name.startswith("evaluate"))
    members[name] = json.dumps(json.loads(members[name]) | values).encode()


def with_facts(members, **values):
    members["facts.json"] = json.dumps(json.loads(members["facts.json"]) | values).encode()


HOSTILE = {
    "outside": (lambda members: members.update({"../x": b""}), "member '../x' points outside the archive"),
    "beside": (lambda members: members.update({"evaluate/x.py": b""}), "'evaluate/x.py' is in it; name a file that"),
    "no facts": (lambda members: members.pop("facts.json"), "no facts.json is in it; name a file that"),
    "bomb": (lambda members: members.update({"evaluate/x/details.json": bytes(20 << 20)}), "a decompression bomb"),
    "too many": (
        lambda members: members.update({f"evaluate/{n}/details.json": b"" for n in range(100)}),
        "files, .* too much for results; do not use it",
    ),
    "too large": (
        lambda members: members.update({"evaluate/x/details.json": bytes(9 << 20)}),
        "too much for results; do not use it",
    ),
    "table": (
        lambda members: members.update({"evaluate/x/faces.parquet": table_of(300_000)}),
        "evaluate/x/faces.parquet: 300,000 rows of 1 columns: too much",
    ),
    "no table": (lambda members: members.update({"evaluate/x/faces.parquet": b"PAR1"}), "x/faces.parquet: damaged"),
    "no JSON": (lambda members: members.update({"facts.json": b"{"}), "not results of this version"),
    "deep": (lambda members: members.update({"facts.json": b"[" * 100_000}), "not results of this version"),
    "facts": (lambda members: with_facts(members, four_faces="x"), r"facts\.json: four_faces"),
    "study": (lambda members: with_facts(members, study={"reference": 3}), r"facts\.json: study"),
    "details": (lambda members: with_details(members, whole=[]), r"not results of this version \(TypeError"),
    "cost": (lambda members: with_details(members, cost=None), r"not results of this version \(TypeError"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_is_damaged_or_hostile_is_refused_and_the_page_stays(tmp_path, monkeypatch, name):
    change, message = HOSTILE[name]
    monkeypatch.setattr(of_study, "MAX_MEMBERS", 60)
    monkeypatch.setattr(of_study, "MAX_BYTES", 8 << 20)
    monkeypatch.setattr(of_study, "MAX_CELLS", 200_000)
    file, target = changed(tmp_path / "foreign.zip", change), tmp_path / "page"
    target.mkdir()
    (target / "study.html").write_text("as it was")
    with pytest.raises(MmferError, match=message) as refusal:
        write_foreign(file, target)
    assert str(refusal.value).startswith(str(file))
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")} == {
        "foreign.zip",
        "page",
        "page/study.html",
    }


def test_a_page_of_a_foreign_file_keeps_the_pictures_that_were_there(tmp_path):
    (tmp_path / "page/figures").mkdir(parents=True)
    (tmp_path / "page/figures/modalities.png").write_bytes(b"x")
    page = write_foreign(changed(tmp_path / "foreign.zip", lambda members: None), tmp_path / "page")
    assert page == tmp_path / "page/study.html"
    assert "figures/modalities.png" in page.read_text(encoding="utf-8")
    assert (tmp_path / "page/figures/modalities.png").exists()


def test_what_lies_beside_the_results_is_not_gathered(above, tmp_path):
    shutil.copytree(above, tmp_path / "tiny")
    (tmp_path / "tiny/results/evaluate/svm/.stray.json").write_text("{}")
    assert gather(tmp_path / "tiny", PARAMS).read_bytes() == gather(above, PARAMS).read_bytes()
