"""Systems that went through all their stages can be compared by their runs."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

from mmfer.data.faceset import new_faceset, open_faceset, write_array
from mmfer.face.prepare import stored_rows
from mmfer.tracking import ablation
from stages.evaluate import evaluate
from stages.robustness import robustness
from stages.train import train
from tests.tiny import MADE_BY, write_tiny
from tests.tracking.runs import runs_of

OURS = {"kind": "ours", "branches": ["image", "hog"], "dropout": 0.2}
SYSTEMS = {
    "ours": OURS,
    "image": OURS | {"branches": ["image"]},
    "both": OURS | {"branches": ["hog", "image"], "dropout": None},
    "eq10": OURS | {"train": {"loss": "binary", "seeds": [3]}},
    "short": {"kind": "ours", "branches": ["image", "hog"]},
    "vgg19": {"kind": "vgg", "depth": 19},
    "svm": {"components": 8},
}
ABLATIONS = {
    "ours": "none",
    "image": "branches=image",
    "both": "branches=hog,image; dropout=null",
    "eq10": "train.loss=binary; train.seeds=3",
    "short": "dropout=default",
    "vgg19": "none",
    "svm": "none",
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_an_ablation_is_what_differs_from_the_system_named_as_the_kind(system):
    assert ablation(system, SYSTEMS) == ABLATIONS[system]


SMALL = {"kind": "ours", "landmarks_hidden": [16], "image_hidden": [16], "hog_hidden": [16]}
COMPARED = {  # the third is the reference of the first, and never runs
    "ours_landmarks": SMALL | {"branches": ["landmarks"]},
    "svm": {"kind": "svm", "components": 8},
    "ours": SMALL | {"branches": ["landmarks", "hog"]},
}
NETWORK, ESTIMATOR, _ = COMPARED


@pytest.fixture(scope="module")
def compared(empty_database, tmp_path_factory):
    """Runs by name of a network and an estimator that went through all their stages, with two seeds."""
    folder = tmp_path_factory.mktemp("compared")
    shutil.copy(empty_database, folder / "mlflow.db")
    params = yaml.safe_load(Path("params.yaml").read_text()) | {"systems": COMPARED}
    block = params["datasets"].pop("synthetic")
    block["train"] |= {"epochs": 2, "samples_per_epoch": 32, "batch_size": 16, "seeds": [3, 4], "device": "cpu"}
    block["evaluate"] |= {"runs": 2, "bootstrap": 100}
    params["datasets"]["tiny"] = block
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    data = write_tiny(folder / "data" / "tiny")
    faces, values = open_faceset(data / "augmented"), open_faceset(data / "features")
    index = pd.concat([values.index.assign(condition=name, found=True) for name in ("clean", "mouth hidden")])
    with new_faceset(data / "perturbed", "tiny", values.classes, index, MADE_BY) as target:
        for name, array in stored_rows(faces, values, slice(None)).items():
            write_array(target, name, np.concatenate([array, array]))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT"):
            patch.delenv(name, raising=False)
        for system in (NETWORK, ESTIMATOR):
            for stage in (train, evaluate, robustness):
                stage("tiny", system)
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    runs = Compared(runs_of(client))
    runs.client = client
    return runs


class Compared(dict):
    """Runs by name, and the client that has read them."""


@pytest.mark.parametrize("stage", ["train", "evaluate", "robustness"])
def test_every_system_has_the_same_tags_and_metrics(compared, stage):
    network, estimator = (compared[f"{system} tiny {stage}"].data for system in (NETWORK, ESTIMATOR))
    assert network.tags.keys() == estimator.tags.keys()
    of_networks = {"cost/epochs", "cost/chosen_epoch", "cost/tflops", "cost/matmul_share"}
    assert network.metrics.keys() - of_networks == estimator.metrics.keys()


@pytest.mark.parametrize("stage", ["train", "evaluate", "robustness"])
def test_the_tags_tell_the_systems_apart(compared, stage):
    network, estimator = (compared[f"{system} tiny {stage}"].data.tags for system in (NETWORK, ESTIMATOR))
    common = {"dataset": "tiny", "stage": stage, "seed": "3"}
    ours = {"system": NETWORK, "kind": "ours", "ablation": "branches=landmarks"}
    assert (common | ours).items() <= network.items()
    assert (common | {"system": ESTIMATOR, "kind": "svm", "ablation": "none"}).items() <= estimator.items()
    assert network["params_hash"] != estimator["params_hash"]


@pytest.mark.parametrize("system", [NETWORK, ESTIMATOR])
def test_an_evaluation_has_the_figures_by_which_systems_are_compared(compared, system):
    metrics = compared[f"{system} tiny evaluate"].data.metrics
    figures = {"accuracy", "accuracy_low", "accuracy_high", "macro", "one_run", "coverage"}
    sets = {f"{name}/{figure}" for name in ("test", "test_kept", "test_kept_unique") for figure in figures}
    cost = {f"cost/{name}" for name in ("parameters", "flops", "latency_ms", "minutes", "samples_seen", "models")}
    assert sets | cost <= metrics.keys()
    assert metrics["cost/samples_seen"] == compared[f"{system} tiny train"].data.metrics["cost/samples_seen"]


def test_what_is_not_counted_of_an_estimator_is_not_zero(compared):
    network, estimator = (compared[f"{system} tiny evaluate"].data.metrics for system in (NETWORK, ESTIMATOR))
    assert network["cost/parameters"] > 0
    assert np.isnan(estimator["cost/parameters"])


def test_the_experiment_describes_the_evaluated_systems_best_first(compared):
    experiment = compared.client.get_experiment_by_name("mmfer")
    text = experiment.tags["mlflow.note.content"]
    shown = [line.split("]")[0].removeprefix("| [") for line in text.splitlines() if line.startswith("| [")]
    runs = {system: compared[f"{system} tiny evaluate"] for system in (NETWORK, ESTIMATOR)}
    measured = {system: run.data.metrics for system, run in runs.items()}
    figures = {name: found["test/accuracy"] for name, found in measured.items() if found["test/above_chance"]}
    assert shown == sorted(figures, key=figures.get, reverse=True)
    assert all(f"| {100 * figure:.2f} |" in text for figure in figures.values())
    view = json.loads(experiment.tags["mlflow.sharedViewState.ranking"])
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert text.startswith(f"Best accuracy on tiny: [{shown[0]}](" if shown else "Best accuracy on no data set")
    assert view["orderByKey"] in view["selectedColumns"]
    logged = runs[NETWORK].data
    names = {f"metrics.`{key}`" for key in logged.metrics} | {f"tags.`{key}`" for key in logged.tags}
    assert set(view["selectedColumns"]) <= names
    assert "viewStateShareKey=ranking" in text


def test_seeds_can_be_compared(compared):
    rows = [run.data for run in compared.values() if run.data.tags["stage"] == "evaluate seed"]
    seeds = sorted((row.tags["system"], row.tags["seed"]) for row in rows)
    assert seeds == [(NETWORK, "3"), (NETWORK, "4"), (ESTIMATOR, "3")]
    first = compared[f"{NETWORK} tiny evaluate seed 3"].data.metrics
    whole = compared[f"{NETWORK} tiny evaluate"].data.metrics
    assert first["test/one_run"] == pytest.approx(whole["test/one_run"], abs=1e-4)
    assert first["test_kept/one_run"] == pytest.approx(whole["test_kept/one_run"], abs=1e-4)
    curve = compared[f"{NETWORK} tiny train seed4"].data
    assert {"train/loss", "train/accuracy", "val/loss", "val/accuracy"} <= curve.metrics.keys()
    assert curve.tags["seed"] == "4"
