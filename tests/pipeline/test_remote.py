"""Results shared through a DVC remote: pushed from one clone to an S3 server, pulled into another, nothing to rerun."""

import re
import shutil
import subprocess
import sys
import urllib.request

import pytest
import yaml
from dvc.repo import Repo

from mmfer.data.faceset import open_faceset
from tests.hollow import ROOT, ran, run, write_hollow
from tests.tiny import write_tiny

FACESETS = {"download": "raw", "clean": "clean", "hide": "hidden", "augment": "augmented", "extract": "features"}


@pytest.fixture
def bucket(monkeypatch):
    """The address of an S3 server on this machine, which has the bucket `faces` and forgets it afterwards."""
    pytest.importorskip("dvc_s3", reason="needs dvc-s3")
    pytest.importorskip("moto.server", reason="needs moto[s3] and flask, the S3 server of this test")
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "any")  # moto lets everyone in
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    command = [sys.executable, "-m", "moto.server", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        address = next(found[0] for line in server.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
        urllib.request.urlopen(urllib.request.Request(f"{address}/faces", method="PUT")).close()
        yield address
        server.terminate()


@pytest.fixture
def built(tmp_path):
    """A hollow pipeline, run and committed, whose FaceSets are real ones."""
    root = tmp_path / "built"
    root.mkdir()
    write_hollow(root, (ROOT / "params.yaml").read_text())
    write_tiny(root / "made")
    pipeline = yaml.safe_load((root / "dvc.yaml").read_text())
    for stage, name in FACESETS.items():
        pipeline["stages"][stage]["do"]["cmd"] += f" && cp -r made/{name}/. data/${{key}}/{name}"
    (root / "dvc.yaml").write_text(yaml.safe_dump(pipeline))
    run(root, "dvc", "repro")
    shutil.rmtree(root / "made")
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-qm", "built")
    return root


def test_what_is_pushed_is_pulled_elsewhere_and_nothing_runs_again(built, bucket, tmp_path):
    with (built / ".dvc/config").open("a") as config:
        config.write(f"remote = shared\n['remote \"shared\"']\nurl = s3://faces/store\nendpointurl = {bucket}\n")
    run(built, "git", "commit", "-qam", "a remote")
    with Repo(str(built)) as repo:
        assert repo.push()
    run(tmp_path, "git", "clone", "-q", built, "clone")
    clone = tmp_path / "clone"
    assert not (clone / "data/synthetic/raw").exists()
    with Repo(str(clone)) as repo:
        repo.pull()
    assert _contents(clone) == _contents(built)
    assert len(open_faceset(clone / "data/synthetic/features", needs=("hog",)))
    assert ran(clone, "repro") == set()
    assert run(clone, "git", "status", "--porcelain") == ""


def _contents(root):
    """All that the pipeline wrote, by its path."""
    files = [file for folder in ("data", "metrics") for file in (root / folder).rglob("*") if file.is_file()]
    return {file.relative_to(root): file.read_bytes() for file in files}
