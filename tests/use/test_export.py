"""An exported file holds the whole way from stored arrays to probabilities, and needs no torch."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.svm import SVC
from torch import nn

import mmfer
from mmfer import errors
from mmfer.config import ExtractParams
from mmfer.errors import MmferError
from mmfer.systems import systems
from mmfer.training import models
from mmfer.training.models import NETWORK, build, load_model, model_facts, save_model
from mmfer.use import export, onnx_model
from mmfer.use.export import TOLERANCE, example_faces, export_onnx
from mmfer.use.onnx_model import BLANK, FACTS, SEAL, load_onnx, sealed

pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")
onnx = pytest.importorskip("onnx")

MADE_BY = {"stage": "extract", "params": ExtractParams().model_dump(), "from": {"stage": "augment", "from": {}}}
TINY = {"kind": "compact", "channels": [4, 8], "blocks": 1, "squeeze": 2, "landmarks_hidden": [8], "hog_hidden": [8]}
SE_FUSION = {
    **{"kind": "se_fusion", "channels": [4, 8], "blocks": [1, 1], "squeezed": 1, "squeeze": 2},
    **{"landmarks_hidden": [8], "hog_hidden": [8], "heads": 0.2, "gated": True},
}
NARROWEST = TINY | {"branches": ["landmarks"]}  # whose graph is made in a third of the time
SMALL = {  # where the defaults are large
    "ours": {"channels": [4, 8], "image_hidden": [8], "landmarks_hidden": [8], "hog_hidden": [8]},
    "compact": TINY,
    "se_fusion": SE_FUSION,
    "vgg": {"depth": "vgg13"},
    "agrawal": {"filters": [4, 4]},
    "pramerdorfer": {"net": "inception"},
    "pramerdorfer_ensemble": {"members": {"vgg": 2}},
}
CLASSES = ["left", "right", "middle"]


def saved(folder: Path, kind: str, block: dict) -> Path:
    """The folder of an untrained model."""
    torch.manual_seed(0)
    made = SimpleNamespace(dataset="tiny", classes=CLASSES, made_by=MADE_BY)
    facts = model_facts(kind, block, made)
    system = build(facts)
    if not isinstance(system, nn.Module):
        system.estimator = SVC().fit([[0], [1]], [0, 1])
    save_model(folder, facts, system)
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A model folder and its ONNX file."""
    root = tmp_path_factory.mktemp("tiny")
    folder, file = saved(root / "net", "net", TINY), root / "net.onnx"
    export_onnx(folder, file)
    return folder, file


NETWORKS = [kind for kind in systems() if kind not in ("svm", "gabor", "geometry")]


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_network_exports(tmp_path, kind):
    folder, file = saved(tmp_path / "net", "net", {"kind": kind, **SMALL.get(kind, {})}), tmp_path / "net.onnx"
    export_onnx(folder, file)
    model = load_model(folder)
    stored = example_faces(model, 7)
    np.testing.assert_allclose(load_onnx(file).predict(stored), model.predict(stored), atol=TOLERANCE, rtol=0)


def test_what_only_training_uses_is_not_in_the_file(tmp_path):
    import onnx

    export_onnx(saved(tmp_path / "net", "net", SE_FUSION | {"branches": ["landmarks"]}), tmp_path / "net.onnx")
    names = {tensor.name for tensor in onnx.load(tmp_path / "net.onnx").graph.initializer}
    assert "network.head.weight" in names
    assert not [name for name in names if "heads" in name]


@pytest.mark.parametrize("kind", ["svm", "gabor", "geometry"])
def test_an_estimator_is_refused(tmp_path, kind):
    folder = saved(tmp_path / "net", "net", {"kind": kind})
    with pytest.raises(MmferError, match=f"{kind} is a scikit-learn estimator"):
        export_onnx(folder, tmp_path / "net.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


def test_a_file_tells_what_model_json_tells(tiny):
    folder, file = tiny
    model = load_onnx(file)
    assert model.facts == load_model(folder).facts
    assert model.classes == CLASSES
    assert model.facts["made_by"]["params"]["cell_px"] == 8


def write_sealed(graph, path: Path) -> None:
    """Write a graph that was changed as if it had been exported so."""
    path.write_bytes(sealed(graph.SerializeToString(), path.parent))


@pytest.mark.parametrize("facts", ["{", "[]", "{}", '{"classes": ["happy", "sad"]}'])
def test_a_file_whose_graph_is_not_what_it_says_is_refused(tiny, tmp_path, facts):
    graph = onnx.load(tiny[1])
    (prop,) = [prop for prop in graph.metadata_props if prop.key == onnx_model.FACTS]
    prop.value = facts  # of three classes
    write_sealed(graph, tmp_path / "other.onnx")
    with pytest.raises(MmferError, match=r"other\.onnx: its graph and what it says of itself do not agree"):
        load_onnx(tmp_path / "other.onnx")


def test_a_file_that_wants_another_input_is_refused(tiny, tmp_path):
    graph = onnx.load(tiny[1])
    for given in graph.graph.input:
        for node in graph.graph.node:
            node.input[:] = [f"x_{name}" if name == given.name else name for name in node.input]
        given.name = f"x_{given.name}"
    write_sealed(graph, tmp_path / "other.onnx")
    with pytest.raises(MmferError, match="do not agree"):
        load_onnx(tmp_path / "other.onnx")


@pytest.mark.parametrize("n", [1, 2, onnx_model.BATCH, onnx_model.BATCH + 3])
def test_any_number_of_faces_is_predicted_as_by_torch(tiny, n):
    folder, file = tiny
    model = load_model(folder)
    stored = example_faces(model, n)
    probabilities = load_onnx(file).predict(stored)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, model.predict(stored), atol=TOLERANCE, rtol=0)


