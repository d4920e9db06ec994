"""The fuzz driver notices what it is for, on readers that are wrong in each way; its damage is drawn, and deep."""

import io
import json
import os
import signal
import time
import zipfile

import numpy as np
import pytest
import yaml

from mmfer.errors import MmferError
from tools import fuzz
from tools.damage import damage_folder, damaged
from tools.inputs import KINDS, Kind

TEXT = {"a": 1, "b": ["x", {"c": None}], "d": {"e": 2.5}}


def make(folder):
    (folder / "one.json").write_text(json.dumps(TEXT))
    (folder / "two.bin").write_bytes(bytes(200))


def crash(folder):
    if (folder / "two.bin").read_bytes() != bytes(200):
        os.kill(os.getpid(), signal.SIGKILL)
    return {}


def hang(folder):
    if (folder / "two.bin").read_bytes() != bytes(200):
        time.sleep(1000)
    return {}


KINDS_OF_FAULT = {
    "refuses": (lambda _: _raise(MmferError("one.json: damaged; copy it again")), None, "refused"),
    "fails": (lambda _: _raise(KeyError("a")), None, "KeyError: 'a'"),
    "answers": (lambda _: {"one.json": "1", "other": "2"}, None, "succeeded"),
    "errs": (lambda _: {"one.json": "2", "other": "3"}, None, "wrong answer in silence: other"),
    "errs in what is sealed": (lambda _: {"one.json": "1", "other": "3"}, set(), "wrong answer in silence: other"),
    "loses what is sealed": (lambda _: {"other": "2"}, set(), "wrong answer in silence: one.json"),
    "follows what is free": (lambda _: {"one.json": "1", "other": "3"}, {"one.json"}, "succeeded"),
}


def _raise(error):
    raise error


@pytest.mark.parametrize("name", KINDS_OF_FAULT)
def test_what_a_reader_does_is_told(monkeypatch, tmp_path, name):
    read, free, said = KINDS_OF_FAULT[name]
    monkeypatch.setitem(KINDS, "toy", Kind(make, read, free))
    answer = {"one.json": "1", "other": "2"}
    assert fuzz.attempt("toy", tmp_path, answer, {"one.json"}).strip().splitlines()[-1] == said


def test_time_and_memory_are_bounded(monkeypatch, tmp_path):
    (tmp_path / "intact").mkdir()
    make(tmp_path / "intact")
    (tmp_path / "toy.json").write_text("{}")
    monkeypatch.setitem(KINDS, "toy", Kind(make, lambda _: {"x": str(np.ones(2**23).sum())}))
    task = ("toy", tmp_path / "intact", 0, 0, tmp_path / "damaged")
    assert fuzz.read_damaged(*task) == "succeeded"
    monkeypatch.setattr(fuzz, "MEMORY_MIB", 32)
    assert fuzz.read_damaged(*task).endswith("MiB; succeeded")
    monkeypatch.setattr(fuzz, "HANG_S", 0.0)
    assert fuzz.read_damaged(*task).endswith("s of the processor; succeeded")


@pytest.mark.parametrize(("read", "said"), [(crash, "the interpreter crashed, exit code -9"), (hang, "it hangs")])
def test_a_reader_that_dies_or_hangs_is_replaced(monkeypatch, tmp_path, read, said):
    (tmp_path / "intact").mkdir()
    make(tmp_path / "intact")
    (tmp_path / "toy.json").write_text("{}")
    monkeypatch.setattr(fuzz, "WAIT_S", 2.0)
    monkeypatch.setattr(fuzz.multiprocessing, "get_context", lambda _: fuzz.multiprocessing.context.ForkContext())
    monkeypatch.setitem(KINDS, "toy", Kind(make, read))
    reader = fuzz.Reader("toy", tmp_path / "intact")
    outcomes = [reader.read(0, number, tmp_path / "damaged") for number in range(6)]
    assert set(outcomes) == {said, "succeeded"}
    assert outcomes.index(said) < 5  # others came after it
    assert "succeeded" in outcomes[outcomes.index(said) :]


def test_damage_is_drawn_by_its_seed(tmp_path):
    found = []
    for seed in (1, 1, 2):
        make(tmp_path)
        changed = damage_folder(tmp_path, np.random.default_rng(seed))
        found.append((changed, {file.name: file.read_bytes() for file in tmp_path.iterdir()}))
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    ("suffix", "dump", "load"), [(".json", json.dumps, json.loads), (".yaml", yaml.safe_dump, yaml.safe_load)]
)
def test_values_are_damaged_within_what_can_still_be_read(suffix, dump, load):
    rng, others = np.random.default_rng(0), []
    for _ in range(40):
        try:
            others.append(load(damaged(dump(TEXT).encode(), suffix, rng)))
        except Exception:  # bytes were damaged
            continue
    assert len([other for other in others if other != TEXT]) > 5


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_of_a_zip_are_damaged_under_sums_that_are_right():
    made, rng, whole = io.BytesIO(), np.random.default_rng(0), []
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a.json", json.dumps(TEXT))
        archive.writestr("b.txt", "text")
    for _ in range(40):
        try:
            with zipfile.ZipFile(io.BytesIO(damaged(made.getvalue(), ".zip", rng))) as archive:
                whole.append({name: archive.read(name) for name in archive.namelist()})
        except Exception:  # bytes were damaged
            continue
    plain = {"a.json": json.dumps(TEXT).encode(), "b.txt": b"text"}
    assert len([members for members in whole if members != plain]) > 5
