"""dvc.yaml against the code, and the stages on a tiny synthetic set: a whole run, faults, a new system."""

import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from mmfer.training.runs import SHARED_CODE
from tests.forks import write_commands
from tools import stage_deps
from tools.small import small_params, write_yaml

ROOT = Path(__file__).resolve().parents[2]
OF_A_DATASET = ["download", "clean", "hide", "augment", "extract", "perturb", "sheets", "study"]
OF_A_SYSTEM = ["train", "evaluate", "robustness"]


@pytest.mark.parametrize("stage", [*OF_A_DATASET, *OF_A_SYSTEM, "report"])
def test_deps_name_the_modules_that_the_stage_imports(stage):
    definition = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][stage]
    listed = [dep for dep in definition.get("do", definition)["deps"] if dep.startswith(("mmfer/", "stages/"))]
    assert listed == stage_deps.code_deps(stage), "run `make deps`"


@pytest.mark.parametrize("stage", ["clean", "hide", "augment", "perturb"])
def test_where_faces_are_looked_at_new_weights_of_visibility_are_a_reason_to_run_again(stage):
    deps = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][stage]["do"]["deps"]
    assert {"mmfer/face/visibility.py", "mmfer/weights/visibility/weights.npz"} <= set(deps)


def test_what_systems_share_is_part_of_what_defines_a_training():
    of_systems = [stage_deps.imports(ROOT / file) for file in set().union(*stage_deps.systems())]
    elsewhere = {"mmfer/config.py", "mmfer/errors.py"}  # what they take from these is part of the parameters
    assert set().union(*of_systems) - elsewhere <= {f"mmfer/{file}" for file in SHARED_CODE}


