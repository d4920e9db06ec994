"""A page as Markdown and as HTML that opens from disk without a network."""

import re
from pathlib import Path

from mmfer.files import write_text

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 76rem; margin: 0 auto; padding: 1rem; }
h1 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #8886; padding-bottom: .2rem; }
img { max-width: 100%; height: auto; background: white; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #8884; text-align: left; vertical-align: top; }
th { border-bottom: 2px solid #888a; vertical-align: bottom; }
td[style] { white-space: nowrap; } /* figures: the columns that Markdown aligns to the right */
td:first-child { min-width: 8rem; }
@media (max-width: 40rem) { /* on a phone the cells of a row of words stand below each other */
  .words thead { display: none; } .words tr, .words td { display: block; border: 0; padding: .1rem 0; }
  .words tr { padding: .6rem 0; border-bottom: 1px solid #8886; }
}
"""


def table(head: list[str], rows: list[list[str]], text_columns: int = 1) -> str:
    """A Markdown table; all columns but the first `text_columns` are aligned to the right."""
    rule = ["---"] * text_columns + ["---:"] * (len(head) - text_columns)
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rows])


def anchor(heading: str) -> str:
    """The name by which a heading is linked to, as code hosts make it of Markdown."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def contents(parts: list[str]) -> list[str]:
    """Links to the second-level headings of some parts, as one part; headings must differ."""
    headings = [heading for part in parts for heading in re.findall(r"^## (.+)$", part, flags=re.M)]
    return ["\n".join(f"- [{heading}](#{anchor(heading)})" for heading in headings)]


def _framed(found: re.Match[str]) -> str:
    """A table in a box that scrolls; one of words alone is marked, for it can be read in another form on a phone."""
    kind = "" if "text-align:right" in found[1] else ' class="words"'
    return f'<div class="scroll"><table{kind}>{found[1]}</table></div>'


def write_page(folder: Path, name: str, title: str, parts: list[str]) -> Path:
    """Write parts of Markdown as `name`.md and `name`.html into `folder`; return the HTML file."""
    from markdown_it import MarkdownIt

    text = "\n\n".join([f"# {title}", *filter(None, parts)]) + "\n"
    body = MarkdownIt("commonmark").enable("table").render(text)
    body = re.sub(r"<table>(.+?)</table>", _framed, body, flags=re.S)
    body = re.sub(r"<h2>(.+?)</h2>", lambda h: f'<h2 id="{anchor(h[1])}">{h[1]}</h2>', body)
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f"{meta}<title>{title}</title>"
    write_text(folder / f"{name}.md", text)
    html = f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n<body>\n{body}</body></html>\n'
    write_text(folder / f"{name}.html", html)
    return folder / f"{name}.html"
