"""Verdicts on the paper's claims against hand-made studies."""

import json

import numpy as np
import pandas as pd
import pytest

from mmfer.report.comparison import HARDER, Answers, paired_tests
from mmfer.report.results import Study
from mmfer.report.verdicts import (
    Reservations,
    over_trainings,
    span,
    unfinished,
    verdict_of_tests,
    verdict_on_accuracy,
    verdict_on_speed,
    verdicts,
)
from mmfer.testing.statistics import Difference
from tests.report.test_comparison import once, right

FACES = 40


WEAK, SEEDS = right(*range(20)), [0, 1, 2]
ALL = ("vgg", "resnet", "pramerdorfer", "agrawal", "svm", "shan")


def answered(hits, seeds):
    """The columns of faces.parquet for a system that gives the same answers in each training."""
    classes = np.where(hits, 0, 1)
    return {"label": 0, "subject": None, "averaged": classes} | {f"seed_{seed}": classes for seed in seeds}


def study(right_by_system, blocks=None, passes=2.0, kind="made", latency=None, seeds=SEEDS, at_chance=()):
    """A study in which each system is a network that saw `passes` times the 100 rows that it trains on."""
    blocks = {"ours": {"kind": "ours", "branches": ["image", "landmarks", "hog"]}} | (blocks or {})
    details = {
        name: {
            "kind": kind,
            "whole": {"chance": {"above": name not in at_chance}},
            "trained": {"epochs": 1},
            "trained_params": blocks.get(name, {"kind": name}),
            "train": {},
            "training": {"samples_seen": 100 * passes, "models": 1, "passes": passes},
            "cost": {"latency_ms": (latency or {}).get(name, 1.0), "parameters": 10},
        }
        for name in right_by_system
    }
    tables = {
        name: pd.DataFrame(answered(hits, seeds) | {"row": range(FACES), "kept": right(39)})
        for name, hits in right_by_system.items()
    }
    perturbed = {
        name: pd.concat([table.assign(condition=condition) for condition in ["clean", *HARDER]], ignore_index=True)
        for name, table in tables.items()
    }
    return Study(details, tables, {}, perturbed, reference="ours", baseline="ours")


def verdict(of, about):
    return next(v for v in verdicts(of) if about in v.claim)


def test_a_claim_is_reproduced_where_all_that_it_names_are_beaten():
    found = verdict(study({"ours": right()} | dict.fromkeys(ALL, WEAK)), "systems that it compares")
    assert found.verdict == "reproduced"
    assert "more often right than vgg, resnet" in found.reason


def test_a_claim_is_not_reproduced_where_one_of_them_is_better():
    found = verdict(study({"ours": WEAK} | dict.fromkeys(ALL, WEAK) | {"shan": right()}), "systems that it compares")
    assert found.verdict == "not reproduced"
    assert "less often right than shan" in found.reason


def test_a_win_over_some_of_them_is_not_enough():
    systems = {"ours": right()} | dict.fromkeys(ALL, WEAK) | {"shan": right(1)}
    found = verdict(study(systems), "systems that it compares")
    assert found.verdict == "not decidable"
    assert found.reason.endswith("no difference shown to shan")


@pytest.mark.parametrize("seeds", [[0], [0, 1]])
def test_fewer_than_three_trainings_speak_of_these_networks_alone(seeds):
    won = study({"ours": right()} | dict.fromkeys(ALL, WEAK), seeds=seeds)
    assert verdict(won, "systems that it compares").verdict == "reproduced by these networks"
    lost = study({"ours": WEAK} | dict.fromkeys(ALL, right()), seeds=seeds)
    assert verdict(lost, "systems that it compares").verdict == "not reproduced by these networks"
    assert verdict(study({"ours": right()}, kind="fer2013", seeds=seeds), "83.37 %").verdict.endswith("these networks")


def test_a_verdict_states_the_effect_on_what_is_hardest_to_beat_and_what_it_rests_on():
    systems = {"ours": right(), "vgg": WEAK, "resnet": right(*range(8))}
    found = verdict(study(systems), "systems that it compares")
    assert found.against == "resnet"
    assert found.effect[0] == pytest.approx(0.2)
    assert found.effect[1] < 0.2 < found.effect[2]
    assert found.effect_text.startswith("+20.0 points [+")
    assert found.effect_text.endswith("] against resnet")
    assert (found.seeds, found.faces, found.passes) == ("3", FACES, "2")
    assert json.loads(json.dumps(found.to_json()))["effect_text"] == found.effect_text


