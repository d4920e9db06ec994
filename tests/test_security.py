"""Nothing that is read is run: no code of ours makes code of data, and poisoned files are refused or set aside."""

import ast
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mmfer.config import read_params
from mmfer.data.faceset import open_faceset
from mmfer.errors import MmferError

ROOT = Path(__file__).resolve().parents[1]
MODULES = [file for folder in ("mmfer", "stages", "tools") for file in sorted((ROOT / folder).rglob("*.py"))]
REFUSED = {"pickle", "dill", "cloudpickle", "shelve", "marshal"}  # modules
CALLED = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput", "tempfile.mktemp"),
    *("subprocess.getstatusoutput", "yaml.unsafe_load", "yaml.full_load", "joblib.load"),
}
ALLOWED = {  # what is found: why it may be
    ("mmfer/tracking/provenance.py", "yaml.load"): "libyaml's safe loader, or Python's: SafeLoader by its name",
}


def found(tree: ast.AST) -> set[str]:
    """By which of the ways above a module may run what it reads."""
    ways = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {node.module} if isinstance(node, ast.ImportFrom) else {alias.name for alias in node.names}
            ways |= {str(name).split(".")[0] for name in names} & REFUSED
        if isinstance(node, ast.Call):
            ways |= called(node)
    return ways


def called(node: ast.Call) -> set[str]:
    """Of one call."""
    options = {option.arg: getattr(option.value, "value", None) for option in node.keywords}
    name = ast.unparse(node.func)
    ways = {name} & CALLED | {name.rpartition(".")[2]} & {"extractall"}
    ways |= {"shell"} if options.get("shell") else set()
    ways |= {"trusted"} if "trusted" in options else set()  # of skops: types that a file may make
    ways |= {"np.load"} if name in ("np.load", "numpy.load") and options.get("allow_pickle") is not False else set()
    ways |= {"torch.load"} if name == "torch.load" and options.get("weights_only") is not True else set()
    return ways | ({"yaml.load"} if name in ("yaml.load", "yaml.load_all") else set())


def test_no_module_runs_what_it_reads():
    every = {(file.relative_to(ROOT).as_posix(), way) for file in MODULES for way in found(ast.parse(file.read_text()))}
    assert len(MODULES) > 100
    assert every == set(ALLOWED)


@pytest.mark.parametrize(
    "line",
    [
        *("import pickle", "from pickle import loads", "import shelve", "eval(text)", "exec(text)", "os.system(text)"),
        *("subprocess.run(text, shell=True)", "np.load(file)", "np.load(file, allow_pickle=True)", "torch.load(file)"),
        *("torch.load(file, weights_only=False)", "yaml.load(text, yaml.Loader)", "yaml.unsafe_load(text)"),
        *("skops.io.load(file, trusted=names)", "joblib.load(file)", "archive.extractall(folder)", "tempfile.mktemp()"),
    ],
)
def test_the_scan_notices(line):
    assert found(ast.parse(line))


@pytest.mark.parametrize(
    "line",
    ["re.compile(text)", "model.eval()", "np.load(file, allow_pickle=False)", "torch.load(file, weights_only=True)"],
)
def test_the_scan_lets_pass(line):
    assert not found(ast.parse(line))


class Poison:
    """Whoever unpickles it makes a file."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self):
        return Path.touch, (self.proof,)


@pytest.fixture
def proof(tmp_path):
    """A file that is there if a poison worked, which it does where somebody unpickles it."""
    pickle.loads(pickle.dumps(Poison(tmp_path / "try")))
    assert (tmp_path / "try").exists()
    yield tmp_path / "poisoned"
    assert not (tmp_path / "poisoned").exists()


def test_poisoned_parameters_are_refused(tmp_path, proof):
    (tmp_path / "params.yaml").write_text(f"defaults: !!python/object/apply:os.mkdir ['{proof}']")
    with pytest.raises(MmferError, match="not YAML: could not determine a constructor"):
        read_params(tmp_path / "params.yaml")


def test_a_poisoned_array_of_a_faceset_is_refused(tmp_path, proof):
    from tests.tiny import write_tiny

    folder = write_tiny(tmp_path / "data", copies=1) / "raw"
    with (folder / "images.npy").open("wb") as file:
        np.save(file, np.array([Poison(proof)] * 60, object), allow_pickle=True)
    with pytest.raises(MmferError, match=r"images\.npy: damaged \(.*(Object arrays|Python objects)"):
        open_faceset(folder, needs=("images",))


def test_a_poisoned_checkpoint_is_set_aside(tmp_path, proof, capsys):
    import torch

    from mmfer.config import TrainParams
    from mmfer.systems import system_params
    from mmfer.training.state import start_state

    checkpoint = tmp_path / "checkpoint.pt"
    torch.save({"network": Poison(proof)}, checkpoint)
    system, params = system_params("net", {"kind": "compact", "branches": ["landmarks"], "landmarks_hidden": [4]})
    state = start_state(system.build(params, 3), TrainParams(), checkpoint)
    assert state.epoch == 0
    assert "the training starts over" in "".join(capsys.readouterr())
    assert not checkpoint.exists()


def test_a_poisoned_estimator_is_refused(tmp_path, proof):
    """In the format of skops: a method that makes a file, named as the estimator."""
    import skops.io

    from mmfer.training.models import ESTIMATOR, build, load_model, model_facts, save_model
    from tests.tiny import write_tiny

    features = open_faceset(write_tiny(tmp_path / "data", copies=1) / "features")
    facts = model_facts("svm", {"kind": "svm", "components": 4}, features)
    system = build(facts)
    system.fit({"hog": np.asarray(features.hog, np.float32)}, features.index["label"].to_numpy())
    save_model(tmp_path / "svm", facts, system)
    skops.io.dump(proof.touch, tmp_path / "svm" / ESTIMATOR)
    assert zipfile.is_zipfile(tmp_path / "svm" / ESTIMATOR)
    with pytest.raises(MmferError, match=r"weights missing or damaged .*ntrusted"):
        load_model(tmp_path / "svm")
