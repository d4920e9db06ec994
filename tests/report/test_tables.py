"""Figures of hand-made studies as the tables show them: counted by hand, each in its own column."""

import numpy as np
import pandas as pd
import pytest

from mmfer.report.page import Folded, Table
from mmfer.report.results import Study
from mmfer.report.robustness_tables import robustness_blocks
from mmfer.report.tables import ablation_blocks, accuracy_blocks, cost_blocks, paired_blocks, vote_blocks
from tests.report.test_comparison import right
from tests.report.test_verdicts import study

CONDITIONS = pd.DataFrame(
    {
        "condition": ["clean", "eyes hidden", "fog 1", "fog 5"],
        "class": "all",
        "found": [1.0, 0.5, 1.0, 1.0],
        "accuracy": [0.9, 0.6, 0.8, 0.6],
        "probability": [0.7, 0.4, 0.5, 0.5],
        "turned_wrong": [0.0, 0.35, 0.1, 0.3],
        "images": 10,
    }
)


def tables(blocks):
    """All tables among some blocks, those that are folded away too."""
    for block in blocks:
        if isinstance(block, Table):
            yield block
        elif isinstance(block, Folded):
            yield from tables(block.blocks)


def column(table, head):
    """The cells of a column by the system of their row."""
    return {row[0]: row[table.head.index(head)] for row in table.rows}


def evaluated(**accuracies):
    """A study whose systems get 40 faces right, but for as many as given; every reading has a figure of its own."""
    of = study({name: right(*range(wrong)) for name, wrong in accuracies.items()}, at_chance=())
    for name, wrong in accuracies.items():
        whole = (40 - wrong) / 40
        reading = {"accuracy": whole, "accuracy_low": whole - 0.05, "accuracy_high": whole + 0.03, "macro": whole - 0.1}
        part = {
            "averaged": reading,
            "plain": {"accuracy": whole - 0.2},
            "runs": {"count": 10, "accuracy_mean": whole - 0.3, "accuracy_sd": 0.01},
            "seeds": {"count": 3, "accuracy_mean": whole - 0.4, "accuracy_sd": 0.02},
            "images": 40,
            "coverage": 1.0,
        }
        of.details[name]["whole"] |= part
        of.details[name]["kept"] = part | {"averaged": reading | {"accuracy": whole - 0.15}, "coverage": 0.75}
        of.details[name]["kept_unique"] = part | {"averaged": reading | {"accuracy": whole - 0.25}, "coverage": 0.5}
        of.details[name]["cost"] |= {"flops": 2_000_000}
        of.details[name] |= {"classes": [], "dataset": "some"}
        of.details[name]["training"] |= {"minutes": 2.0, "models": 2, "device": "cpu"}
    return of


def test_each_reading_of_the_accuracy_is_in_its_own_column():
    (table,) = (found for found in tables(accuracy_blocks(evaluated(ours=4, vgg=20))) if "one run" in found.head)
    expected = {
        "one run": "70.00",
        "10 runs averaged": "90.00",
        "95 % interval": "85.00 to 93.00",
        "mean of classes": "80.00",
        "over trainings": "50.00 ± 2.00 (3)",
        "faces found": "75.00 (75.0)",
        "found, no exact copies": "65.00 (50.0)",
    }
    assert {head: column(table, head)["ours"] for head in expected} == expected


def test_beside_the_votes_each_figure_is_in_its_own_column_and_without_votes_there_is_no_table():
    of = evaluated(ours=4, vgg=20)
    assert vote_blocks(of) == []
    for name, agreement in {"ours": 0.7, "vgg": 0.6}.items():
        figures = {"cross_entropy": 1 - agreement / 2, "kl": 0.125, "agreement": agreement, "agreement_most": 0.875}
        of.details[name]["votes"] = {"averaged": figures, "plain": dict.fromkeys(figures, 0.0)}
    (table,) = tables(blocks := vote_blocks(of))
    assert list(column(table, "cross entropy").values()) == ["0.650", "0.700"]
    assert column(table, "KL divergence")["ours"] == "0.125"
    assert list(column(table, "expected agreement").values()) == ["70.00", "60.00"]
    assert "has 87.50." in blocks[0].blocks[0]


def test_systems_at_chance_are_named_and_not_ranked():
    of = evaluated(ours=4, vgg=36)
    of.details["vgg"]["whole"]["chance"]["above"] = False
    blocks = accuracy_blocks(of)
    (table,) = (found for found in tables(blocks) if "one run" in found.head)
    assert list(column(table, "one run")) == ["ours"]
    assert any("vgg (10.00 %)" in block for block in blocks if isinstance(block, str))


def test_an_ablation_that_is_worse_has_a_difference_below_zero():
    of = evaluated(ours=0, ours_image=10)
    of.details["ours_image"]["trained_params"] = {"kind": "ours", "branches": ["image"]}
    (table,) = tables(ablation_blocks(of))
    low, high = (float(end) for end in column(table, "difference, points")["ours_image"].split("[")[1][:-1].split(","))
    assert column(table, "difference, points")["ours_image"].startswith("-25.0 [")
    assert low < -25 < high < 0
    assert float(column(table, "p")["ours_image"]) < 0.05


def test_paired_tests_count_the_images_that_one_alone_gets_right():
    (table,) = tables(paired_blocks(evaluated(ours=4, vgg=20)))
    assert (column(table, "only ours right")[row := "vgg"], column(table, "only this one right")[row]) == ("16", "0")


def test_cost_is_that_of_one_training_and_one_face():
    (table,) = tables(cost_blocks(evaluated(ours=4)))
    expected = {"parameters": "10", "MFLOPs a face": "2.0", "trainings": "2", "samples in each": "100"}
    assert {head: column(table, head)["ours"] for head in expected} == expected


@pytest.fixture
def perturbed():
    """A study in which the baseline makes half as many errors under fog as ours."""
    base = CONDITIONS.assign(accuracy=[0.9, 0.6, 0.9, 0.8])
    of = evaluated(ours=4, svm=8)
    return Study(of.details, of.predicted, {"ours": CONDITIONS, "svm": base}, of.perturbed, "ours", "svm")


def test_conditions_show_accuracy_and_in_brackets_what_turned_wrong(perturbed):
    table, given, *_ = tables(robustness_blocks(perturbed))
    assert table.head == ["system", "clean", "eyes hidden"]
    assert column(table, "eyes hidden") == {"ours": "60.0 (35.0)", "svm": "60.0 (35.0)", "face found": "50.0"}
    assert column(given, "eyes hidden")["ours"] == "40.0"


def test_corruption_errors_are_relative_to_the_baseline(perturbed):
    table = list(tables(robustness_blocks(perturbed)))[-1]
    assert column(table, "fog") == {"ours": "200", "svm": "100"}  # (0.2 + 0.4) / 2 over (0.1 + 0.2) / 2
    assert np.isclose(float(column(table, "mean (mCE)")["ours"]), 200)
