"""Pages of the site that stand elsewhere or are made: a hook of MkDocs, named in mkdocs.yml.

The API reference is one page for each package of mmfer, written from the modules that are there; the parameters are
those of the JSON schema; the model cards, the changelog and CONTRIBUTING.md keep their places in the repository and are
shown as pages.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
WEIGHTS = ROOT / "mmfer" / "weights" / "fer2013"
WIDE = WEIGHTS.with_name("fer2013_wide")
PAGES = {  # page of the site: file of the repository
    "cards/model.md": WEIGHTS / "MODEL_CARD.md",
    "cards/wide/model.md": WIDE / "MODEL_CARD.md",
    "changelog.md": ROOT / "CHANGELOG.md",
    "contributing.md": ROOT / "CONTRIBUTING.md",
    "security.md": ROOT / "SECURITY.md",
}
SCHEMA = ROOT / "docs" / "params" / "schema.json"
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
PICTURES = {
    "cards/reliability.png": WEIGHTS / "reliability.png",
    "cards/wide/reliability.png": WIDE / "reliability.png",
}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages and pictures above, and the API reference."""
    from mkdocs.structure.files import File

    written = {page: shown(path, page) for page, path in PAGES.items()}
    written["api/parameters.md"] = parameters(json.loads(SCHEMA.read_text(encoding="utf-8"))["$defs"])
    for page, content in (written | api_pages(ROOT / "mmfer")).items():
        files.append(File.generated(config, page, content=content))
    for page, path in PICTURES.items():
        files.append(File.generated(config, page, abs_src_path=str(path)))
    return files


def shown(path: Path, page: str) -> str:
    """The file's text with its links to docs/ turned into links from `page`; other links become plain text."""
    up = "../" * page.count("/")

    def link(match: re.Match[str]) -> str:
        text, target = match.groups()
        if target.startswith(("http", "#")) or "/" not in target:
            return match[0]
        inside = re.search(r"(?:^|/)docs/(.+)$", target)
        return f"[{text}]({up}{inside[1]})" if inside else text

    return re.sub(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)", link, path.read_text(encoding="utf-8"))


def api_pages(package: Path) -> dict[str, str]:
    """A page for each package of mmfer, and one for the modules at its top: every public module, by name."""
    folders = {folder.name: folder for folder in package.iterdir() if (folder / "__init__.py").exists()}
    pages = {
        f"api/{name}.md": api_page(name.capitalize(), package, folder.rglob("*.py")) for name, folder in folders.items()
    }
    return pages | {"api/foundations.md": api_page("Foundations", package, package.glob("*.py"))}


def api_page(title: str, package: Path, files: Iterable[Path]) -> str:
    """The Markdown that mkdocstrings fills."""
    names = (
        ".".join(file.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__") for file in files
    )
    return f"# {title}\n\n" + "\n".join(f"::: {name}\n" for name in sorted(names))


def parameters(models: dict[str, Any]) -> str:
    """A table for each block of params.yaml: its keys, their defaults and bounds, and what they mean."""
    stages = [
        field["$ref"].split("/")[-1] for field in models["DatasetParams"]["properties"].values() if "$ref" in field
    ]
    chapters = {
        "Stages": [*stages, "StudyParams"],
        "Sources of faces": [name for name in models if name.endswith("Source")],
        "Systems": [name for name in models if name.startswith("system_")],
    }
    lines = [
        "# Parameters",
        "",
        "The keys of `params.yaml`; [The pipeline](../pipeline.md) says how blocks work together.",
    ]
    for title, names in chapters.items():
        lines += ["", f"## {title}"]
        for name in names:
            short = name.removesuffix("Params").removesuffix("Source").removeprefix("system_").lower()
            lines += ["", f"### {short}", "", *parameter_table(models[name])]
    return "\n".join(lines) + "\n"


def parameter_table(model: dict[str, Any]) -> list[str]:
    """The lines of one block: its description, and a row for each key."""
    lines = [str(model.get("description", "")), "", "| key | default | allowed | meaning |", "|---|---|---|---|"]
    for key, field in model["properties"].items():
        default = json.dumps(field["default"]) if field.get("default") is not None else "empty"
        allowed = " or ".join(filter(None, map(kind_of, field.get("anyOf", [field]))))
        cells = (f"`{key}`", f"`{default}`", allowed, field.get("description", ""))
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return lines


def kind_of(field: dict[str, Any]) -> str:
    """What a value may be: its names, or its type with its bounds."""
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    bounds = [f"{sign}\N{NO-BREAK SPACE}{field[bound]}" for bound, sign in BOUNDS.items() if bound in field]
    kind = {"null": "empty", "array": "list", "object": "block"}.get(field.get("type", ""), field.get("type", ""))
    inside = kind_of(field["items"]) if isinstance(field.get("items"), dict) else ""
    return " ".join(filter(None, [kind, f"of {inside}" if inside else "", ", ".join(bounds)]))
