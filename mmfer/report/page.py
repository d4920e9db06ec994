"""A page as Markdown and as HTML that opens from disk without a network.

A page is a title and a list of blocks. A block is a paragraph (str), a list of points (list), a Table, a Picture, or a
Section or Folded with blocks of its own. All text is plain: the templates escape it, in HTML and in Markdown.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmfer.files import write_text

TEMPLATES = Path(__file__).parent / "templates"


class Link(NamedTuple):
    """A link, in a cell or a point."""

    text: str
    href: str


class Strong(NamedTuple):
    """Text in bold, in a cell or a point."""

    text: str


Inline = str | Link | Strong


class Table(NamedTuple):
    """Columns after the first `text_columns` hold figures and are aligned to the right."""

    head: list[str]
    rows: Sequence[Sequence[Inline]]
    text_columns: int = 1

    @property
    def words(self) -> bool:
        """Whether it has no column of figures: on a phone its rows can stand as paragraphs."""
        return self.text_columns >= len(self.head)


class Picture(NamedTuple):
    """An image file beside the page, described for those who do not see it."""

    text: str
    file: str


class Folded(NamedTuple):
    """Blocks below a line that opens them; in Markdown a heading."""

    title: str
    blocks: list[Any]


class Section(NamedTuple):
    """Blocks below a heading, to which the page's contents link."""

    title: str
    blocks: list[Any]


def anchor(heading: str) -> str:
    """The name by which a heading is linked to, as code hosts make it of Markdown."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def kind(block: Any) -> str:
    """Which macro of the templates writes a block: "str", "list", "table", "picture", "folded" or "section"."""
    return type(block).__name__.lower()


def escape_markdown(text: Any) -> str:
    """Text in which nothing is markup for Markdown or the HTML within it; underscores inside words may stay."""
    text = str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", " ")
    return re.sub(r"[\\`*\[\]|~]|(?<!\w)_|_(?!\w)", r"\\\g<0>", text)


def render(template: str, title: str, blocks: list[Any]) -> str:
    """The page by one of the templates: page.html or page.md."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    html = template.endswith(".html")
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"anchor": anchor, "kind": kind, "md": escape_markdown}
    return environment.get_template(template).render(title=title, blocks=blocks).rstrip() + "\n"


def write_page(folder: Path, name: str, title: str, blocks: list[Any]) -> Path:
    """Write `name`.md and `name`.html into `folder`; return the HTML file."""
    for suffix in ("md", "html"):
        write_text(folder / f"{name}.{suffix}", render(f"page.{suffix}", title, blocks))
    return folder / f"{name}.html"
