"""Reading what the stages wrote on one data set, on a tiny one that they really wrote."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from mmfer.config import StudyParams
from mmfer.data.faceset import open_faceset
from mmfer.errors import MmferError
from mmfer.files import write_json
from mmfer.report.results import read_study
from tests.report.measured import PARAMS, SYSTEMS


@pytest.fixture(scope="module")
def study(data):
    return read_study(data / "results", PARAMS)


def test_right_answers_are_those_of_the_stored_probabilities(study, data):
    labels = open_faceset(data / "raw").index["label"].to_numpy()
    for name in SYSTEMS:
        with np.load(data / "results/evaluate" / name / "probabilities.npz") as stored:
            runs, seeds = stored["runs"], stored["seeds"]
        answers = study.answers(name)
        np.testing.assert_array_equal(answers.averaged, runs.mean(axis=0).argmax(axis=1) == labels)
        np.testing.assert_array_equal(answers.trainings, seeds.argmax(axis=2) == labels)
    kept = study.predicted["ours"]["kept"].to_numpy(dtype=bool)
    np.testing.assert_array_equal(study.answers("ours", kept).averaged, study.answers("ours").averaged[kept])


def test_perturbed_faces_that_are_clean_are_answered_as_the_plain_test_images(study):
    plain = study.predicted["ours"].set_index("row")
    clean = study.perturbed["ours"].query("condition == 'clean'")
    assert (clean["seed_0"].to_numpy() == plain.loc[clean["row"], "run_0"].to_numpy()).mean() > 0.7
    assert study.answers_under("ours", "clean").trainings.tolist() == [clean["right"].tolist()]


def test_the_people_of_test_images_are_known(study, data):
    people = open_faceset(data / "raw").index["subject"]
    groups = study.groups()
    assert len(groups) == 60
    assert (groups[:, None] == groups).sum() == 60 * 3
    assert all(len(set(groups[people == person])) == 1 for person in people.unique())
    hidden = study.perturbed["ours"].query("condition == 'eyes hidden'")["subject"]
    assert len(set(study.groups_under("eyes hidden"))) == hidden.nunique()


def test_a_person_without_a_name_is_a_group_of_its_own(study):
    table = study.predicted["ours"].copy()
    table.loc[[0, 1], "subject"] = None
    groups = replace(study, predicted={"ours": table}).groups()
    assert groups is not None
    assert len(set(groups)) == 20 + 2
    table["subject"] = None
    assert replace(study, predicted={"ours": table}).groups() is None


def test_passes_count_the_rows_that_one_training_draws_from(study):
    # 54 of 60 faces are kept, three copies each, three of four folds train: about 121 rows, seven whole batches.
    assert study.passes("ours") == pytest.approx(2 * (121 // 16) * 16 / 121, abs=0.06)
    assert not study.is_network("svm")
    assert study.samples("ours") == pytest.approx(2 * 112, abs=16)


@pytest.mark.parametrize("stage", ["evaluate", "robustness"])
def test_results_on_other_images_are_refused(data, tmp_path, stage):
    shutil.copytree(data / "results", tmp_path / "results")
    path = tmp_path / "results" / stage / "lenet/details.json"
    write_json(path, json.loads(path.read_text()) | {"rows": "other"})
    with pytest.raises(MmferError, match=rf"results/{stage}: lenet and ours were measured on different images"):
        read_study(tmp_path / "results", PARAMS)


def test_what_changed_names_settings_of_system_and_training(study):
    assert study.changed("ours") == {}
    assert study.changed("image") == {"branches": ["image"]}
    assert study.changed("binary") == {"train.loss": "binary"}
    assert set(study.same_kind()) == {"ours", "binary", "image"}
    assert study.of_kinds(["svm", "vgg"]) == ["svm"]


def test_the_reference_comes_first_then_the_most_accurate(study):
    names = list(study.details)
    accuracies = [study.details[name]["whole"]["averaged"]["accuracy"] for name in names[1:]]
    assert names[0] == "ours"
    assert accuracies == sorted(accuracies, reverse=True)


def test_a_reference_that_was_not_run_is_named(data):
    with pytest.raises(MmferError, match=r"study\.reference: systems\.oours: not there; did you mean ours\?"):
        read_study(data / "results", StudyParams(reference="oours", baseline="svm"))


def test_systems_at_chance_are_not_compared(study):
    details = dict(study.details)
    details["lenet"] = details["lenet"] | {"whole": details["lenet"]["whole"] | {"chance": {"above": False}}}
    for name in ("ours", "svm"):
        details[name] = details[name] | {"whole": details[name]["whole"] | {"chance": {"above": True}}}
    part = replace(study, details=details)
    assert part.not_above_chance(["ours", "lenet", "svm"]) == ["lenet"]
    assert part.comparable(["ours", "lenet", "svm"]) == ["ours", "svm"]
    assert part.tests(["lenet", "svm"])["system"].tolist() == ["svm"]
    details["ours"] = details["lenet"]
    assert replace(study, details=details).tests().empty