def test_a_span_is_the_least_and_the_most():
    assert span([3, 10, 5], "d") == "3–10"
    assert span([2, 2], "d") == "2"
    assert span([], "d") == "–"


def test_a_claim_about_systems_that_were_not_run_is_not_decidable():
    found = verdict(study({"ours": right(), "vgg": WEAK}), "systems that it compares")
    assert found.verdict == "not decidable"
    assert "not run: ResNet, Pramerdorfer & Kampel, Agrawal & Mittal, SVM, Shan et al." in found.reason


def test_nothing_is_concluded_from_a_system_at_chance():
    part = study({"ours": right()} | dict.fromkeys(ALL, WEAK), at_chance=["vgg"])
    found = verdict(part, "systems that it compares")
    assert found.verdict == "not decidable"
    assert "more often right than resnet, pramerdorfer" in found.reason
    assert found.reason.endswith("not shown to be above chance, so that nothing is concluded from them: vgg")
    hidden = verdict(part, "hidden")
    assert hidden.verdict == "not decidable"
    assert "vgg (" not in hidden.reason
    alone = verdict(study({"ours": right(), "vgg": WEAK, "resnet": WEAK}, at_chance=["vgg", "resnet"]), "hidden")
    assert (alone.verdict, alone.effect, alone.tested) == ("not decidable", None, True)


def test_a_reference_at_chance_decides_nothing():
    part = study({"ours": WEAK} | dict.fromkeys(ALL, right()), at_chance=["ours"], kind="fer2013")
    for about in ("systems that it compares", "hidden", "83.37 %"):
        assert verdict(part, about).verdict == "not decidable"


def test_networks_that_saw_less_than_one_pass_decide_nothing_but_the_tests_are_stated():
    short = study({"ours": right()} | dict.fromkeys(ALL, WEAK), passes=0.25)
    found = verdict(short, "systems that it compares")
    assert found.verdict == "not decidable"
    assert "more often right than vgg" in found.reason
    assert "less than one pass over the training rows, of the paper's 500: ours, vgg, " in found.reason
    assert unfinished(short, ["ours", "vgg"]) == ["ours, vgg (0.25)"]
    assert unfinished(study({"ours": right()}, passes=1.0), ["ours"]) == []
    lost = study({"ours": WEAK} | dict.fromkeys(ALL, right()), passes=0.25)
    assert verdict(lost, "systems that it compares").verdict == "not decidable"


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
    run.details["weak0"]["training"]["samples_seen"] += 100
    assert verdict(run, "three modalities").reason.startswith("no system to compare with was run")
    assert not verdict(run, "three modalities").tested


def test_hidden_faces_are_compared_with_the_networks_that_the_claim_names():
    found = verdict(study({"ours": right(), "vgg": WEAK, "resnet": WEAK, "svm": right()}), "hidden")
    assert found.verdict == "reproduced"
    assert "vgg (mouth hidden)" in found.reason
    assert "svm" not in found.reason
    assert found.faces == FACES
    assert verdict(study({"ours": right(), "svm": WEAK}), "hidden").verdict == "not decidable"


def test_a_reference_without_robustness_is_not_compared_on_hidden_faces():
    part = study({"ours": right(), "vgg": WEAK, "resnet": WEAK})
    part.perturbed.pop("ours")
    found = verdict(part, "hidden")
    assert (found.verdict, found.tested) == ("not decidable", False)


def test_speed_is_that_of_the_widest_network_of_its_kind():
    run = study({"ours": right(), "wide": right(), "vgg": WEAK, "resnet": WEAK}, latency={"wide": 9.0, "vgg": 5.0})
    run.details["wide"]["trained_params"] = {"kind": "ours", "branches": ["image"]}
    run.details["wide"]["cost"]["parameters"] = 99
    found = verdict(run, "faster")
    assert found.verdict == "not reproduced"
    assert found.reason == "wide takes 9.0 ms a face on one core; as fast or faster: vgg (5.0), resnet (1.0)"
    assert found.effect_text == "9.0 times the time of resnet"


def test_the_papers_accuracy_is_a_claim_where_it_gives_one():
    assert not [v for v in verdicts(study({"ours": right()})) if "overall accuracy" in v.claim]
    assert verdict(study({"ours": WEAK}, kind="fer2013"), "83.37 %").verdict == "not reproduced"
    assert verdict(study({"ours": right(1)}, kind="fer2013"), "83.37 %").verdict == "reproduced"
    assert verdict(study({"ours": WEAK}, kind="fer2013", passes=0.1), "83.37 %").verdict == "not decidable"


