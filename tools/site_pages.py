"""Pages of the site that stand elsewhere or are made: a hook of MkDocs, named in mkdocs.yml.

The API reference is one page for each package of mmfer, written from the modules that are there; the model card, the
changelog and CONTRIBUTING.md keep their places in the repository and are shown as pages.
"""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
WEIGHTS = ROOT / "mmfer" / "weights" / "compact"
PAGES = {  # page of the site: file of the repository
    "cards/model.md": WEIGHTS / "MODEL_CARD.md",
    "changelog.md": ROOT / "CHANGELOG.md",
    "contributing.md": ROOT / "CONTRIBUTING.md",
}
PICTURES = {"cards/reliability.png": WEIGHTS / "reliability.png"}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages and pictures above, and the API reference."""
    from mkdocs.structure.files import File

    written = {page: shown(path, page) for page, path in PAGES.items()}
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
    pages = {f"api/{name}.md": api_page(name.capitalize(), folder.rglob("*.py")) for name, folder in folders.items()}
    return pages | {"api/foundations.md": api_page("Foundations", package.glob("*.py"))}


def api_page(title: str, files: Any) -> str:
    """The Markdown that mkdocstrings fills."""
    names = (".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in files)
    return f"# {title}\n\n" + "\n".join(f"::: {name}\n" for name in sorted(names))
