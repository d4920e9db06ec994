"""Pages as Markdown and as HTML: what they hold is read back by the parsers of the standard library and markdown-it."""

import pytest
from markdown_it import MarkdownIt

from mmfer.report.page import Folded, Link, Picture, Section, Strong, Table, anchor, escape_markdown, write_page
from tests.report.html import Page

ODD = [
    "metrics/<dataset>/<system>/robustness.csv",
    "<img src=x onerror=alert(1)>",
    "a | b",
    "*not bold* and _not slanted_ [no](link) `no code` \\ &amp; R&D",
    "a\nline",
    "compact_image_hog",
]


@pytest.fixture
def written(tmp_path):
    def write(*blocks, title="T"):
        html = write_page(tmp_path, "p", title, list(blocks))
        return Page(html.read_text(encoding="utf-8")), (tmp_path / "p.md").read_text(encoding="utf-8")

    return write


def markdown_as_html(text):
    """As a code host shows it: HTML within Markdown is live."""
    return Page(f"</style>{MarkdownIt('commonmark', {'html': True}).enable('table').render(text)}")


@pytest.mark.parametrize("text", ODD)
def test_any_text_is_shown_as_it_is_wherever_it_stands(text, written):
    words = " ".join(text.split())
    section = Section("S", [Table(["a", text], [[text, Link(text, "u")]]), Folded(text, [])])
    html, markdown = written(text, [text, Strong(text)], section, title=text)
    for page in (html, markdown_as_html(markdown)):
        assert not {tag for tag, _ in page.tags} & {"img", "em", "code", "dataset", "system"}
        assert " ".join(page.text.split()).count(words) == 8
        assert [[" ".join(cell.split()) for cell in row] for row in page.tables[0]] == [["a", words], [words, words]]


def test_a_placeholder_in_angle_brackets_is_not_eaten(written):
    html, markdown = written("other systems: metrics/<dataset>/<system>/robustness.csv")
    for page in (html, markdown_as_html(markdown)):
        assert "metrics/<dataset>/<system>/robustness.csv" in page.text
        assert "metrics//" not in page.text


def test_a_table_has_its_rows_in_both_forms_and_figures_to_the_right(written):
    rows = [[f"system {n}", f"{n}.5"] for n in range(35)]
    html, markdown = written(Table(["system", "%"], rows))
    for page in (html, markdown_as_html(markdown)):
        assert page.tables == [[["system", "%"], *rows]]
    assert html.attributes("td", "class") == ["figure"] * 35
    assert markdown_as_html(markdown).attributes("td", "style") == ["text-align:right"] * 35


def test_tables_lie_in_boxes_that_scroll_and_those_of_words_can_be_stacked(written):
    html, _ = written(Table(["claim", "verdict"], [["a", "b"]], 2), Table(["system", "%"], [["x", "1.5"]]))
    assert html.attributes("div", "class") == ["scroll words", "scroll"]
    assert html.attributes("td", "data-head") == ["claim", "verdict"]


def test_a_page_opens_without_a_network(written, tmp_path):
    written("a", Section("S", [Picture("what it shows", "figures/p.png")]))
    text = (tmp_path / "p.html").read_text()
    assert "http" not in text
    assert '<img src="figures/p.png" alt="what it shows">' in text
    assert "![what it shows](figures/p.png)" in (tmp_path / "p.md").read_text()


def test_the_contents_link_to_headings_that_the_page_has(written):
    titles = ["Accuracy, %", "Data and leaks", "Cost", "<b>"]
    html, _ = written("intro", *(Section(title, ["text"]) for title in titles))
    assert html.attributes("a", "href") == [f"#{name}" for name in html.attributes("h2", "id")]
    assert html.attributes("h2", "id") == ["accuracy", "data-and-leaks", "cost", "b"] == [anchor(t) for t in titles]


def test_what_is_folded_opens_in_html_and_is_a_heading_in_markdown(written):
    html, markdown = written(Section("S", [Folded("More", ["inside"])]))
    assert [tag for tag, _ in html.tags if tag in ("details", "summary")] == ["details", "summary"]
    assert "## S\n\n### More\n\ninside\n" in markdown


def test_underscores_within_words_need_no_escape():
    assert escape_markdown("compact_image_hog") == "compact_image_hog"
    assert escape_markdown("_x_") == r"\_x\_"
