"""Trainings away from the pipeline: order, resumes, shared lists, faults, and the way home."""

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.numpy import load_file
from typer.testing import CliRunner

from mmfer.cli import app
from mmfer.config import HideParams, read_params
from mmfer.data.faceset import open_faceset
from mmfer.errors import MmferError
from mmfer.face import shape_predictor
from mmfer.face.hide import write_hidden
from mmfer.face.pack import write_pack
from mmfer.training import bundles, campaign, loop, sources
from mmfer.training.models import NETWORK
from tests.faces import write_faces
from tests.forks import ROOT, start
from tests.tiny import write_tiny

PARAMS = {
    "defaults": {
        "clean": {},
        "hide": {},
        "augment": {"copies": 3, "mirror": 0.0},
        "extract": {},
        "train": {"epochs": 2, "batch_size": 16, "seeds": [0, 1], "precision": "float32", "mixup": 0.0},
        "evaluate": {},
        "perturb": {},
    },
    "datasets": {
        "tiny": {"source": {"kind": "synthetic"}}
        | {block: {} for block in ("clean", "hide", "augment", "extract", "train", "evaluate", "perturb")}
    },
    "systems": {
        "agrawal": {"filters": [2, 2]},
        "net": {
            "kind": "compact", "channels": [4, 8], "blocks": 1, "landmarks_hidden": [8], "hog_hidden": [8],
            "train": {"seeds": [0]},
        },
    },
    "study": {},
}  # fmt: skip
BLOCKED = [
    "dlib",
    "dvc",
    "mlflow",
    "matplotlib",
    "sklearn",
    "skops",
    "onnxruntime",
    "PIL",
    "skimage",
]
ORDER = {"trainings": [{"dataset": "tiny", "system": "agrawal", "seeds": [1]}, {"dataset": "tiny", "system": "net"}]}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with data/tiny, its pack, parameters and an order. Only to read."""
    folder = tmp_path_factory.mktemp("home")
    write_tiny(folder / "data" / "tiny")
    write_pack(folder / "data" / "tiny", folder / "tiny.pack")
    (folder / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    (folder / "order.yaml").write_text(yaml.safe_dump(ORDER))
    return folder


def _command(home, out, *options, source="tiny.pack", order="order.yaml"):
    where = ["--params", str(home / "params.yaml"), "--order", str(home / order), "--out", str(out), "--probe", "0"]
    return ["train", str(home / source), *where, *map(str, options)]


def _with(first, command):
    """Arguments of Python: the command, after some lines."""
    code = f"{first}\nfrom mmfer.training import loop\nloop.SAVE_SECONDS = 0.0\nfrom mmfer.cli import main\nmain()"
    return ["-c", code, *command]


def _train(*args, **kwargs):
    """The command within this process -> exit code, output, errors; `run_app` makes a line and 2 of a fault."""
    result = CliRunner().invoke(app, _command(*args, **kwargs))
    if isinstance(result.exception, MmferError):
        return 2, result.stdout, f"error: {result.exception}\n"
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained(home, tmp_path_factory):
    """A campaign that ran through, from the pack, with zips, without BLOCKED: its folder, its output."""
    out = tmp_path_factory.mktemp("elsewhere") / "out"
    first = f"import sys; sys.modules |= dict.fromkeys({BLOCKED})"
    command = [sys.executable, *_with(first, _command(home, out, "--zips", out / "zips", "--zip-mib", 1))]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}  # as the tests run themselves
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def _weights(out):
    return {path.parent.name: load_file(path) for path in out.glob("*/*.safetensors")}


def _equal(one, other):
    return one.keys() == other.keys() and all(
        np.array_equal(one[run][name], other[run][name]) for run in one for name in one[run]
    )


def test_trainings_follow_the_list_and_the_table_says_what_they_took(trained):
    out, said = trained
    table = pd.read_csv(out / "campaign.csv")
    assert list(zip(table["system"], table["seed"], strict=True)) == [("agrawal", 1), ("net", 0)]
    assert list(table["state"]) == ["done", "done"]
    # 36 training faces, of which a tenth was not kept, three copies each, in whole batches
    index = pd.read_parquet(next(out.glob("data/tiny-*/augmented/index.parquet")))
    rows = int((index["split"] == "train").sum())
    assert list(table["samples"]) == 2 * [2 * (rows // 16) * 16]
    assert set(table["device"]) == {"cpu"}
    assert (table["samples_per_second"] > 0).all()
    assert said.index("[1/2] tiny agrawal seed1") < said.index("[2/2] tiny net seed0")


def test_what_is_done_is_skipped(home, trained):
    out, _ = trained
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/model.json")}
    code, said, _ = _train(home, out)
    assert code == 0
    assert "0 of 2 trainings are left: 0 samples" in said
    assert before == {path: path.stat().st_mtime_ns for path in out.glob("*/model.json")}


def test_a_killed_training_goes_on_to_the_same_weights(home, trained, tmp_path):
    job = start(*_with("", _command(home, tmp_path / "out")))
    for line in job.out:
        if line.startswith("epoch 1"):  # of the first training; within its second epoch
            os.kill(job.pid, signal.SIGKILL)
            break
    assert job.ended()[0] == -signal.SIGKILL
    assert list((tmp_path / "out").glob("*.pt"))
    code, said, err = _train(home, tmp_path / "out")
    assert code == 0, err
    assert "resuming after epoch" in said + err
    assert _equal(_weights(tmp_path / "out"), _weights(trained[0]))


def test_a_pause_says_so_and_goes_on_to_the_same_weights(home, trained, tmp_path):
    code, _, err = _train(home, tmp_path / "out", "--minutes", 0.0001)
    assert code == 2
    assert "the time is over; the same command goes on from there" in err
    assert "Traceback" not in err
    assert list(pd.read_csv(tmp_path / "out" / "campaign.csv")["state"]) == ["paused", "waits"]
    code, _, err = _train(home, tmp_path / "out")
    assert code == 0, err
    assert _equal(_weights(tmp_path / "out"), _weights(trained[0]))


def test_processes_on_one_folder_share_the_list(home, trained, tmp_path):
    both = [start("-m", "mmfer", *_command(home, tmp_path / "out")) for _ in range(2)]
    ended = [job.ended() for job in both]
    assert [code for code, _, _ in ended] == [0, 0], ended
    epochs = sum(out.count("epoch 1 ") for _, out, _ in ended)
    assert epochs == 2  # each of the two trainings once
    assert _equal(_weights(tmp_path / "out"), _weights(trained[0]))


def test_a_lock_stays_one_lock(tmp_path):
    with campaign.claimed(tmp_path / "lock") as mine, campaign.claimed(tmp_path / "lock") as other:
        assert (mine, other) == (True, False)
    with campaign.claimed(tmp_path / "lock") as again:
        assert again
        assert (tmp_path / "lock").exists()


def test_a_training_that_fails_does_not_stop_the_others(home, tmp_path):
    code, _, err = _train(home, tmp_path / "out", "--set", "systems.agrawal.train.weight_decay=1.0e+30")
    assert code == 1
    assert "error: tiny agrawal seed1: training: the loss is nan" in err
    assert list(pd.read_csv(tmp_path / "out" / "campaign.csv")["state"]) == ["waits", "done"]


def test_an_estimator_that_refuses_its_faces_does_not_stop_the_others(home, tmp_path, monkeypatch):
    train_model = campaign.train_model

    def refused(folder, training, *rest):
        if training.facts["system"] == "agrawal":
            raise MmferError("Svm: 3 faces do not suit it: n_components=128 must be less")
        train_model(folder, training, *rest)

    monkeypatch.setattr(campaign, "train_model", refused)
    code, _, err = _train(home, tmp_path / "out")
    assert code == 1
    assert "error: tiny agrawal seed1: Svm: 3 faces do not suit it: n_components=128 must be less" in err
    assert list(pd.read_csv(tmp_path / "out" / "campaign.csv")["state"]) == ["waits", "done"]


def test_zips_keep_to_their_size_and_number_and_further_ones_come_by_their_numbers(trained, tmp_path, capsys):
    out, _ = trained
    folders = bundles._models(out)
    assert {path.name for path in (out / "zips").iterdir()} == {"campaign.csv", "models-0.zip"}
    assert campaign_runs(out / "zips" / "models-0.zip") == {folder.name for folder in folders}
    limit = max((folder / NETWORK).stat().st_size for folder in folders) + 4096
    bundles.bundle(folders, tmp_path / "all", limit)
    assert len(list((tmp_path / "all").iterdir())) > 1
    assert all(path.stat().st_size <= limit for path in (tmp_path / "all").iterdir())
    assert capsys.readouterr().out == ""
    bundles.bundle(folders, tmp_path / "some", limit, count=1)
    assert (
        f"{len(list((tmp_path / 'all').iterdir())) - 1} more zips are needed, from number 1 on"
        in capsys.readouterr().out
    )
    bundles.bundle(folders, tmp_path / "next", limit, count=1, first=1)
    for folder, number in (("some", 0), ("next", 1)):
        (file,) = (tmp_path / folder).iterdir()
        assert file.name == f"models-{number}.zip"
        assert file.read_bytes() == (tmp_path / "all" / file.name).read_bytes()


def test_the_first_zip_has_the_curves_of_all(trained, tmp_path):
    folders = bundles._models(trained[0])
    light = [folder / name for folder in folders for name in bundles.LIGHT if (folder / name).exists()]
    takes = sum(file.stat().st_size + bundles.HEADS for file in light)
    weights = next(folder / name for folder in folders for name in bundles.WEIGHTS if (folder / name).exists())
    bundles.bundle(folders, tmp_path, takes + weights.stat().st_size + bundles.HEADS - 1, count=1)
    with zipfile.ZipFile(tmp_path / "models-0.zip") as archive:
        assert set(archive.namelist()) >= {f"{file.parent.name}/{file.name}" for file in light}


def test_weights_larger_than_a_zip_come_home_in_pieces(trained, tmp_path, capsys):
    folders = bundles._models(trained[0])
    bundles.bundle(folders, tmp_path / "zips", 26_000)
    zips = sorted((tmp_path / "zips").iterdir())
    assert all(path.stat().st_size <= 26_000 for path in zips)
    names = [name for path in zips for name in zipfile.ZipFile(path).namelist()]
    assert [name for name in names if name.endswith(".safetensors.1of2")]
    bundles.unpack(zips[::-1], tmp_path / "in")
    assert _equal(_weights(tmp_path / "in"), _weights(trained[0]))
    capsys.readouterr()
    last = next(path for path in zips if any(".2of2" in name for name in zipfile.ZipFile(path).namelist()))
    kept = bundles.unpack([path for path in zips if path != last], tmp_path / "some")
    assert len(kept) < len(folders)
    assert "not whole; give all zips at once" in capsys.readouterr().out


def campaign_runs(file):
    with zipfile.ZipFile(file) as archive:
        return {name.partition("/")[0] for name in archive.namelist() if name.endswith(".safetensors")}


def _at_home(home, folder, code, *args):
    store = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_TRACKING_URI": f"file:{folder / 'mlruns'}"}
    return start("-m", code, *args, folder=folder, **store).ended()


def test_what_was_trained_elsewhere_is_the_train_stages(home, trained, tmp_path):
    out, _ = trained
    (tmp_path / "data").symlink_to(home / "data")
    here = {**PARAMS, "defaults": PARAMS["defaults"] | {"train": PARAMS["defaults"]["train"] | {"precision": "auto"}}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(here))
    code, said, err = _at_home(home, tmp_path, "mmfer", "unpack", str(out / "zips" / "models-0.zip"))
    assert code == 0, err
    assert said.count(": fits\n") == 2
    code, said, err = _at_home(home, tmp_path, "stages.train", "tiny", "net")
    assert code == 0, err
    assert "0 trained, 1 taken as they were" in said
    run = next(run for run, weights in _weights(out).items() if _facts(out / run)["system"] == "net")
    model = home / "data" / "tiny" / "models" / "net" / "seed0"
    assert _equal({"": load_file(model / NETWORK)}, {"": _weights(out)[run]})
    metrics = tmp_path / "metrics" / "tiny" / "net"
    assert json.loads((metrics / "train.json").read_text())["execution"] == _facts(out / run)["execution"]
    assert len(pd.read_csv(metrics / "curves.csv")) == 2
    logged = next((tmp_path / "mlruns").rglob("metrics/train/loss")).read_text().splitlines()
    assert len(logged) == 2  # an epoch each


def _facts(folder):
    return json.loads((folder / "model.json").read_text())


RUN = "a" * 24
WEIGHTS = b"weights"


def zipped(model_json, weights=f"{RUN}/model.safetensors", **options):
    """A zip of one model, as an attacker could make it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        archive.writestr(f"{RUN}/model.json", model_json if isinstance(model_json, bytes) else json.dumps(model_json))
        archive.writestr(weights, WEIGHTS)
    return file.getvalue()