@pytest.fixture(scope="module")
def project(_commands, tmp_path_factory):
    """A copy of the project with a tiny data set, built once."""
    root = tmp_path_factory.mktemp("project")
    for name in ("mmfer", "stages", "dvc.yaml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, root / name)
    write_yaml(root / "params.yaml", small_params())
    _run(root, "dvc", "init", "--no-scm", "-q")
    _run(root, "dvc", "config", "cache.type", "hardlink,symlink,copy")
    assert _repro(root) == EVERYTHING
    return root


EVERYTHING = {
    *(f"{stage}@synthetic" for stage in OF_A_DATASET),
    *(f"{stage}@synthetic-{system}" for stage in OF_A_SYSTEM for system in ("ours", "svm")),
    "report",
}


@pytest.fixture(scope="module", autouse=True)
def _commands(tmp_path_factory):
    """`python` and `dvc`, of which the project needs some twenty, have been started already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(write_commands(tmp_path_factory.mktemp("bin"))), prepend=os.pathsep)
        yield


def _run(root, *command, check=True):
    environment = os.environ | {
        "PYTHONPATH": str(root),
        "MLFLOW_TRACKING_URI": f"file:{root}/mlruns",
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def _repro(root, *options) -> set[str]:
    """Run the pipeline; the stages that ran (with --dry: those that would, as things are)."""
    return set(re.findall(r"Running stage '(.+?)'", _run(root, "dvc", "repro", *options).stdout))


@pytest.mark.parametrize("part", ["datasets", "systems"])
def test_a_name_that_ends_its_quotes_runs_nothing(tmp_path, part):
    """Of each stage with names the commands alone, so that all are tried."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    del stages["report"]
    for stage in stages.values():
        stage.get("do", stage).pop("deps")
        for key in {"params", "outs", "metrics", "plots"} & set(stage.get("do", stage)):
            stage.get("do", stage).pop(key)
    params = small_params()
    hostile = "x'; touch made; echo '"
    params[part] = {hostile: params[part].popitem()[1]}
    write_yaml(tmp_path / "dvc.yaml", {"stages": stages})
    write_yaml(tmp_path / "params.yaml", params)
    for name in ("mmfer", "stages"):
        (tmp_path / name).symlink_to(ROOT / name)
    _run(tmp_path, "dvc", "init", "--no-scm", "-q")
    done = _run(tmp_path, "dvc", "repro", "--keep-going", check=False)
    assert len(re.findall("Running stage", done.stdout)) >= len(stages)
    assert f'{part}: "{hostile}" is no name; take letters, digits, _ and -' in done.stderr
    assert not (tmp_path / "made").exists()


def test_second_repro_runs_nothing(project):
    assert _repro(project) == set()


def test_of_two_runs_at_once_one_may_be_refused_and_all_is_as_one_run_leaves_it(project):
    before = {name: _contents(project / name) for name in ("data", "metrics")}
    with ThreadPoolExecutor(2) as pool:
        command = ("dvc", "repro", "--force", "--single-item", "clean@synthetic")
        ends = list(pool.map(lambda _: _run(project, *command, check=False), range(2)))
    assert 0 in {done.returncode for done in ends}
    for done in ends:
        assert done.returncode == 0 or "is busy, it is being blocked by" in done.stderr
        assert "Traceback" not in done.stderr
    assert {name: _contents(project / name) for name in ("data", "metrics")} == before
    assert _repro(project) == set()


REPORT = {"study@synthetic", "report"}


def test_a_wrong_key_stops_the_stage_and_leaves_its_outputs(project):
    content = (project / "params.yaml").read_text()
    before = {file: file.read_bytes() for file in (project / "data/synthetic/clean").iterdir()}
    (project / "params.yaml").write_text(content.replace("threshold: 0.0", "treshold: 0.0"))
    done = _run(project, "python", "-m", "stages.clean", "synthetic", check=False)
    (project / "params.yaml").write_text(content)
    assert done.returncode == 2
    assert "did you mean threshold?" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert before == {file: file.read_bytes() for file in (project / "data/synthetic/clean").iterdir()}


def _contents(folder):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def _one_line(done):
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert "Traceback" not in done.stderr
    return lines[0]


LIMITED = """
import resource, runpy
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
runpy.run_module("stages.{stage}", run_name="__main__", alter_sys=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files by setrlimit")
@pytest.mark.parametrize("stage", ["clean", "augment", "extract", "train"])
def test_a_full_disk_is_one_line_and_leaves_the_former_outputs(project, stage):
    before = _contents(project / "data/synthetic")
    more = ["svm"] if stage == "train" else []
    done = _run(project, "python", "-c", LIMITED.format(stage=stage), "synthetic", *more, check=False)
    assert "File too large; free space or correct the permissions" in _one_line(done)
    assert _contents(project / "data/synthetic") == before


def test_kaggle_without_credentials_or_network_is_one_line(project):
    content = (project / "params.yaml").read_text()
    before = _contents(project / "data/synthetic")
    params = yaml.safe_load(content)
    source = {"kind": "fer2013", "path": None, "kaggle": "msambare/fer2013", "holdout": 0.1, "seed": 0}
    params["datasets"]["synthetic"]["source"] = source
    write_yaml(project / "params.yaml", params)
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "HOME": str(project)}
    command = ("env", *(f"{key}={value}" for key, value in nowhere.items()), "python")
    done = _run(project, *command, "-m", "stages.download", "synthetic", check=False)
    (project / "params.yaml").write_text(content)
    assert "KAGGLE_API_TOKEN" in _one_line(done)
    assert _contents(project / "data/synthetic") == before


def test_a_new_system_is_trained_alone(project):
    models, page = project / "data/synthetic/models", (ROOT / "docs/tutorials/new-system.md").read_text()
    before = _contents(models)
    code = re.search("```python.*?\n(.*?)```", page, re.S)[1]
    (project / "mmfer/systems/mlp.py").write_text(code)
    assert _repro(project) == {"train@synthetic-ours", "train@synthetic-svm"}
    assert _contents(models) == before
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["systems"]["mlp"] = {"kind": "mlp", "width": 16, "train": {"epochs": 1}}
    write_yaml(project / "params.yaml", params)
    assert _repro(project) == REPORT | {f"{stage}@synthetic-mlp" for stage in OF_A_SYSTEM}
    assert before.items() <= _contents(models).items()
    facts = json.loads((models / "mlp/seed0/model.json").read_text())
    assert (facts["params"], facts["train"]["epochs"]) == ({"kind": "mlp", "width": 16}, 1)
    assert "1" in {file.read_text() for file in (project / "mlruns").rglob("train.epochs")}  # that of the others is 2