def test_arrays_come_as_they_are_stored(tiny):
    folder, file = tiny
    model = load_model(folder)
    stored = example_faces(model, 6)
    stored |= {"hog": stored["hog"].astype(np.float16), "landmarks": stored["landmarks"].astype(np.float64)[:, :, ::-1]}
    stored["images"] = np.repeat(stored["images"], 2, axis=2)[:, :, ::2]  # not contiguous
    np.testing.assert_allclose(load_onnx(file).predict(stored), model.predict(stored), atol=TOLERANCE, rtol=0)


def test_a_network_of_one_input_asks_for_no_other(tmp_path):
    export_onnx(saved(tmp_path / "net", "net", NARROWEST), tmp_path / "net.onnx")
    landmarks = np.random.default_rng(1).uniform(0, 48, (3, 68, 2))
    assert load_onnx(tmp_path / "net.onnx").predict({"landmarks": landmarks}).shape == (3, 3)


def test_position_and_size_of_a_face_drop_out_within_the_graph(tiny):
    folder, file = tiny
    stored = example_faces(load_model(folder), 4)
    moved = stored | {"landmarks": 2 * stored["landmarks"] + np.float32(5), "images": stored["images"] // 2}
    brighter = moved | {"images": moved["images"] + np.uint8(40)}
    model = load_onnx(file)
    np.testing.assert_allclose(model.predict(brighter)[1:], model.predict(moved)[1:], atol=1e-5)
    np.testing.assert_allclose(
        model.predict(stored | {"landmarks": moved["landmarks"]})[1:], model.predict(stored)[1:], atol=1e-5
    )


def test_a_file_tells_nothing_of_the_machine_that_wrote_it(tiny):
    assert str(Path(mmfer.__file__).parent).encode() not in tiny[1].read_bytes()


def test_another_model_s_probabilities_are_not_written(tmp_path, monkeypatch):
    folder, target = saved(tmp_path / "net", "net", NARROWEST), tmp_path / "net.onnx"
    target.write_bytes(b"former")
    monkeypatch.setattr(export, "_difference", lambda *_: float("nan"))
    with pytest.raises(MmferError, match="not written"):
        export_onnx(folder, target)
    assert target.read_bytes() == b"former"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net", "net.onnx"]


def test_the_check_measures_the_difference(tiny):
    folder, file = tiny
    model = load_model(folder)
    before = export._difference(model, file)
    with torch.no_grad():
        model.system.head.bias += torch.tensor([0.5, 0.0, -0.5])
    assert before < 1e-6
    assert export._difference(model, file) > 0.05


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("length", [1, 5, 8])
def test_binary_search_is_torchs(rng, length, right):
    ordered = np.sort(rng.integers(0, 6, (3, length)).astype(np.float32), axis=1)
    values = rng.integers(-1, 8, (3, 11)).astype(np.float32)
    expected = torch.searchsorted(torch.from_numpy(ordered), torch.from_numpy(values), right=right)
    np.testing.assert_array_equal(run_eagerly(ordered, values, right), expected.numpy())


def run_eagerly(ordered, values, right):
    """The operators of `searchsorted` one by one, in onnxscript's own evaluator."""
    from onnxscript import tensor

    return export.searchsorted(tensor.Tensor(ordered), tensor.Tensor(values), right=right).value


def test_a_file_opens_and_predicts_where_torch_cannot_be_imported(tiny, tmp_path):
    folder, file = tiny
    model = load_model(folder)
    stored = example_faces(model, 3)
    np.savez(tmp_path / "stored.npz", **stored)
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np; from pathlib import Path; from mmfer.use.onnx_model import load_onnx\n"
        f"probabilities = load_onnx(Path({str(file)!r})).predict(np.load({str(tmp_path / 'stored.npz')!r}))\n"
        f"np.save({str(tmp_path / 'found.npy')!r}, probabilities)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), model.predict(stored), atol=TOLERANCE, rtol=0)


def test_a_missing_file_is_told_in_one_line(tmp_path):
    with pytest.raises(MmferError, match="not there; write it with"):
        load_onnx(tmp_path / "net.onnx")


@pytest.mark.parametrize("content", [b"", b"no ONNX at all", "cut"])
def test_a_file_that_is_not_onnx_is_told_in_one_line(tiny, tmp_path, content):
    file = tmp_path / "net.onnx"
    whole = tiny[1].read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if content == "cut" else content)
    with pytest.raises(MmferError, match="not an ONNX file that this mmfer exported, or damaged") as caught:
        load_onnx(file)
    assert "\n" not in str(caught.value)