def encrypted(content):
    """A zip whose members say that they are encrypted."""
    marked = bytearray(content)
    for head, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        place = marked.find(head)
        while place >= 0:
            marked[place + flags] |= 1
            place = marked.find(head, place + 4)
    return bytes(marked)


@pytest.mark.parametrize(
    "content",
    [
        zipped([]),
        zipped(b"[" * 200_000),
        zipped({}),
        zipped({"run": RUN, "files": hashlib.sha256(WEIGHTS).hexdigest()}),
        zipped({}, f"{RUN}/model.safetensors.1of{'9' * 5000}"),
        zipped({}, compression=zipfile.ZIP_DEFLATED),  # so might a bomb be
        encrypted(zipped({})),
    ],
    ids=["list", "deep", "empty", "bare", "digits", "compressed", "encrypted"],
)
def test_a_hostile_zip_of_models_is_refused_in_a_line_and_nothing_of_it_stays(content, tmp_path):
    (tmp_path / "models.zip").write_bytes(content)
    with pytest.raises(MmferError, match=r"models\.zip: "):
        bundles.unpack([tmp_path / "models.zip"], tmp_path / "in")
    assert not list(tmp_path.glob("in/*"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_facts_of_a_model_in_one_zip_none_is_taken(tmp_path):
    file = io.BytesIO(zipped({}))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(f"{RUN}/model.json", "{}")
    (tmp_path / "models.zip").write_bytes(file.getvalue())
    with pytest.raises(MmferError, match=r"models\.zip: damaged \(it has two parts of one name\)"):
        bundles.unpack([tmp_path / "models.zip"], tmp_path / "in")


def test_a_pipe_in_place_of_a_zip_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "models.zip")
    kept = os.open(tmp_path / "models.zip", os.O_RDWR)  # so that whoever opens it does not wait for ever
    with pytest.raises(MmferError, match=r"models\.zip: damaged \(no file\)"):
        bundles.unpack([tmp_path / "models.zip"], tmp_path / "in")
    os.close(kept)


@pytest.mark.parametrize(
    ("key", "value"), [("fold", "x"), ("seed", None), ("train", []), ("dataset", []), ("params", 3), ("made_by", {})]
)
def test_a_model_whose_facts_are_of_another_kind_is_not_unpacked(trained, tmp_path, key, value):
    (model, *_) = bundles._models(trained[0])
    file = shutil.copytree(model, tmp_path / "changed" / model.name) / "model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    with pytest.raises(MmferError, match=rf"{model.name}: damaged \(.*{key}"):
        bundles.unpack([tmp_path / "changed"], tmp_path / "in")


def test_unpack_says_why_a_model_does_not_fit(home, trained, tmp_path):
    (tmp_path / "data").symlink_to(home / "data")
    train = PARAMS["defaults"]["train"] | {"learning_rate": 0.5, "seeds": [0]}
    other = {**PARAMS, "defaults": PARAMS["defaults"] | {"train": train}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(other))
    code, said, err = _at_home(home, tmp_path, "mmfer", "unpack", str(trained[0]))
    assert code == 0, err
    assert "does not fit: other parameters of training" in said  # net
    assert "the parameters have no such fold or seed" in said  # agrawal's seed 1


def test_a_model_without_its_weights_is_left_out_and_a_damaged_one_refused(trained, tmp_path, capsys):
    bundles.bundle(bundles._models(trained[0]), tmp_path / "zips", 5120, count=1)
    with pytest.raises(MmferError, match="no models there"):
        bundles.unpack([tmp_path / "zips" / "models-0.zip"], tmp_path / "in")
    assert "not whole" in capsys.readouterr().out
    good = (trained[0] / "zips" / "models-0.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(good[: len(good) // 2])
    with pytest.raises(MmferError, match="damaged"):
        bundles.unpack([tmp_path / "cut.zip"], tmp_path / "in")
    (model, *_) = bundles._models(trained[0])
    other = shutil.copytree(model, tmp_path / "changed" / model.name) / NETWORK
    content = bytearray(other.read_bytes())
    content[-1] ^= 1
    other.write_bytes(content)
    with pytest.raises(MmferError, match=f"{model.name}: damaged"):
        bundles.unpack([tmp_path / "changed"], tmp_path / "in")
    assert not (tmp_path / "in" / model.name).exists()


def test_systems_that_are_named_are_the_only_ones_of_a_list(home):
    params = read_params(home / "params.yaml")
    entries = campaign.read_order(home / "order.yaml", params, ["net"])
    assert [entry.system for entry in entries] == ["net"]
    assert [entry.system for entry in campaign.read_order(None, params, [])] == ["agrawal", "net"]


@pytest.mark.parametrize(
    ("entry", "options", "message"),
    [
        ({"dataset": "tiny", "system": "nett"}, [], "nett"),
        ({"dataset": "tinny", "system": "net"}, [], "tinny"),
        ({"dataset": "tiny", "system": "net", "seeds": [7]}, [], "seeds [7] are not among"),
        ({"dataset": "tiny", "system": "net"}, ["--set", "defaults.train.epoch=3"], "epoch"),
        ({"dataset": "tiny", "system": "net"}, ["--set", "epochs"], "give KEY=VALUE"),
    ],
)
def test_a_wrong_order_is_one_line(home, trained, tmp_path, entry, options, message):
    (tmp_path / "order.yaml").write_text(yaml.safe_dump({"trainings": [entry]}))
    _refused(_train(home, trained[0], *options, order=tmp_path / "order.yaml"), message)


@pytest.mark.parametrize("fault", ["cut", "changed", "version"])
def test_a_bad_pack_is_one_line(home, tmp_path, fault):
    content = (home / "tiny.pack").read_bytes()
    bad = {
        "cut": content[: len(content) // 2],
        "changed": content[:20000] + bytes([content[20000] ^ 1]) + content[20001:],
        "version": content.replace(b'"format": 3', b'"format": 9'),
    }[fault]
    (tmp_path / "bad.pack").write_bytes(bad)
    _refused(_train(home, tmp_path / "out", source=tmp_path / "bad.pack"), "bad.pack")


def _refused(result, message):
    code, _, err = result
    assert code == 2, err
    assert err.startswith("error: ")
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_full_disk_is_one_line_and_nothing_is_lost(home, trained, tmp_path):
    _train(home, tmp_path / "out", "--minutes", 0.0001)  # makes the data, and a checkpoint
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))"
    code, _, err = start(*_with(limit, _command(home, tmp_path / "out"))).ended()
    assert code == 2
    assert "Traceback" not in err
    assert "free space" in err.splitlines()[-1]
    code, _, err = _train(home, tmp_path / "out")
    assert code == 0, err
    assert _equal(_weights(tmp_path / "out"), _weights(trained[0]))


def test_too_little_memory_for_a_batch_is_a_line_that_names_its_size(home, tmp_path, monkeypatch):
    def step(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(loop, "train_step", step)
    code, _, err = _train(home, tmp_path / "out")
    assert code == 1  # of both trainings
    assert err.count("train.batch_size: batches of 16 do not fit the device's memory; lower it") == 2


def test_a_damaged_checkpoint_is_set_aside(home, trained, tmp_path):
    _train(home, tmp_path / "out", "--minutes", 0.0001)
    (checkpoint,) = (tmp_path / "out").glob("*.pt")
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    code, said, err = _train(home, tmp_path / "out")
    assert code == 0, err
    assert "damaged" in said + err
    assert checkpoint.with_suffix(".damaged").exists()
    assert _equal(_weights(tmp_path / "out"), _weights(trained[0]))


def test_a_damaged_model_is_trained_again(home, trained, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(trained[0], out)
    network = next(out.glob(f"*/{NETWORK}"))
    whole = network.read_bytes()
    network.write_bytes(whole[:1000])
    code, said, _ = _train(home, out)
    assert code == 0
    assert f"{network.parent} is damaged: trained again" in said
    assert network.read_bytes() == whole


def test_two_packs_of_one_data_set_are_refused(home, tmp_path):
    other = tmp_path / "other.pack"
    shutil.copy(home / "tiny.pack", other)
    code, _, err = _train(home, tmp_path / "out", str(other))
    assert code == 2
    assert "other.pack: of the data set tiny, as " in err


def test_what_is_made_of_a_pack_with_other_parameters_takes_no_place(home, trained, tmp_path):
    """Two processes may share a folder: what one reads stays while the other makes its own."""
    out = tmp_path / "out"
    shutil.copytree(trained[0], out)
    (before,) = (out / "data").iterdir()
    params = read_params(home / "params.yaml")
    blocks = params.datasets["tiny"]
    more = blocks.model_copy(update={"augment": blocks.augment.model_copy(update={"copies": 5})})
    params = params.model_copy(update={"datasets": {"tiny": more}})
    data = sources.open_data([home / "tiny.pack"], out, params)
    assert set((out / "data").iterdir()) == {before, data["tiny"]}
    assert len(open_faceset(data["tiny"] / "features")) > len(open_faceset(before / "features"))


@pytest.mark.parametrize(("change", "says"), [("a=[", "--set a=[: "), ("defaults.train", "give KEY=VALUE")])
def test_a_change_that_cannot_be_read_is_one_line(home, tmp_path, change, says):
    code, _, err = _train(home, tmp_path / "out", "--set", change)
    assert code == 2
    assert says in err


def test_no_minutes_train_nothing_and_bring_the_zips_up_to_date(home, trained, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(trained[0], out, ignore=shutil.ignore_patterns("zips"))
    left = next(folder for folder in bundles._models(out) if _facts(folder)["system"] == "net")
    shutil.rmtree(left)
    code, said, err = _train(home, out, "--minutes", 0, "--zips", tmp_path / "zips")
    assert code == 2
    assert "tiny net seed0: the time is over; the same command goes on from there" in err
    assert "epoch" not in said
    assert len(campaign_runs(tmp_path / "zips" / "models-0.zip")) == 1
    assert list(pd.read_csv(tmp_path / "zips" / "campaign.csv")["state"]) == ["done", "waits"]


# Systems that teach others of the list


def _taught(home, tmp_path, teachers=("data/tiny/models/agrawal",)):
    """Parameters of which net is taught, and an order in which it stands first."""
    systems = {"net": PARAMS["systems"]["net"] | {"train": {"seeds": [0], "teachers": list(teachers)}}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({**PARAMS, "systems": PARAMS["systems"] | systems}))
    entries = [{"dataset": "tiny", "system": "net"}, {"dataset": "tiny", "system": "agrawal", "seeds": [1]}]
    (tmp_path / "order.yaml").write_text(yaml.safe_dump({"trainings": entries}))
    return ["--params", str(tmp_path / "params.yaml")], tmp_path / "order.yaml"


def test_a_system_of_the_list_teaches_others_and_is_trained_before_them(home, trained, tmp_path):
    params, order = _taught(home, tmp_path)
    code, said, err = _train(home, tmp_path / "out", *params, order=order)
    assert code == 0, err
    assert said.index("tiny agrawal seed1") < said.index("tiny net seed0")
    table = pd.read_csv(tmp_path / "out" / "campaign.csv")
    assert list(table["system"]) == ["agrawal", "net"]
    assert set(table["state"]) == {"done"}
    facts = {name: _facts(tmp_path / "out" / run) for name, run in zip(table["system"], table["run"], strict=True)}
    assert facts["net"]["taught_by"] == [facts["agrawal"]["files"]]
    assert facts["net"]["train"]["teachers"] == ["data/tiny/models/agrawal"]
    assert facts["net"]["run"] not in _weights(trained[0])
    code, said, err = _train(home, tmp_path / "out", *params, order=order)
    assert code == 0, err
    assert "[1/" not in said


def test_a_teacher_that_failed_leaves_its_student_waiting(home, tmp_path):
    params, order = _taught(home, tmp_path)
    bad = "systems.agrawal.train.weight_decay=1.0e+30"
    code, _, err = _train(home, tmp_path / "out", *params, "--set", bad, order=order)
    assert code == 1
    assert "error: tiny net: waits, for a teacher of it is not trained" in err
    assert list(pd.read_csv(tmp_path / "out" / "campaign.csv")["system"]) == ["agrawal"]


def test_a_teacher_that_is_paused_pauses_its_student(home, tmp_path):
    params, order = _taught(home, tmp_path)
    code, said, err = _train(home, tmp_path / "out", *params, "--minutes", 0.0001, order=order)
    assert code == 2
    assert "net" not in said
    assert "agrawal seed1: training paused after epoch 1" in err


def test_systems_that_teach_each_other_are_refused(home, tmp_path):
    params, order = _taught(home, tmp_path, ["data/tiny/models/net"])
    _refused(_train(home, tmp_path / "out", *params, order=order), "train.teachers: net wait for each other")


def test_what_a_taught_model_is_compared_with_says_which_teachers_are_not_there(home, tmp_path, monkeypatch):
    params, order = _taught(home, tmp_path)
    assert _train(home, tmp_path / "out", *params, order=order)[0] == 0
    monkeypatch.chdir(home)
    found = bundles.unpack([tmp_path / "out"], tmp_path / "in")
    verdicts = bundles.verdicts(found, read_params(tmp_path / "params.yaml"), home / "data")
    said = dict(zip([facts["system"] for facts in found], verdicts, strict=True))
    assert said["agrawal"] == "fits"
    assert said["net"].startswith("not compared: params.yaml: train.teachers: data/tiny/models/agrawal: no model of")


# Hidden faces in a pack


def test_a_pack_brings_hidden_faces_to_where_there_is_no_dlib(tmp_path, monkeypatch):
    data = write_faces(tmp_path / "home")
    hide = HideParams(variants=2)
    write_hidden(data / "raw", data / "clean", data / "hidden", hide, 1)
    write_pack(data, tmp_path / "faces.pack")
    monkeypatch.setitem(sys.modules, "dlib", None)
    monkeypatch.setattr(shape_predictor, "model_file", lambda: pytest.fail("the landmark model was looked for"))
    blocks = {"hide": {"variants": 2}, "augment": {"copies": 3, "hidden": 0.5, "mode": "online"}}
    everything = {**PARAMS, "datasets": {"faces": PARAMS["datasets"]["tiny"] | blocks}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(everything))
    params = read_params(tmp_path / "params.yaml")
    opened = sources.open_data([tmp_path / "faces.pack"], tmp_path / "out", params)
    hidden = open_faceset(opened["faces"] / "hidden")
    np.testing.assert_array_equal(hidden.images, open_faceset(data / "hidden").images)
    entries = campaign.read_order(None, params, ["net"])
    (job,) = campaign.jobs_of(entries, opened, params)
    np.testing.assert_array_equal(job.training.feed.faces.hidden["images"], hidden.images)
    other = params.datasets["faces"].model_copy(update={"hide": HideParams(variants=1)})  # of which the pack has none
    params = params.model_copy(update={"datasets": {"faces": other}})
    monkeypatch.setattr(sources, "write_hidden", Mock(side_effect=MmferError("they are looked for")))
    with pytest.raises(MmferError, match="they are looked for"):
        sources.open_data([tmp_path / "faces.pack"], tmp_path / "out", params)
