"""The kill driver on a toy pipeline: it notices what a killed process left broken, and lets pass what is sound."""

import hashlib
import sys
import zipfile

import pytest

from tools.kill import Attack, drawn, outcome
from tools.small import Undisturbed, differences, undisturbed, varying, without_times

SOUND = """
import os, pathlib, time
target, seen = pathlib.Path("data/made"), pathlib.Path(".dvc/tmp")
for folder in (target.parent, seen):
    folder.mkdir(parents=True, exist_ok=True)
if not target.exists():
    temporary = pathlib.Path("new")
    with temporary.open("w") as file:
        for number in range(10):
            file.write("x" * 100)
            file.flush()
            (seen / str(number)).touch()
            time.sleep(0.05)
    temporary.rename(target)
"""
BROKEN = SOUND.replace('pathlib.Path("new")', "target")  # half a file passes as whole
STRAY = SOUND.replace('"new"', 'f"data/.{os.getpid()}.made"')  # nobody clears up
CALM = Undisturbed(1.0, {"dvc": 10}, {"data/made": hashlib.sha256(b"x" * 1000).hexdigest()})


@pytest.fixture
def project(tmp_path):
    (tmp_path / "project").mkdir()
    (tmp_path / "logs").mkdir()
    return tmp_path / "project"


def attacked(project, code, name="KILL", target="group", moment="dvc", place=0.4):
    """What becomes of a toy pipeline, by the results of the sound one."""
    attack = Attack(0, "first", moment, place, 0.0, name, target, 0.0)
    return outcome(attack, CALM, project, project.parent / "logs", 0.1, (sys.executable, "-c", code))


@pytest.mark.parametrize(
    ("name", "target"), [("KILL", "group"), ("TERM", "worker"), ("INT", "group"), ("STOP", "group")]
)
def test_a_sound_pipeline_survives(project, name, target):
    assert attacked(project, SOUND, name, target) == "survived"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (BROKEN, "data/made differs"),
        (STRAY, "is left over"),
        (SOUND.replace('"w"', '"x"'), "the second command failed"),
    ],
    ids=["broken", "stray", "failed"],
)
def test_what_a_kill_breaks_is_noticed(project, code, said):
    assert said in attacked(project, code)


def test_a_command_of_which_a_process_stays_behind_hangs(project, monkeypatch):
    monkeypatch.setattr("tools.kill.ENDS_S", 0.3)
    stays = "import subprocess; subprocess.Popen(['sleep', '60']);" + SOUND
    assert attacked(project, stays, moment="random", place=30) == "the first command hangs"


def test_who_ends_before_the_moment_has_survived_nothing(project):
    assert attacked(project, SOUND, moment="random", place=60) == "ended before"
    assert attacked(project, SOUND) == "ended before"  # there is nothing to do, and nothing is written


def test_an_undisturbed_run_is_counted(project):
    calm = undisturbed(project, project.parent / "logs/calm", (sys.executable, "-c", SOUND))
    assert (calm.writes["dvc"], calm.results) == (10, CALM.results)


def test_further_runs_of_mlflow_are_no_difference_and_lost_ones_are():
    found = {"data/a": "1", "MLflow: x train, 0": "", "MLflow: x train, 1": ""}
    assert differences(found, {"data/a": "1", "MLflow: x train, 0": ""}) == []
    assert differences({"data/a": "2"}, {"data/a": "1", "data/b": "", "MLflow: x train, 0": ""}) == [
        "MLflow: x train, 0 is missing",
        "data/a differs",
        "data/b is missing",
    ]


@pytest.mark.parametrize(
    ("name", "calm", "later", "wrong"),
    [
        (
            "train.json",
            '{"minutes": 1.5, "correct": 9}',
            '{"minutes": 12, "correct": 9}',
            '{"minutes": 1.5, "correct": 8}',
        ),
        ("history.csv", "epoch,minutes\n1,0.5\n", "epoch,minutes\n1,0.7\n", "epoch,minutes\n2,0.5\n"),
        ("study.md", "It took 3.1 minutes.", "It took 4 minutes.", "He took 3.1 minutes."),
    ],
)
def test_only_named_times_may_differ(tmp_path, name, calm, later, wrong):
    digests = []
    for content in (calm, later, wrong):
        (tmp_path / name).write_text(content)
        with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
            archive.writestr(name, content)
        digests.append((without_times(tmp_path / name), without_times(tmp_path / "study.zip")))
    assert digests[0] == digests[1]
    assert not set(digests[0]) & set(digests[2])


def test_what_undisturbed_runs_write_differently_is_not_compared_but_has_to_be_there():
    expected = varying({"a": "1", "b": "2"}, {"a": "1", "b": "3"})
    assert differences({"a": "1", "b": "9"}, expected) == []
    assert differences({"a": "4"}, expected) == ["a differs", "b is missing"]


def test_an_attack_is_drawn_by_its_number_alone():
    assert drawn(1, 5) == drawn(1, 5) != drawn(2, 5)
    assert {drawn(0, number).signal for number in range(60)} == {"KILL", "TERM", "INT", "STOP"}
