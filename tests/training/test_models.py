"""A trained model is a folder that opens without pickle and predicts the same."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import mmfer
from mmfer.config import TrainParams
from mmfer.data.faceset import open_faceset
from mmfer.errors import MmferError
from mmfer.face.prepare import stored_rows
from mmfer.training.models import Model, cost, load_model, save_model
from mmfer.training.train import train_all
from tests.tiny import CLASSES, write_tiny

BLOCK = {"kind": "compact", "channels": [8, 16], "blocks": 1, "landmarks_hidden": [16], "hog_hidden": [16]}


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_tiny(tmp_path / "data")


def stored(data):
    faces, features = open_faceset(data / "augmented"), open_faceset(data / "features")
    return stored_rows(faces, features, slice(9))


@pytest.mark.parametrize("block", [BLOCK, {"kind": "svm", "components": 5}])
def test_a_folder_predicts_twice_the_same_and_says_how_it_was_made(data, block):
    train_all(data, ("net", block), TrainParams(epochs=2, batch_size=16, device="cpu"), lambda *_: None)
    folder = data / "models/net/seed0"
    first, second = (load_model(folder).predict(stored(data)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first.sum(axis=1), 1, atol=1e-5)
    facts = json.loads((folder / "model.json").read_text())
    assert facts["classes"] == CLASSES
    assert facts["params"] == block
    assert facts["made_by"]["params"]["cell_px"] == 8
    assert facts["made_by"]["from"]["from"]["params"]["align"] is True
    assert {file.suffix for file in folder.iterdir()} <= {".safetensors", ".skops", ".json", ".csv"}


@pytest.mark.parametrize(
    "block", [{"kind": "svm", "components": 5}, {"kind": "geometry"}, {"kind": "gabor", "components": 5}]
)
def test_estimators_that_are_fitted_alike_are_equal_bytes(data, block):
    models, content = [], []
    for name in ("one", "two"):
        train_all(data, (name, block), TrainParams(device="cpu"), lambda *_: None)
        models.append(load_model(data / "models" / name / "seed0"))  # kept, or the second may lie where the first did
        content.append((data / "models" / name / "seed0/model.skops").read_bytes())
    assert content[0] == content[1]
    np.testing.assert_array_equal(*(model.predict(stored(data)) for model in models))


@pytest.mark.parametrize("fault", ["missing", "damaged", "version"])
def test_a_spoilt_folder_is_refused_with_advice(data, fault):
    train_all(data, ("net", BLOCK), TrainParams(epochs=1, batch_size=16, device="cpu"), lambda *_: None)
    folder = data / "models/net/seed0"
    weights, facts = folder / "model.safetensors", folder / "model.json"
    if fault == "missing":
        weights.unlink()
    elif fault == "damaged":
        weights.write_bytes(weights.read_bytes()[:100])
    else:
        facts.write_text(facts.read_text().replace('"format": 1', '"format": 9'))
    with pytest.raises(MmferError, match=r"train again|train it again"):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: flip(folder / "model.safetensors", -1), r"not those that were saved \(sha256\)"),
        (lambda folder: flip(folder / "history.csv", -3), r"not those that were saved \(sha256\)"),
        (lambda folder: edit(folder, system=None), r"model\.json: system: input should be a valid string"),
        (lambda folder: edit(folder, classes=["happy"]), r"model\.json: classes: list should have at least 2"),
        (lambda folder: edit(folder, made_by={}), r"model\.json: made_by\.params: missing"),
        (lambda folder: (folder / "model.json").write_text("[]"), r"model\.json: format None, expected 1"),
        (lambda folder: (folder / "model.json").write_text("[" * 100_000), r"model\.json: missing or damaged"),
    ],
)
def test_a_model_that_is_not_what_was_saved_is_refused(data, change, said):
    train_all(data, ("net", BLOCK), TrainParams(epochs=1, batch_size=16, device="cpu"), lambda *_: None)
    change(data / "models/net/seed0")
    with pytest.raises(MmferError, match=said):
        load_model(data / "models/net/seed0")


def test_an_estimator_of_more_classes_than_are_named_is_refused(data):
    train_all(data, ("net", {"kind": "svm", "components": 5}), TrainParams(), lambda *_: None)
    edit(data / "models/net/seed0", classes=["happy", "sad"])
    with pytest.raises(MmferError, match=r"weights .* damaged \(of more classes than the 2 of model\.json\); train"):
        load_model(data / "models/net/seed0")


def flip(file, place):
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


def edit(folder, **values):
    facts = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(facts | values))


OURS = {"kind": "ours", "channels": [4, 8], "image_hidden": [8], "landmarks_hidden": [8], "hog_hidden": [8]}


@pytest.mark.parametrize(("weights", "tolerance"), [("float16", 5e-4), ("bfloat16", 5e-3)])
@pytest.mark.parametrize("block", [BLOCK, OURS], ids=["compact", "ours"])
def test_narrow_weights_take_half_the_room_and_predict_nearly_the_same(data, block, weights, tolerance):
    train_all(data, ("net", block), TrainParams(epochs=1, batch_size=16, device="cpu"), lambda *_: None)
    model = load_model(data / "models/net/seed0")
    save_model(data / "narrow", model.facts, model.system, weights=weights)
    narrow = load_model(data / "narrow")
    difference = np.abs(narrow.predict(stored(data)) - model.predict(stored(data))).max()
    assert 0 < difference < tolerance
    assert narrow.facts == model.facts | {"weights": weights, "files": narrow.facts["files"]}
    assert {value.dtype for value in narrow.system.parameters()} == {torch.float32}
    held, parameters = load_file(data / "narrow/model.safetensors"), dict(model.system.named_parameters())
    for name, value in model.system.state_dict().items():
        dtype = getattr(torch, weights) if name in parameters else value.dtype
        assert held[name].dtype == dtype
        torch.testing.assert_close(held[name], value.to(dtype), rtol=0, atol=0)


def test_a_weight_beyond_float16_is_named_and_fits_bfloat16(tmp_path):
    network = Linear(3, 2)
    torch.nn.init.constant_(network.bias, -7e4)
    with pytest.raises(
        MmferError, match=r"^bias: a weight of 7e\+04 is beyond float16 \(6\.55e\+04\); save them as float32"
    ):
        save_model(tmp_path / "m", {}, network, weights="float16")
    assert not list(tmp_path.iterdir())
    save_model(tmp_path / "m", {}, network, weights="bfloat16")
    assert load_file(tmp_path / "m/model.safetensors")["bias"].tolist() == [-70144.0] * 2  # 8 bits of 7e4


class Linear(torch.nn.Linear):
    inputs = ("hog",)

    def forward(self, hog):
        return super().forward(hog)


def test_the_cost_of_a_network_is_that_of_its_layers():
    counted = cost(Model({}, Linear(900, 7)), {"hog": np.zeros((3, 900), np.float16)}, repeats=3)
    assert counted["parameters"] == 900 * 7 + 7
    assert counted["flops"] == 2 * 900 * 7
    assert counted["latency_ms"] > 0


def test_the_weights_of_the_package_load_and_name_their_classes():
    model = load_model(Path(mmfer.__file__).parent / "weights" / "fer2013")
    assert model.classes == ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    assert model.facts["result"]["parameters"] == sum(p.numel() for p in model.system.parameters())
    rng = np.random.default_rng(0)
    face = {"images": rng.integers(0, 256, (2, 48, 48), dtype=np.uint8), "landmarks": rng.uniform(5, 43, (2, 68, 2))}
    probabilities = model.predict(face | {"hog": rng.random((2, 900), dtype=np.float32)})
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
