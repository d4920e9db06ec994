"""Where a run comes from: the commit, and the hash of the inputs of its stage."""

import subprocess

import pytest

from mmfer.tracking import stage_run
from mmfer.tracking.provenance import inputs_hash
from tests.tracking.runs import runs_of

DVC_YAML = """
stages:
  clean:
    foreach: ${datasets}
    do:
      cmd: python -m stages.clean ${key}
      deps: ["data/${key}/raw", mmfer/face/clean.py]
      outs: ["data/${key}/clean"]
  train:
    matrix: {dataset: "${datasets}", system: "${systems}"}
    cmd: python -m stages.train ${item.dataset} ${item.system}
    deps: ["data/${item.dataset}/clean", "data/${item.dataset}/tables", mmfer/training/loop.py]
    outs: ["data/${item.dataset}/models/${item.system}"]
  augment:
    foreach: [one, two]
    do:
      cmd: python -m stages.augment ${item}
      deps: ["data/${item}/clean"]
  evaluate:
    matrix: {dataset: "${datasets}", system: "${systems}"}
    cmd: python -m stages.evaluate ${item.dataset} ${item.system}
    deps: ["data/${ item.dataset }/models/${ item.system }/model.json"]
"""
DVC_LOCK = """
schema: '2.0'
stages:
  clean@one:
    cmd: python -m stages.clean one
    deps: [{path: data/one/raw, md5: 0a.dir}]
    outs: [{path: data/one/clean, hash: md5, md5: 1a.dir, nfiles: 3}]
  clean@two:
    cmd: python -m stages.clean two
    outs: [{path: data/two/clean, hash: md5, md5: 2a.dir, nfiles: 3}]
  count@one:
    cmd: python -m stages.count one
    outs: [{path: data/one/tables/count.csv, hash: md5, md5: 3a}]
  train@one-ours:
    cmd: python -m stages.train one ours
    deps: [{path: data/one/clean, md5: previous.dir}]
    outs: [{path: data/one/models/ours, hash: md5, md5: 4a.dir, nfiles: 2}]
"""


def test_the_git_commit_is_that_of_the_current_folder(client):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    head = subprocess.run([*git, "log", "--format=%H"], check=True, capture_output=True, text=True).stdout.strip()
    with stage_run("train", "one", {}):
        pass
    assert runs_of(client)["one train"].data.tags["mlflow.source.git.commit"] == head


def test_inputs_hash_covers_the_recorded_outputs_that_the_stage_reads(tmp_path):
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    (tmp_path / "dvc.lock").write_text(DVC_LOCK)
    # printf 'data/one/clean 1a.dir\ndata/one/tables/count.csv 3a' | sha256sum, and so on
    assert inputs_hash("train", "one", "ours", tmp_path) == "2a813c6a535f"
    assert inputs_hash("train", "two", "ours", tmp_path) == "f049555704e3"
    assert inputs_hash("augment", "two", None, tmp_path) == "f049555704e3"
    assert inputs_hash("evaluate", "one", "ours", tmp_path) == "99084f5b465c"


def test_inputs_hash_follows_the_inputs_and_not_the_previous_execution(tmp_path):
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    before = []
    for lock in (
        DVC_LOCK,
        DVC_LOCK.replace("previous", "other"),
        DVC_LOCK.replace("2a", "2b"),
        DVC_LOCK.replace("1a", "1b"),
    ):
        (tmp_path / "dvc.lock").write_text(lock)
        before.append(inputs_hash("train", "one", "ours", tmp_path))
    assert before[0] == before[1] == before[2] != before[3]


@pytest.mark.parametrize("lock", [None, "", "schema: '2.0'\n", DVC_LOCK])
def test_inputs_hash_is_none_where_nothing_is_recorded(tmp_path, lock):
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    if lock is not None:
        (tmp_path / "dvc.lock").write_text(lock)
    assert inputs_hash("clean", "one", None, tmp_path) is None
    assert inputs_hash("nosuch", "one", None, tmp_path) is None


def test_the_inputs_are_tagged(client, tmp_path):
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    (tmp_path / "dvc.lock").write_text(DVC_LOCK)
    with stage_run("train", "one", {}, "ours"):
        pass
    assert runs_of(client)["ours one train"].data.tags["dvc_inputs"] == inputs_hash("train", "one", "ours", tmp_path)
