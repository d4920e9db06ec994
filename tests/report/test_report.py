"""The report over all studies: what it takes from each, and that its links lead somewhere."""

import re

import pytest

from mmfer.errors import MmferError
from mmfer.files import write_json, write_text
from mmfer.report.report import write_report

CLEAN = {"threshold": 0.0, "align": True}


def write_study(folder, name, kind="fer2013", accuracy=0.6, align=True, tested=True, samples=100):
    study = {
        "dataset": name,
        "kind": kind,
        "images": 40,
        "systems": ["ours", "svm"],
        "reference": "ours",
        "accuracy": {"accuracy": accuracy, "accuracy_low": accuracy - 0.1, "accuracy_high": 0.9, "macro": 0.5},
        "one_run": 0.55,
        "samples": samples,
        "passes": 0.25,
        "settings": {"clean": CLEAN | {"align": align}, "augment": {"copies": 30}},
        "verdicts": [
            {"claim": "a claim", "verdict": "not decidable", "reason": f"because of {name}", "tested": tested}
        ],
    }
    write_json(folder / name / "study.json", study)
    write_text(
        folder / name / "study.md", f"# mmfer on {name}\n\n## Part\n\n![p](p.png) [r](../../{name}/ours/roc.png)\n"
    )
    write_text(folder / name / "p.png", "")


def test_every_study_is_a_chapter_the_papers_data_first(tmp_path):
    for name, kind in (("rendered", "synthetic"), ("ck", "ckplus"), ("fer", "fer2013")):
        write_study(tmp_path / "studies", name, kind)
    text = write_report(tmp_path / "studies", tmp_path / "report").with_suffix(".md").read_text()
    assert re.findall(r"^## mmfer on (\w+)$", text, flags=re.M) == ["fer", "ck", "rendered"]
    assert text.count("### Part") == 3
    assert "| ck | **not decidable** | because of ck |" in text
    assert "| fer | ours | 40 | 2 | 100 | 0.25 | 55.00 | 60.00 | 50.00 to 90.00 | 50.00 |" in text


def test_studies_that_say_nothing_on_a_claim_are_named_below_its_table(tmp_path):
    for name, tested in (("a", True), ("b", False), ("c", False)):
        write_study(tmp_path / "studies", name, tested=tested)
    text = write_report(tmp_path / "studies", tmp_path / "report").with_suffix(".md").read_text()
    assert text.count("### The paper claims: a claim") == 1
    assert "| a | **not decidable** | because of a |" in text
    assert "Nothing was run to test it with in b, c." in text
    assert "because of b" not in text


def test_links_lead_from_the_report_to_the_studies_files(tmp_path):
    write_study(tmp_path / "studies", "fer")
    page = write_report(tmp_path / "studies", tmp_path / "report")
    links = re.findall(r"\]\(([^)#]+)\)", page.with_suffix(".md").read_text())
    assert links == ["../studies/fer/p.png", "../fer/ours/roc.png"]
    assert (page.parent / links[0]).exists()


def test_studies_that_differ_in_their_data_alone_are_ablations_of_it(tmp_path):
    write_study(tmp_path / "studies", "base")
    write_study(tmp_path / "studies", "crooked", align=False, accuracy=0.5)
    write_study(tmp_path / "studies", "longer", align=False, samples=999)
    text = write_report(tmp_path / "studies", tmp_path / "report").with_suffix(".md").read_text()
    assert "| base | – | 60.00 [50.00, 90.00] |" in text
    assert "| crooked | clean.align: false | 50.00 [40.00, 90.00] |" in text
    assert "| longer | clean" not in text


def test_no_study_is_one_line(tmp_path):
    with pytest.raises(MmferError, match="no study there; run `dvc repro`"):
        write_report(tmp_path / "studies", tmp_path / "report")
