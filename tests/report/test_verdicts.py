"""Verdicts on the paper's claims against hand-made studies."""

import numpy as np
import pandas as pd
import pytest

from mmfer.report.comparison import HARDER, paired_tests
from mmfer.report.results import Study
from mmfer.report.verdicts import by_condition, of_accuracy, of_speed, of_tests, unfinished, verdicts

FACES = 40


def right(*wrong):
    hits = np.ones(FACES, dtype=bool)
    hits[list(wrong)] = False
    return hits


def faces(hits):
    return pd.concat(
        pd.DataFrame({"face": range(FACES), "condition": name, "right": hits.astype(int), "probability": 0.5})
        for name in ["clean", *HARDER]
    )


def study(right_by_system, blocks=None, passes=2.0, kind="synthetic", latency=None):
    """A study in which each system is a network that saw `passes` times the 100 training copies."""
    figures = {"averaged": {"accuracy": 0.6, "accuracy_low": 0.58, "accuracy_high": 0.62}}
    blocks = {"ours": {"kind": "ours", "branches": ["image", "landmarks", "hog"]}} | (blocks or {})
    details = {
        name: {
            "whole": figures,
            "kept": figures,
            "trained": {"epochs": 1},
            "trained_params": blocks.get(name, {"kind": name}),
            "cost": {"latency_ms": (latency or {}).get(name, 1.0), "parameters": 10},
        }
        for name in right_by_system
    }
    return Study(
        dataset="d",
        kind=kind,
        classes=["a", "b"],
        details=details,
        trainings={name: {"samples_seen": 100 * passes, "models": 1} for name in right_by_system},
        right=right_by_system,
        tested=np.arange(FACES),
        people=None,
        conditions={},
        faces={name: faces(hits) for name, hits in right_by_system.items()},
        copies=100,
        reference="ours",
        baseline="ours",
    )


def verdict(of, about):
    return next(v for v in verdicts(of) if about in v.claim)


WEAK = right(*range(20))
ALL = ("vgg", "resnet", "pramerdorfer", "agrawal", "svm", "shan")


def test_a_claim_is_reproduced_where_all_that_it_names_are_beaten():
    found = verdict(study({"ours": right()} | dict.fromkeys(ALL, WEAK)), "systems that it compares")
    assert found.verdict == "reproduced"
    assert "more often right than vgg, resnet" in found.reason


def test_a_claim_is_not_reproduced_where_one_of_them_is_better():
    found = verdict(study({"ours": WEAK} | dict.fromkeys(ALL, WEAK) | {"shan": right()}), "systems that it compares")
    assert found.verdict == "not reproduced"
    assert "less often right than shan" in found.reason


def test_a_claim_about_systems_that_were_not_run_is_not_decidable():
    found = verdict(study({"ours": right(), "vgg": WEAK}), "systems that it compares")
    assert found.verdict == "not decidable"
    assert "not run: ResNet, Pramerdorfer & Kampel, Agrawal & Mittal, SVM, Shan et al." in found.reason


def test_networks_that_saw_less_than_one_pass_decide_nothing_but_the_tests_are_told():
    short = study({"ours": right()} | dict.fromkeys(ALL, WEAK), passes=0.25)
    found = verdict(short, "systems that it compares")
    assert found.verdict == "not decidable"
    assert "more often right than vgg" in found.reason
    assert "less than one pass over the copies, of the paper's 500: ours, vgg, " in found.reason
    assert unfinished(short, ["ours", "vgg"]) == ["ours, vgg (0.25)"]
    assert unfinished(study({"ours": right()}, passes=1.0), ["ours"]) == []


def test_an_ensemble_stands_for_the_system_whose_networks_it_averages():
    systems = {"ours": right()} | dict.fromkeys([*ALL, "pk"], WEAK)
    systems.pop("pramerdorfer")
    found = verdict(study(systems, {"pk": {"kind": "pramerdorfer_ensemble"}}), "systems that it compares")
    assert found.verdict == "reproduced"


def test_other_systems_of_the_table_are_not_the_papers_claim():
    systems = {"ours": WEAK, "tang": right()} | dict.fromkeys(ALL, right(*range(39)))
    assert verdict(study(systems), "systems that it compares").verdict == "reproduced"


PAIRS = [["image"], ["landmarks"], ["hog"], ["image", "landmarks"], ["image", "hog"], ["landmarks", "hog"]]


