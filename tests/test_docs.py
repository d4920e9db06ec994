"""README, CONTRIBUTING and the pages of the site: their code runs, and what they name is there."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
import typer

from mmfer import systems
from mmfer.cli import app
from mmfer.data.synthetic.faces import render_face

ROOT = Path(__file__).parents[1]
WEIGHTS = ROOT / "mmfer/weights/fer2013"
CARDS = ("mmfer/weights/fer2013/MODEL_CARD.md", "mmfer/weights/fer2013_wide/MODEL_CARD.md")
OUTSIDE = ("README.md", "CONTRIBUTING.md", "SECURITY.md", *CARDS)
PAGES = [*(ROOT / name for name in OUTSIDE), *sorted((ROOT / "docs").rglob("*.md"))]
RUN = ["README.md", *(f"docs/{name}.md" for name in ("predict", "export"))]
RUN += [f"docs/tutorials/{name}.md" for name in ("first-photo", "own-data", "new-system")]
SYSTEM = ROOT / "docs/tutorials/new-system.md"


def blocks(page: Path, kind: str) -> list[str]:
    """The fenced blocks of a page in this language ("" for none)."""
    fences = re.findall(r"^```(\w*)[^\n]*\n(.*?)^```$", page.read_text(), re.M | re.S)
    return [text for language, text in fences if language == kind]


def commands(page: Path) -> Iterator[str]:
    """Lines of the blocks without a language, and code within sentences, that begin with a command's name."""
    text = page.read_text()
    lines = [line for block in blocks(page, "") for line in block.splitlines()]
    for line in [*lines, *re.findall(r"`([^`\n]+)`", text)]:
        for part in re.split(r"&&|\||;", line.split(" #")[0]):
            yield part.strip()


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A folder with what the pages' code opens: docs/, one sorted photo, and an exported network."""
    desk = tmp_path_factory.mktemp("desk")
    (desk / "docs").symlink_to(ROOT / "docs")
    (desk / "photos/train/happy").mkdir(parents=True)
    cv2.imwrite(str(desk / "photos/train/happy/1.jpg"), render_face("happy", 0, 200, frontal=True)[0])
    shutil.copy(WEIGHTS / "model.onnx", desk / "compact.onnx")
    shutil.copy(WEIGHTS / "model.safetensors", desk)
    return desk


@pytest.mark.parametrize("name", RUN)
def test_the_code_of_a_page_runs(name, desk, monkeypatch, capsys):
    monkeypatch.chdir(desk)
    monkeypatch.setattr(systems, "_registry", systems.systems())  # a page may register a system, for itself alone
    scope: dict = {"__name__": "page"}
    for code in blocks(ROOT / name, "python"):
        exec(compile(code, name, "exec"), scope)
    if name == "README.md":
        shown = blocks(ROOT / name, "")[1]
        assert sorted(line.split()[0] for line in shown.splitlines()) == ["angry", "happy", "surprise"]
        assert capsys.readouterr().out == shown
    if name.endswith("own-data.md"):
        assert cv2.imread("faces/train/happy/1.png", cv2.IMREAD_UNCHANGED).shape == (48, 48)


@pytest.mark.parametrize("path", sorted((ROOT / "docs").rglob("*.ipynb")), ids=lambda path: path.name)
def test_a_notebook_runs(path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(path.parent)
    cells = json.loads(path.read_text())["cells"]
    scope: dict = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            assert not cell["outputs"]
            exec(compile("".join(cell["source"]), path.name, "exec"), scope)


def lint(code: str, name: str, *options: str) -> None:
    command = [sys.executable, "-m", "ruff", "check", "--quiet", *options, "--stdin-filename", name, "-"]
    done = subprocess.run(command, input=code, capture_output=True, text=True, cwd=ROOT, check=False)
    assert not done.returncode, done.stdout


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_code_uses_no_name_that_is_not_defined(page):
    lint("\n".join(blocks(page, "python")), "page.py", "--isolated", "--select", "F")


def test_the_system_of_the_tutorial_passes_the_linter():
    lint(blocks(SYSTEM, "python")[0], "mmfer/systems/mlp.py")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    targets = re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", text)
    made = {"api", "contributing.md", "changelog.md", "model.md", "security.md"}  # by tools/site_pages.py
    missing = [
        target
        for target in targets
        if "://" not in target and not (page.parent / target).exists() and not made & set(Path(target).parts)
    ]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page):
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.M))
    for command in commands(page):
        words = command.split()
        if words[:1] == ["make"] and len(words) > 1 and words[1] != "...":
            assert words[1] in targets, command
        elif words[:2] == ["python", "-m"] and words[2].split(".")[0] in ("stages", "tools", "benchmarks"):
            assert (ROOT / words[2].replace(".", "/")).with_suffix(".py").exists() or "<" in words[2], command
        elif words[:1] == ["python"] and len(words) > 1 and words[1].endswith(".py"):
            assert (ROOT / words[1]).exists(), command
        elif words[:1] == ["mmfer"] and len(words) > 1:
            check_options(shlex.split(command)[1:], command)


def check_options(words: list[str], shown: str) -> None:
    """Assert that the command of mmfer and each of its options are there."""
    command = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    known = {name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]}
    known |= {"--help", "--install-completion", "--show-completion"}
    assert {word for word in words if word.startswith("--")} <= known, shown
    assert not hasattr(command, "commands") or not words or words[0].startswith("-"), shown


def tree() -> set[str]:
    """The paths that README's file tree names."""
    paths, parents = set(), {}
    for line in re.findall(r"^    ( *\S.*)$", (ROOT / "README.md").read_text().split("## What is where")[1], re.M):
        depth = (len(line) - len(line.lstrip())) // 2
        parents[depth] = line.split()[0]
        paths.add("".join(parents[d] for d in range(depth + 1)))
    return paths


def test_the_file_tree_of_readme_is_that_of_the_repository():
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git repository")
    tracked = {Path(line) for line in done.stdout.splitlines() if (ROOT / line).exists()}
    named = tree()
    assert not [name for name in named if not (ROOT / name).exists()]
    folders = {f"{path.parts[0]}/" for path in tracked if len(path.parts) > 1 and not path.parts[0].startswith(".")}
    rooms = {f"mmfer/{path.parts[1]}/" for path in tracked if path.parts[0] == "mmfer" and len(path.parts) > 2}
    assert folders | rooms <= named


def test_readme_fits_on_two_screens():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 110


def test_the_figures_of_readme_are_those_of_the_published_results():
    table = (ROOT / "README.md").read_text().split("## Results")[1].split("\n\n")[1]
    published = (ROOT / "docs/results/README.md").read_text()
    for figures in re.findall(r"\| (\d+\.\d+) \[(\d+\.\d+), (\d+\.\d+)\] \|", table):
        accuracy, low, high = figures
        assert re.search(rf"\| {accuracy} \| {low} to {high}", published), figures