def test_an_onnx_file_of_something_else_is_told_in_one_line(tiny, tmp_path):
    other = onnx.load(tiny[1])
    del other.metadata_props[:]
    onnx.save(other, tmp_path / "net.onnx")
    with pytest.raises(MmferError, match="not an ONNX file that this mmfer exported"):
        load_onnx(tmp_path / "net.onnx")
    other.metadata_props.add(key=SEAL, value=BLANK)
    write_sealed(other, tmp_path / "net.onnx")
    with pytest.raises(MmferError, match=f"without {FACTS} in its metadata"):
        load_onnx(tmp_path / "net.onnx")


def test_what_the_runtime_cannot_open_is_told_in_one_line(tmp_path):
    (tmp_path / "net.onnx").write_bytes(sealed(f"no graph {SEAL}\x12@{BLANK}".encode(), tmp_path))
    with pytest.raises(MmferError, match="onnxruntime cannot open it") as caught:
        load_onnx(tmp_path / "net.onnx")
    assert "\n" not in str(caught.value)


def test_no_flipped_bit_is_an_answer(tiny, tmp_path, rng):
    whole = bytearray(tiny[1].read_bytes())
    for place in [*rng.integers(0, len(whole), 30), whole.index(SEAL.encode()) + len(SEAL) + 9]:
        whole[place] ^= 1
        (tmp_path / "net.onnx").write_bytes(whole)
        with pytest.raises(MmferError, match=r"sha256|not an ONNX file that this mmfer exported"):
            load_onnx(tmp_path / "net.onnx")
        whole[place] ^= 1
    (tmp_path / "net.onnx").write_bytes(whole)
    assert load_onnx(tmp_path / "net.onnx").classes == CLASSES


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_absent_packages_are_named(tiny, tmp_path, monkeypatch, package):
    monkeypatch.setattr(errors.importlib.util, "find_spec", lambda name: None if name == package else name)
    with pytest.raises(MmferError, match=rf"{package} not installed; run `pip install 'mmfer\[onnx\]'`"):
        export_onnx(tiny[0], tmp_path / "net.onnx")


def test_without_a_target_the_graph_shares_the_weights_of_its_folder(tmp_path):
    folder = saved(tmp_path / "net", "net", TINY | {"hog_hidden": [256]})
    model, weights = load_model(folder), (folder / NETWORK).read_bytes()
    stored = example_faces(model, 7)
    file = export_onnx(folder)
    assert file == folder / "model.onnx"
    assert file.stat().st_size < len(weights) / 3
    assert (folder / NETWORK).read_bytes() == weights
    np.testing.assert_allclose(load_onnx(file).predict(stored), model.predict(stored), atol=TOLERANCE, rtol=0)
    (folder / NETWORK).write_bytes(weights[:-4000] + bytes(4000))
    with pytest.raises(MmferError, match=r"model\.onnx: it or its weights are not as they were exported \(sha256\)"):
        load_onnx(file)
    (folder / NETWORK).unlink()
    with pytest.raises(MmferError, match=r"its weights, .*model\.safetensors, are missing"):
        load_onnx(file)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_weights_are_shared_and_cast_for_the_graph_computes_in_float32(tmp_path, dtype):
    model = load_model(saved(tmp_path / "wide", "net", NARROWEST))
    wide = export_onnx(tmp_path / "wide")
    save_model(tmp_path / "net", model.facts, model.system, weights=dtype)
    file, stored = export_onnx(tmp_path / "net"), example_faces(model, 7)
    narrow = load_model(tmp_path / "net").predict(stored)
    np.testing.assert_allclose(load_onnx(file).predict(stored), narrow, atol=TOLERANCE, rtol=0)
    half = len(onnx.load(str(file), load_external_data=False).graph.initializer)
    assert half == len(onnx.load(str(wide), load_external_data=False).graph.initializer)
    kept = [t for t in onnx.load(str(file), load_external_data=False).graph.initializer if t.data_location == 0]
    assert all(len(tensor.raw_data) < 100 for tensor in kept)  # constants, if any


def test_a_graph_in_the_folder_does_not_make_it_another_run(tmp_path):
    folder = saved(tmp_path / "net", "net", NARROWEST)
    export_onnx(folder)
    assert json.loads((folder / "model.json").read_text())["files"] == models._files_digest(folder)
