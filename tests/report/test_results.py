"""Reading what the stages wrote on one data set, on a tiny one that they really wrote."""

import numpy as np
import pytest

from mmfer.config import EvaluateParams, PerturbParams, StudyParams, TrainParams
from mmfer.data.faceset import open_faceset
from mmfer.errors import MmferError
from mmfer.files import write_csv, write_json
from mmfer.report.results import read_study
from mmfer.report.study import write_chapter
from mmfer.testing.evaluation import evaluate, write_results
from mmfer.testing.perturb import write_perturbed
from mmfer.testing.robustness import by_condition, by_face, predict_perturbed
from mmfer.training.train import train_all
from tests.tiny import write_tiny

OURS = {"kind": "ours", "branches": ["image", "landmarks", "hog"], "channels": [4, 8], "image_hidden": [16]}
OURS |= {"landmarks_hidden": [16], "hog_hidden": [16]}
SYSTEMS = {
    "ours": (OURS, {}),
    "binary": (OURS, {"loss": "binary"}),
    "image": (OURS | {"branches": ["image"]}, {}),
    "svm": ({"components": 8}, {}),
    "lenet": ({}, {}),
}
PARAMS = StudyParams(reference="ours", baseline="svm", faces_per_class=1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The data and metrics folders of a tiny data set with people in four folds, all but robustness for `image`."""
    root = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        data, metrics = write_tiny(root / "data/tiny", folds=4), root / "metrics/tiny"
        write_perturbed(data, data / "perturbed", PerturbParams(images=10, severities=[3]), 1)
        for name, (block, own) in SYSTEMS.items():
            train = TrainParams(epochs=2, batch_size=16, device="cpu", seeds=[0]).model_copy(update=own)
            summary, _ = train_all(data, (name, block), train, lambda *_: None)
            write_json(metrics / name / "train.json", summary)
            write_results(evaluate(data, name, EvaluateParams(runs=2, bootstrap=100)), metrics / name)
            if name != "image":
                probabilities, faces = predict_perturbed(data, name)
                write_csv(metrics / name / "robustness.csv", by_condition(probabilities, faces.index, faces.classes))
                write_csv(metrics / name / "faces.csv", by_face(probabilities, faces.index))
    return data, metrics


@pytest.fixture(scope="module")
def study(folders):
    data, metrics = folders
    return read_study(open_faceset(data / "raw"), open_faceset(data / "features"), metrics, PARAMS)


def test_right_answers_are_those_of_the_averaged_probabilities(study, folders):
    for name in SYSTEMS:
        with np.load(folders[0] / "predictions" / f"{name}.npz") as stored:
            right = stored["probabilities"][0].mean(axis=0).argmax(axis=1) == stored["labels"]
            np.testing.assert_array_equal(study.tested, stored["parent"])
        np.testing.assert_array_equal(study.right[name], right)


def test_the_people_of_test_images_are_known(study):
    assert study.people_of(study.tested).tolist() == [f"p{row // 3}" for row in range(60)]


def test_passes_count_the_rows_of_one_training(study):
    # 54 of 60 faces are kept, three copies each, three of four folds train.
    assert study.copies == pytest.approx(54 * 3 * 3 / 4, abs=1)
    assert study.passes("ours") == pytest.approx(2, abs=0.3)
    assert not study.is_network("svm")


def test_what_changed_names_settings_of_system_and_training(study):
    assert study.changed("ours") == {}
    assert study.changed("image") == {"branches": ["image"]}
    assert study.changed("binary") == {"train.loss": "binary"}
    assert set(study.kin()) == {"ours", "binary", "image"}
    assert study.of_kinds(["svm", "vgg"]) == ["svm"]


def test_the_reference_comes_first_then_the_most_accurate(study):
    names = list(study.details)
    accuracies = [study.details[name]["whole"]["averaged"]["accuracy"] for name in names[1:]]
    assert names[0] == "ours"
    assert accuracies == sorted(accuracies, reverse=True)


def test_a_reference_that_was_not_run_is_named(folders):
    data, metrics = folders
    raw, features = open_faceset(data / "raw"), open_faceset(data / "features")
    with pytest.raises(MmferError, match=r"study\.reference: systems\.oours: not there; did you mean ours\?"):
        read_study(raw, features, metrics, StudyParams(reference="oours", baseline="svm"))


def test_the_page_has_every_part_and_lists_systems_without_robustness_elsewhere(folders):
    data, metrics = folders
    text = write_chapter(data, metrics, metrics.parent / "studies/tiny", PARAMS).with_suffix(".md").read_text()
    for part in ("Verdicts", "Data", "Accuracy, %", "By class", "Ablations", "Paired tests", "Robustness", "Cost"):
        assert f"## {part}" in text
    robustness = text.split("## Robustness")[1].split("## Four faces")[0]
    assert "| binary |" in robustness
    assert "| image |" not in robustness
    assert "| image | branches: [image] |" in text
    ablations = text.split("## Ablations")[1].split("## Paired")[0]
    cells = {line.count("|") for line in ablations.splitlines() if line.startswith("|")}
    assert len(cells) == 1  # rows as long as the head
    assert "all images of a person together" in text


@pytest.mark.parametrize(("minutes", "speed"), [(0.0, "–"), (0.5, "80")])
def test_the_speed_of_a_training_is_told_where_its_time_was_measured(folders, minutes, speed):
    data, metrics = folders
    write_json(metrics / "svm/train.json", {"models": 4, "samples_seen": 2400, "minutes": minutes, "device": "cpu"})
    text = write_chapter(data, metrics, metrics.parent / "studies/cost", PARAMS).with_suffix(".md").read_text()
    row = next(line for line in text.split("## Cost")[1].splitlines() if line.startswith("| svm"))
    assert row.endswith(f"| {minutes} | 4 | 600 | {speed} |")


@pytest.mark.parametrize("reference", ["svm", "lenet"])
def test_an_estimator_or_a_network_without_branches_can_be_the_reference(folders, reference):
    data, metrics = folders
    params = StudyParams(reference=reference, baseline="svm", faces_per_class=1)
    text = write_chapter(data, metrics, metrics.parent / "studies" / reference, params).with_suffix(".md").read_text()
    assert f"{reference} has no modalities that could be left out" in text
    assert "| faster than the compared networks | **not decidable** |" in text
