"""Pages as Markdown and as HTML."""

from mmfer.report.page import anchor, contents, table, write_page


def test_a_table_aligns_figures_to_the_right():
    assert table(["a", "b"], [["x", "1"]]).splitlines() == ["| a | b |", "| --- | ---: |", "| x | 1 |"]


def test_a_page_opens_without_a_network_and_says_the_same_in_both_forms(tmp_path):
    html = write_page(tmp_path, "report", "A title", ["## Part", table(["a", "b"], [["x", "1.5"]]), "", "![p](p.png)"])
    text = html.read_text()
    assert "<title>A title</title>" in text
    assert "<td>x</td>" in text
    assert '<td style="text-align:right">1.5</td>' in text
    assert "http" not in text
    assert (tmp_path / "report.md").read_text().startswith("# A title\n\n## Part\n")


def test_the_contents_link_to_headings_that_the_page_has(tmp_path):
    parts = ["## Accuracy, %\n\ntext", "### deeper", "## Data and leaks"]
    listed = contents(parts)
    assert listed == ["- [Accuracy, %](#accuracy)\n- [Data and leaks](#data-and-leaks)"]
    text = write_page(tmp_path, "p", "T", [*listed, *parts]).read_text()
    for heading in ("Accuracy, %", "Data and leaks"):
        assert f'href="#{anchor(heading)}"' in text
        assert f'<h2 id="{anchor(heading)}">{heading}</h2>' in text


def test_tables_of_words_alone_are_marked_for_phones(tmp_path):
    parts = [table(["claim", "verdict"], [["a", "b"]], text_columns=2), table(["system", "%"], [["x", "1.5"]])]
    text = write_page(tmp_path, "p", "T", parts).read_text()
    assert text.count('<div class="scroll"><table class="words">') == 1
    assert text.count('<div class="scroll"><table>') == 1
