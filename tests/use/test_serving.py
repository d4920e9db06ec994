"""Evaluated models as MLflow registers, loads and serves them."""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import cv2
import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

from mmfer import tracking
from mmfer.data.synthetic.faces import render_face
from mmfer.tracking import stage_run
from mmfer.use import photos
from mmfer.use.predictor import Predictor
from stages.evaluate import evaluate
from stages.train import train
from tests.tiny import CLASSES, write_tiny

SYSTEMS = {"ours": {"kind": "ours", "branches": ["landmarks"]}, "svm": {"kind": "svm", "components": 5}}
ALIASED = "models:/mmfer-{}@latest-evaluated"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A repository root, the current folder, in which a network and estimators were trained and evaluated."""
    folder = tmp_path_factory.mktemp("served")
    params = yaml.safe_load(Path("params.yaml").read_text()) | {"systems": SYSTEMS}
    block = params["datasets"].pop("synthetic")
    block["train"] |= {"epochs": 1, "samples_per_epoch": 32, "batch_size": 16, "seeds": [3], "device": "cpu"}
    block["evaluate"] |= {"runs": 2, "bootstrap": 100}
    params["datasets"] = {"tiny": block, "folded": block}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    write_tiny(folder / "data" / "tiny")
    write_tiny(folder / "data" / "folded", folds=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("DVC_ROOT", raising=False)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.setattr(sys, "path", list(sys.path))  # load_model adds to it
        for dataset, system in (("tiny", "ours"), ("tiny", "svm"), ("folded", "svm")):
            train(dataset, system)
            evaluate(dataset, system)
        yield folder


@pytest.fixture(scope="module")
def client(root):
    return MlflowClient(f"sqlite:///{root}/mlflow.db")


@pytest.fixture(scope="module")
def photo():
    """A rendered face as a JPEG file."""
    image, _ = render_face("surprise", seed=3, size=128, frontal=True)
    return cv2.imencode(".jpg", image)[1].tobytes()


def aliased(client, name):
    return client.get_model_version_by_alias(f"mmfer-{name}", "latest-evaluated")


def versions(client, name):
    return client.search_model_versions(f"name = 'mmfer-{name}'")


def contents(*folders):
    return {file: file.read_bytes() for folder in folders for file in folder.rglob("*") if file.is_file()}


def ask(model, *photos):
    return model.predict(pd.DataFrame({"image": photos}))


@pytest.mark.parametrize(("name", "folder"), [("tiny-ours", "tiny/models/ours"), ("tiny-svm", "tiny/models/svm")])
def test_a_registered_model_answers_as_its_folder_does(root, photo, name, folder):
    (answer,) = ask(mlflow.pyfunc.load_model(ALIASED.format(name)), photo)
    predictor = Predictor.load(root / "data" / folder / "seed3")
    (faces,) = predictor.predict([photos.decode(photo, "photo")])
    assert answer == {"faces": [face.as_dict() for face in faces]}
    assert len(faces) == 1


def test_a_photo_that_cannot_be_read_is_an_error_in_its_place(root, photo, monkeypatch):
    blank = cv2.imencode(".png", np.full((90, 90), 128, np.uint8))[1].tobytes()
    model = mlflow.pyfunc.load_model(ALIASED.format("tiny-svm"))
    answers = ask(model, photo, b"", b"no photo", photo[:900], "a text", 5, b"AAAA", blank, photo)
    assert [list(answer) for answer in answers] == [["faces"], *[["error"]] * 6, ["faces"], ["faces"]]
    assert answers[7] == {"faces": []}
    assert answers[0] == answers[8]
    errors = [answer["error"] for answer in answers[1:7]]
    assert [error.split(":")[0] for error in errors] == [f"photo {number}" for number in range(1, 7)]
    assert not any("\n" in error for error in errors)
    monkeypatch.setattr(photos, "MAX_JPEG", 128 * 127)
    assert "128 x 128 is more than" in ask(model, photo)[0]["error"]


def test_the_signature_and_the_example_tell_what_goes_in_and_comes_out(root):
    model = mlflow.pyfunc.load_model(ALIASED.format("tiny-ours"))
    signature = model.metadata.signature
    assert signature.inputs.to_dict() == [{"type": "binary", "name": "image", "required": True}]
    faces, error = signature.outputs.to_dict()
    (answer,) = model.predict(model.input_example)
    (face,) = answer["faces"]
    assert face.keys() == faces["items"]["properties"].keys()
    assert (
        set(CLASSES)
        == face["probabilities"].keys()
        == faces["items"]["properties"]["probabilities"]["properties"].keys()
    )
    assert (error["name"], error["required"], faces["required"]) == ("error", False, False)


def test_nothing_is_pickled_and_the_networks_of_the_package_are_not_copied(root):
    files = [file for file in (root / "mlartifacts").rglob("*") if file.is_file()]
    assert {file.name for file in files} >= {"MLmodel", "serving.py", "model.safetensors", "model.skops"}
    assert not [file for file in files if file.suffix in (".pkl", ".pyc")]
    assert {file.parent.name for file in files if "weights" in file.parts} == {"frontal", "visibility"}


def test_a_version_tells_its_run_its_weights_and_its_accuracy(root, client):
    version = aliased(client, "tiny-ours")
    run = client.get_run(version.run_id)
    assert run.data.tags["mlflow.runName"] == "ours tiny evaluate"
    facts = json.loads((root / "data/tiny/models/ours/seed3/model.json").read_text())
    expected = {"dataset": "tiny", "system": "ours", "kind": "ours", "ablation": "none", "seed": "3"}
    assert (expected | {"model": facts["run"], "weights": facts["files"]}).items() <= version.tags.items()
    accuracy = run.data.metrics["test/accuracy"]
    assert float(version.tags["test/accuracy"]) == accuracy
    assert f"accuracy {100 * accuracy:.2f} % on the whole test set (12 images, 2 runs averaged)" in version.description
    assert "tested on held-out people" in version.description
    assert "fold" not in version.tags


def test_of_a_cross_validation_the_model_of_the_first_fold_is_registered(client):
    version = aliased(client, "folded-svm")
    assert (version.tags["fold"], version.tags["seed"]) == ("0", "3")
    assert "This is the model of fold 0; the accuracy is that of the models of all 4 folds." in version.description
    assert list(Path(version.source.removeprefix("file://")).glob("artifacts/*/")) == [
        Path(version.source.removeprefix("file://"), "artifacts/fold0-seed3")
    ]


def test_the_same_model_is_not_registered_again(root, client):
    before = aliased(client, "tiny-svm")
    evaluate("tiny", "svm")
    assert [version.version for version in versions(client, "tiny-svm")] == [before.version]
    assert aliased(client, "tiny-svm").run_id == before.run_id


def test_the_alias_moves_to_what_was_evaluated_last(root, client):
    model = root / "data/tiny/models/svm/seed3"
    numbers = []
    for weights in ("a", "b", "a"):
        with stage_run("evaluate", "moved", {}, "svm") as run:
            pass
        run.register(model, {"weights": weights}, f"weights {weights}")
        numbers.append(aliased(client, "moved-svm").version)
    assert list(map(int, numbers)) == [1, 2, 1]
    assert len(versions(client, "moved-svm")) == 2


@pytest.mark.parametrize("method", ["search_model_versions", "log_artifacts", "create_model_version"])
def test_where_the_registry_fails_the_stage_goes_on_and_its_run_is_complete(root, client, monkeypatch, capfd, method):
    def fail(*args, **kwargs):
        raise OSError("No space left on device\nwith a second line")

    shutil.copy("mlflow.db", "other.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/other.db")
    other = MlflowClient(f"sqlite:///{root}/other.db")
    other.delete_registered_model("mmfer-tiny-svm")
    folders = root / "metrics", root / "data/tiny/results"
    before = contents(*folders)
    monkeypatch.setattr(MlflowClient, method, fail)
    evaluate("tiny", "svm")
    assert (
        capfd.readouterr().err
        == "warning: MLflow: No space left on device; the run goes on without it (`mmfer doctor` says more)\n"
    )
    after = contents(*folders)
    latencies = {file for file in before if file.name == "details.json"}  # it holds a latency
    assert before.keys() == after.keys()
    assert all(before[file] == after[file] for file in before.keys() - latencies)
    (experiment,) = (each for each in other.search_experiments() if each.name == "mmfer")
    latest = other.search_runs([experiment.experiment_id], max_results=4)
    assert len({run.info.run_id for run in latest} & {aliased(client, "tiny-svm").run_id}) == 0
    assert {run.info.status for run in latest} == {"FINISHED"}


def test_registering_says_nothing_on_stderr(root, client, capfd):
    model = root / "data/tiny/models/ours/seed3"
    with stage_run("evaluate", "quiet", {}, "ours") as run:
        pass
    run.register(model, {"weights": "a"}, "quiet")
    assert capfd.readouterr() == ("", "")
    assert aliased(client, "quiet-ours").run_id == run.run_id


def test_importing_tracking_does_not_import_what_serves():
    code = "import sys, mmfer.tracking; sys.exit('mmfer.use.serving' in sys.modules)"
    project = Path(tracking.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=project).returncode == 0


@pytest.fixture
def address(root):
    """Where `mlflow models serve` answers; it is ended with the test."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = ["-m", "mlflow", "models", "serve", "-m", ALIASED.format("tiny-svm"), "--env-manager", "local"]
    place = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # MLflow starts uvicorn by its name
    with open("serve.log", "w") as log:
        server = subprocess.Popen(
            [sys.executable, *serve, *place], env=os.environ | {"PATH": path}, stdout=log, stderr=log
        )
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait(20)


