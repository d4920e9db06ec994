"""One training by two processes that torchrun starts, against the same training by one."""

import os
import shutil
import signal
import socket
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

from mmfer.config import AugmentParams, read_params
from mmfer.training.campaign import Terms, read_order, train_list
from mmfer.training.train import train_all
from tests.faces import write_faces
from tests.forks import ROOT, start
from tests.tiny import write_tiny

# With the default epsilon Adam makes whole steps of what is but rounding, and the two drift apart.
TRAIN = {"epochs": 12, "batch_size": 16, "device": "cpu", "precision": "float32", "epsilon": 1e-3}
NORM = {"kind": "compact", "channels": [8, 16], "blocks": 1, "landmarks_hidden": [16], "hog_hidden": [16]}
SYSTEMS = {  # lenet has neither batch norm nor dropout
    "lenet": {},
    "uneven": {"kind": "lenet", "train": {"batch_size": 15, "ema": 0.5}},
    "patient": {"kind": "lenet", "train": {"epochs": 60, "select": "best", "patience": 2}},
    "norm": NORM | {"train": {"ema": 0.5, "epochs": 12, "learning_rate": 0.01, "schedule": "cosine"}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Params and data of two sets: tiny, with stored copies, and faces, whose copies are drawn online."""
    folder = tmp_path_factory.mktemp("processes")
    write_tiny(folder / "data/tiny")
    write_faces(folder / "data/faces", augment=AugmentParams(mode="online", copies=2))
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    defaults = params["defaults"] | {"train": TRAIN}
    sets = {name: {"source": {"kind": "synthetic"}} | {block: {} for block in defaults} for name in ("tiny", "faces")}
    written = params | {"defaults": defaults, "datasets": sets, "systems": SYSTEMS}
    (folder / "params.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")
    order = [{"dataset": "tiny", "system": system} for system in SYSTEMS] + [{"dataset": "faces", "system": "lenet"}]
    (folder / "order.yaml").write_text(yaml.safe_dump({"trainings": order}), encoding="utf-8")
    return folder


def start_both(folder, script, *arguments):
    """torchrun in a folder, which starts a module of the project as two processes."""
    module = script.removesuffix("/__main__.py").removesuffix(".py").replace("/", ".")
    command = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", module, *arguments)
    return start(*command, folder=folder, MLFLOW_TRACKING_URI="none://")


def start_each(folder, script, *arguments):
    """The same two processes without torchrun, which does not tell how each of them ended."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "MLFLOW_TRACKING_URI": "none://"}
    command = ("-m", script.removesuffix(".py").replace("/", "."), *arguments)
    return [start(*command, folder=folder, RANK=str(n), LOCAL_RANK=str(n), **group) for n in range(2)]


def trained(out):
    """Of each training in a folder of a campaign: its weights, its history."""
    table = pd.read_csv(out / "campaign.csv")
    assert (table["state"] == "done").all()
    return {
        f"{row.dataset} {row.system}": (
            load_file(out / row.run / "model.safetensors"),
            pd.read_csv(out / row.run / "history.csv").drop(columns="minutes"),
        )
        for row in table.itertuples()
    }


@pytest.fixture(scope="module")
def one(folder):
    """What one process makes of the list, without the network whose statistics are of the parts of a batch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        params = read_params()
        entries = read_order(Path("order.yaml"), params, [name for name in SYSTEMS if name != "norm"])
        assert not train_list([Path("data/tiny"), Path("data/faces")], params, entries, Terms(Path("one"), probe=0))
        torch.set_num_threads(threads)
    return trained(folder / "one")


@pytest.fixture(scope="module")
def two(folder):
    """What two make of it, and what they print."""
    sources = ("data/tiny", "data/faces")
    options = ("--order", "order.yaml", "--out", "two", "--probe", "0.05")
    code, out, errors = start_both(folder, "mmfer/__main__.py", "train", *sources, *options).ended()
    assert code == 0, errors
    return trained(folder / "two"), out


def assert_close(weights, others, tolerance):
    for name, values in weights.items():
        torch.testing.assert_close(values, others[name], rtol=0, atol=tolerance, msg=lambda t, n=name: f"{n}: {t}")


@pytest.mark.parametrize("training", ["tiny lenet", "tiny uneven", "tiny patient", "faces lenet"])
def test_two_processes_make_the_losses_and_weights_of_one(one, two, training):
    weights, history = one[training]
    others, same = two[0][training]
    pd.testing.assert_frame_equal(history, same, rtol=1e-5, atol=1e-6)
    assert_close(weights, others, 1e-6)


def test_patience_ends_all_processes_at_the_epoch_of_one(one, two):
    assert len(one["tiny patient"][1]) == len(two[0]["tiny patient"][1]) < 60


def test_a_network_with_batch_norm_learns_and_is_measured_with_one_statistic(two):
    _, history = two[0]["tiny norm"]
    assert history["train_loss"].iloc[-1] < 0.6 * history["train_loss"].iloc[0]
    assert history["val_accuracy"].iloc[-1] == 1.0


def test_process_0_alone_prints(two):
    lines = two[1].splitlines()
    assert len([line for line in lines if line.startswith("[1/5] tiny lenet")]) == 1
    assert len([line for line in lines if line.startswith("epoch 1 ")]) == 5


def rank_1(job):
    """Its process, of the children of torchrun."""
    _, found = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()  # as they were started
    return int(found)


def ours(errors):
    return [line for line in errors.splitlines() if line.startswith("error: ")]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds a process in /proc")
def test_a_training_that_paused_and_lost_a_process_goes_on_to_the_same_weights(folder, two, monkeypatch):
    text = (folder / "params.yaml").read_text(encoding="utf-8")
    (folder / "params.yaml").write_text(text.replace("  train:\n", "  train:\n    max_minutes: 1.0e-09\n", 1))
    stage = ("stages/train.py", "tiny", "lenet")
    (code, _, errors), (other, _, further) = (job.ended() for job in start_each(folder, *stage))
    assert (code, other) == (2, 0)  # at the first that fails torchrun ends all, also one that still writes
    (line,) = ours(errors + further)
    assert line.startswith("error: training paused after epoch 1 of 12")
    (folder / "params.yaml").write_text(text)

    lost = start_both(folder, *stage)
    assert any(line.startswith("epoch 3 ") for line in lost.out)
    os.kill(rank_1(lost), signal.SIGKILL)
    code, _, errors = lost.ended()
    assert code != 0
    assert len(ours(errors)) == 1, errors

    monkeypatch.chdir(folder)
    (checkpoint,) = Path(".checkpoints").glob("*.pt")
    kept = checkpoint.read_bytes()
    code, out, errors = start_both(folder, *stage).ended()
    assert code == 0, errors
    assert out.splitlines()[0].startswith("resuming after epoch 2")
    weights = load_file("data/tiny/models/lenet/seed0/model.safetensors")
    assert_close(weights, two[0]["tiny lenet"][0], 0)
    assert errors.count("warning: MLflow") == 1  # there is no store, which process 0 alone looks for
    assert sorted(path.name for path in Path("metrics/tiny/lenet").iterdir()) == ["curves.csv", "train.json"]

    checkpoint.write_bytes(kept)  # and by one process
    shutil.rmtree("data/tiny/models")
    train_all(Path("data/tiny"), ("lenet", {}), read_params().train("tiny", "lenet"), lambda *_: None)
    assert_close(weights, load_file("data/tiny/models/lenet/seed0/model.safetensors"), 1e-6)
