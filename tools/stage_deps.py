"""Write the code that each stage of dvc.yaml depends on, read off the import graph: `python -m tools.stage_deps`.

A stage depends on its own script and on every module of mmfer that this imports, at the top or inside functions,
directly or not. Left out are modules without an effect on any output. A folder whose modules are imported by name at
run time is one dependency. A stage that only uses models does not depend on the modules that hold one system each: a
change there reaches it as a change of its models.
"""

import ast
import re
from pathlib import Path

import typer

ROOT = Path(__file__).resolve().parents[1]
NO_EFFECT = {f"mmfer/{name}.py" for name in ("__init__", "errors", "parallel", "resources", "tracking/__init__")}
WHOLE = ("mmfer/data/sources", "mmfer/data/synthetic", "mmfer/systems")
USES_MODELS = ("evaluate", "robustness")
READS = {  # what a module reads beside code
    "mmfer/data/cutting.py": "mmfer/weights/frontal/detector.svm",
    "mmfer/face/visibility.py": "mmfer/weights/visibility/weights.npz",
    "mmfer/report/page.py": "mmfer/report/templates",
}


def imports(path: Path, root: Path = ROOT) -> set[str]:
    """Files of mmfer that a file imports, relative to the root; a package counts where it holds code."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and re.fullmatch(r"mmfer(\.\w+)+", str(node.value)):
            names.add(node.value)  # imported by name at run time
    stems = [name.replace(".", "/") for name in names if name.split(".")[0] == "mmfer"]
    return {file for stem in stems for file in (f"{stem}.py", f"{stem}/__init__.py") if _has_code(root / file)}


def _has_code(path: Path) -> bool:
    """Whether there is such a file with more in it than a docstring."""
    return path.exists() and len(ast.parse(path.read_text(encoding="utf-8")).body) > 1


def closure(start: str, root: Path = ROOT) -> set[str]:
    """All files of the project that a file needs, itself among them; those of NO_EFFECT are left out."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        file = waiting.pop()
        if file in found or file in NO_EFFECT:
            continue
        found.add(file)
        waiting += imports(root / file, root)
        for folder in WHOLE:
            if file == f"{folder}/__init__.py":
                waiting += [str(f.relative_to(root)) for f in (root / folder).glob("*.py") if _has_code(f)]
    return found


def systems(root: Path = ROOT) -> tuple[set[str], set[str]]:
    """Modules of mmfer/systems that others there import, and those that hold one system each."""
    files = {str(file.relative_to(root)) for file in (root / "mmfer/systems").glob("*.py")}
    shared = files & set().union(*(imports(root / file, root) for file in files))
    return shared, files - shared


def code_deps(stage: str, root: Path = ROOT) -> list[str]:
    """What a stage's `deps` say of code: its script first, then modules and whole folders in alphabetical order."""
    script = f"stages/{stage}.py"
    needed = closure(script, root) - {script}
    needed |= {read for module, read in READS.items() if module in needed}
    if stage in USES_MODELS:
        return [script, *sorted(needed - systems(root)[1])]
    return [script, *sorted({next((f for f in WHOLE if file.startswith(f)), file) for file in needed})]


def rewrite(text: str, root: Path = ROOT) -> str:
    """dvc.yaml with the code of every stage's `deps` as the import graph has it; all else stays as it is."""
    parts = re.split(r"^(  \w+:\n)", text, flags=re.MULTILINE)
    for place in range(1, len(parts), 2):
        stage = parts[place].strip().rstrip(":")
        block = re.search(r"^( *)deps:\n((?:\1  - (?:mmfer|stages)/.*\n)+)", parts[place + 1], flags=re.MULTILINE)
        if block and (root / f"stages/{stage}.py").exists():
            lines = "".join(f"{block[1]}  - {dep}\n" for dep in code_deps(stage, root))
            parts[place + 1] = parts[place + 1].replace(block[2], lines)
    return "".join(parts)


def main() -> None:
    """Rewrite dvc.yaml."""
    file = ROOT / "dvc.yaml"
    file.write_text(rewrite(file.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