def test_the_accuracy_of_faces_found_is_that_of_these_alone():
    found = verdict(study({"ours": right(39)}, kind="fer2013"), "83.37 %")  # the face that is not kept is wrong
    assert "whole test set 97.50 %" in found.reason
    assert "faces found 100.00 % [100.00, 100.00]" in found.reason


def test_an_accuracy_is_reproduced_if_it_reaches_the_claim_and_open_if_only_its_interval_does():
    low, high = Difference(0.6, 0.58, 0.62, 0.0), Difference(0.8, 0.77, 0.84, 0.0)
    missed = verdict_on_accuracy(0.8337, {"whole": low, "found": low})
    assert missed.verdict == "not reproduced"
    assert missed.effect == pytest.approx((-0.2337, -0.2537, -0.2137))
    reached = verdict_on_accuracy(0.8337, {"whole": low, "found": high})
    assert reached.verdict == "not decidable"
    assert reached.effect_text == "-3.4 points [-6.4, +0.6] against the claim"
    assert verdict_on_accuracy(0.8, {"whole": high}).verdict == "reproduced"
    assert verdict_on_accuracy(0.8, {"whole": high}, over_seeds=False).verdict == "reproduced by these networks"


def test_an_accuracy_with_reservations_decides_nothing():
    noise = Difference(0.6, -0.1, 1.3, 0.2)
    for claimed in (0.5, 0.99):
        found = verdict_on_accuracy(claimed, {"whole": noise}, reservations=Reservations(few=["ours (0.5)"]))
        assert found.verdict == "not decidable"
    assert "whole 60.00 % [0.00, 100.00]" in found.reason


def test_an_accuracy_over_trainings_has_their_spread_in_its_interval():
    hits = np.zeros((3, 100), dtype=bool)
    for row, count in zip(hits, (60, 70, 80), strict=True):
        row[:count] = True
    one = over_trainings(Answers(hits[1], hits[:1], random=True), None)
    three = over_trainings(Answers(hits[1], hits, random=True), None)
    assert (one.difference, three.difference) == pytest.approx((0.7, 0.7))
    assert three.high - three.low > 1.3 * (one.high - one.low)


def test_speed_is_the_least_latency():
    assert verdict_on_speed({"ours": 1.0, "vgg": 2.0}, "ours").verdict == "reproduced"
    assert verdict_on_speed({"ours": 3.0, "vgg": 2.0}, "ours").verdict == "not reproduced"
    assert verdict_on_speed({"ours": 3.0}, "ours").verdict == "not decidable"
    assert verdict_on_speed({"ours": 1.0, "agrawal": 2.0}, "ours", absent=["VGG"]).verdict == "not decidable"
    assert verdict_on_speed({"ours": 1.0, "vgg": 2.0}, "ours").ratio == 0.5


def test_no_difference_decides_nothing():
    tests = paired_tests({"ours": once(), "even": once(1, 2)}, "ours")
    assert verdict_of_tests("c", tests).verdict == "not decidable"
    assert verdict_of_tests("c", tests).reason == "no difference shown to even"
    assert verdict_of_tests("c", tests[:0]).verdict == "not decidable"
    assert not verdict_of_tests("c", tests[:0]).tested
    assert (
        verdict_of_tests("c", tests, Reservations(absent=["VGG"])).reason == "no difference shown to even; not run: VGG"
    )


@pytest.mark.parametrize("gap", ["wins", "losses"])
def test_a_loss_counts_even_where_other_systems_were_not_run(gap):
    systems = {"ours": right(), "vgg": WEAK} if gap == "wins" else {"ours": WEAK, "vgg": right()}
    expected = {"wins": "not decidable", "losses": "not reproduced"}[gap]
    assert verdict(study(systems), "systems that it compares").verdict == expected


def test_rendered_faces_decide_nothing_about_the_paper():
    systems = {"ours": right(39), "vgg": right(4)}
    real, rendered = (verdicts(study(systems, kind=kind)) for kind in ("fer2013", "synthetic"))
    assert {found.verdict for found in rendered} == {"not decidable"}
    assert all(found.reason.startswith("the faces are rendered, ") for found in rendered)
    assert not any("rendered" in found.reason for found in real)