def test_the_verdict_on_modalities_wants_every_smaller_set_and_nothing_else_changed():
    blocks = {f"weak{i}": {"kind": "ours", "branches": used} for i, used in enumerate(PAIRS)}
    full = study({"ours": right()} | dict.fromkeys(blocks, WEAK), blocks)
    assert verdict(full, "three modalities").verdict == "reproduced"
    part = study({"ours": right(), "weak0": WEAK}, {"weak0": blocks["weak0"]})
    assert verdict(part, "three modalities").verdict == "not decidable"
    assert verdict(part, "three modalities").reason.endswith(
        "not run: landmarks, hog, image + landmarks, image + hog, landmarks + hog"
    )
    narrower = {"weak0": {"kind": "ours", "branches": ["image"], "dropout": 0.9}}
    other = verdict(study({"ours": right(), "weak0": WEAK}, narrower), "three modalities")
    assert other.reason.startswith("no system to compare with was run; not run: image, landmarks")


def test_as_many_samples_are_as_long_a_training_whatever_ended_it():
    blocks = {"weak0": {"kind": "ours", "branches": ["image"]}}
    run = study({"ours": right(), "weak0": WEAK}, blocks)
    run.details["ours"]["train"] = {"epochs": 1000, "max_minutes": 125.0}
    run.details["weak0"]["train"] = {"epochs": 53, "max_minutes": None}
    assert verdict(run, "three modalities").reason.startswith("more often right than weak0")
    run.trainings["weak0"]["samples_seen"] += 100
    assert verdict(run, "three modalities").reason.startswith("no system to compare with was run")
    assert not verdict(run, "three modalities").tested


def test_hidden_faces_are_compared_with_the_networks_that_the_claim_names():
    found = verdict(study({"ours": right(), "vgg": WEAK, "resnet": WEAK, "svm": right()}), "hidden")
    assert found.verdict == "reproduced"
    assert "vgg (mouth hidden)" in found.reason
    assert "svm" not in found.reason
    assert verdict(study({"ours": right(), "svm": WEAK}), "hidden").verdict == "not decidable"


def test_speed_is_that_of_the_widest_network_of_its_kind():
    run = study({"ours": right(), "wide": right(), "vgg": WEAK, "resnet": WEAK}, latency={"wide": 9.0, "vgg": 5.0})
    run.details["wide"]["trained_params"] = {"kind": "ours", "branches": ["image"]}
    run.details["wide"]["cost"]["parameters"] = 99
    found = verdict(run, "faster")
    assert found.verdict == "not reproduced"
    assert found.reason == "wide takes 9.0 ms a face on one core; as fast or faster: vgg (5.0), resnet (1.0)"


def test_the_papers_accuracy_is_a_claim_where_it_gives_one():
    assert not [v for v in verdicts(study({"ours": right()})) if "overall accuracy" in v.claim]
    assert verdict(study({"ours": right()}, kind="fer2013"), "83.37 %").verdict == "not reproduced"
    assert verdict(study({"ours": right()}, kind="fer2013", passes=0.1), "83.37 %").verdict == "not decidable"


def test_an_accuracy_is_reproduced_if_an_interval_reaches_it():
    low = {"accuracy": 0.6, "accuracy_low": 0.58, "accuracy_high": 0.62}
    high = {"accuracy": 0.8, "accuracy_low": 0.77, "accuracy_high": 0.84}
    assert of_accuracy(0.8337, low, low).verdict == "not reproduced"
    assert of_accuracy(0.8337, low, high).verdict == "reproduced"


def test_speed_is_the_least_latency():
    assert of_speed({"ours": 1.0, "vgg": 2.0}, "ours").verdict == "reproduced"
    assert of_speed({"ours": 3.0, "vgg": 2.0}, "ours").verdict == "not reproduced"
    assert of_speed({"ours": 3.0}, "ours").verdict == "not decidable"
    assert of_speed({"ours": 1.0, "agrawal": 2.0}, "ours", absent=["VGG"]).verdict == "not decidable"


def test_no_difference_decides_nothing():
    tests = paired_tests({"ours": right(), "even": right(1, 2)}, "ours")
    assert of_tests("c", tests).verdict == "not decidable"
    assert of_tests("c", tests).reason == "no difference shown to even"
    assert of_tests("c", tests[:0]).verdict == "not decidable"


def test_faces_by_condition_are_a_row_each():
    table = by_condition(faces(right(3)))
    assert table.shape == (FACES, 6)
    assert not table.loc[3].any()
    assert table.drop(index=3).all(axis=None)


@pytest.mark.parametrize("gap", ["wins", "losses"])
def test_a_loss_counts_even_where_other_systems_were_not_run(gap):
    systems = {"ours": right(), "vgg": WEAK} if gap == "wins" else {"ours": WEAK, "vgg": right()}
    expected = {"wins": "not decidable", "losses": "not reproduced"}[gap]
    assert verdict(study(systems), "systems that it compares").verdict == expected