def wait_for(address, seconds=90):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            return urllib.request.urlopen(f"{address}/ping", timeout=5).status
        except OSError:
            time.sleep(0.3)
    raise TimeoutError(Path("serve.log").read_text())


def invoke(address, body, kind):
    request = urllib.request.Request(f"{address}/invocations", body.encode(), {"Content-Type": kind})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)["predictions"]


def test_the_served_model_answers_every_form_of_a_request_alike(address, photo):
    assert wait_for(address) == 200
    texts = [base64.b64encode(content).decode() for content in (photo, b"no photo", photo)]
    (expected,) = ask(mlflow.pyfunc.load_model(ALIASED.format("tiny-svm")), photo)
    assert len(expected["faces"]) == 1
    forms = {
        "dataframe_records": [{"image": text} for text in texts],
        "dataframe_split": {"columns": ["image"], "data": [[text] for text in texts]},
        "instances": [{"image": text} for text in texts],
        "inputs": {"image": texts},
    }
    bodies = [(json.dumps({name: content}), "application/json") for name, content in forms.items()]
    bodies += [(json.dumps({"instances": given}), "application/json") for given in (texts, [[text] for text in texts])]
    bodies += [(json.dumps({"inputs": texts}), "application/json"), ("\n".join(["image", *texts]), "text/csv")]
    for body, kind in bodies:
        first, bad, last = invoke(address, body, kind)
        assert (first, last) == (expected, expected), body[:40]
        assert list(bad) == ["error"]
        assert bad["error"].startswith("photo 1: not a photo that can be read")
