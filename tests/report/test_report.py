"""The report over all studies: the claims first, a row for each, and links that lead somewhere."""

import pytest

from mmfer.errors import MmferError
from mmfer.files import write_json, write_text
from mmfer.report.report import write_report
from mmfer.report.verdicts import Verdict
from tests.report.html import Page

CLEAN = {"threshold": 0.0, "align": True}
EFFECT = {"against": "svm", "effect": (0.031, -0.01, 0.072), "seeds": "2", "faces": 1234, "passes": "0.56"}


def write_study(folder, name, kind="fer2013", align=True, samples=100, verdicts=(), rows="a", above_chance=True):
    study = {
        "dataset": name,
        "kind": kind,
        "images": 1234,
        "rows": rows,
        "above_chance": above_chance,
        "systems": 2,
        "reference": "ours",
        "trainings": 1,
        "samples": samples,
        "accuracy": {"accuracy": 0.6, "accuracy_low": 0.5, "accuracy_high": 0.9, "macro": 0.45},
        "one_run": 0.55,
        "settings": {"clean": CLEAN | {"align": align}, "augment": {"copies": 30}},
        "verdicts": [verdict.to_json() for verdict in verdicts],
    }
    write_json(folder / name / "study.json", study)
    write_text(folder / name / "study.html", "")


def report(folder):
    page = write_report(folder / "study", folder / "report")
    return Page(page.read_text(encoding="utf-8")), page.with_suffix(".md").read_text(encoding="utf-8")


OPEN = [
    Verdict("more accurate", "not decidable", "not run: VGG", **EFFECT),
    Verdict("three modalities", "not decidable", "no system to compare with was run", tested=False),
    Verdict("hidden faces", "not decidable", "no system to compare with was run", tested=False),
    Verdict("faster", "not decidable", "no network to compare with was run", tested=False),
]


def test_the_first_screen_names_the_paper_and_its_systems_before_the_table_of_claims(tmp_path):
    write_study(tmp_path / "study", "synthetic", verdicts=OPEN)
    html, markdown = report(tmp_path)
    before = markdown.split("| the paper claims")[0]
    for words in ("Yi, Wang and Lu", "multimodal data fusion", "The system ours is", "compact takes", "NULL"):
        assert words in before
    assert len(before.split()) < 150
    assert [tag for tag, _ in html.tags if tag in ("table", "details", "img")] == [
        *("table", "img", "details", "details", "table")
    ]


def test_each_claim_is_one_row_with_verdict_effect_interval_and_trainings(tmp_path):
    decided = Verdict("more accurate", "reproduced", "because", **EFFECT)
    write_study(tmp_path / "study", "synthetic", verdicts=[decided, *OPEN[1:]])
    html, _ = report(tmp_path)
    assert len(html.tables[0]) == 1 + 4
    assert html.tables[0][1] == [
        *("more accurate", "reproduced", "+3.1 points [-1.0, +7.2] against svm", "2", "1,234", "0.56")
    ]
    assert html.tables[0][2] == ["three modalities", "open", "nothing was run to test it with", "–", "–", "–"]
    assert (tmp_path / "report/figures/claims.png").read_bytes().startswith(b"\x89PNG")


def test_not_decidable_is_said_once_however_many_claims_it_is_about(tmp_path):
    write_study(tmp_path / "study", "synthetic", verdicts=OPEN)
    html, markdown = report(tmp_path)
    assert html.text.count("not decidable") == markdown.count("not decidable") == 1
    assert "faster: no network to compare with was run." in markdown


def test_where_no_claim_is_open_nothing_explains_it(tmp_path):
    write_study(tmp_path / "study", "synthetic", verdicts=[Verdict("faster", "reproduced", "because", ratio=0.5)])
    html, markdown = report(tmp_path)
    assert "not decidable" not in markdown
    assert not html.attributes("img", "src")  # no effect in points: nothing to draw


def test_several_studies_stand_claim_by_claim_the_papers_data_first(tmp_path):
    own = Verdict("99 %", "not reproduced", "because", **EFFECT)
    for name, kind, first in (("rendered", "synthetic", []), ("ck", "ckplus", [own]), ("fer", "fer2013", [own])):
        write_study(tmp_path / "study", name, kind, verdicts=[*first, *OPEN])
    html, _ = report(tmp_path)
    assert [row[:2] for row in html.tables[0][1:6]] == [
        *(["99 %", "fer"], ["99 %", "ck"]),
        *(["more accurate", "fer"], ["more accurate", "ck"], ["more accurate", "rendered"]),
    ]
    assert [row[0] for row in html.tables[1][1:]] == ["fer", "ck", "rendered"]


def test_studies_are_linked_to_and_not_repeated(tmp_path):
    write_study(tmp_path / "study", "fer", verdicts=OPEN)
    html, _ = report(tmp_path)
    (link,) = html.attributes("a", "href")
    assert (tmp_path / "report" / link).resolve() == (tmp_path / "study/fer/study.html").resolve()
    assert html.tables[1][1] == [*("fer", "1,234", "2", "ours", "1", "55.00", "60.00", "50.00 to 90.00", "45.00")]


def test_a_reason_that_looks_like_a_tag_is_text(tmp_path):
    write_study(tmp_path / "study", "fer", verdicts=[Verdict("c", "reproduced", "<img src=x onerror=alert(1)>")])
    html, markdown = report(tmp_path)
    assert "<img src=x onerror=alert(1)>" in html.text
    assert "<img" not in markdown
    assert not html.attributes("img", "onerror")


def test_studies_that_differ_in_their_data_alone_are_ablations_of_it(tmp_path):
    write_study(tmp_path / "study", "base")
    write_study(tmp_path / "study", "crooked", align=False)
    write_study(tmp_path / "study", "longer", align=False, samples=999)
    write_study(tmp_path / "study", "other_faces", align=False, rows="b")
    write_study(tmp_path / "study", "at_chance", align=False, above_chance=False)
    html, _ = report(tmp_path)
    assert html.tables[2][1:] == [
        ["base", "–", "60.00 [50.00, 90.00]"],
        ["crooked", "clean.align: false", "60.00 [50.00, 90.00]"],
    ]


def test_no_study_is_one_line(tmp_path):
    with pytest.raises(MmferError, match="no study there; run `dvc repro`"):
        write_report(tmp_path / "study", tmp_path / "report")
