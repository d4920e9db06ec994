"""The stages that make data, under every backend: the same bytes as one worker makes; what is lost is done again."""

import importlib.util
import os

import dask
import joblib
import pytest
from distributed import LocalCluster

from mmfer.config import AugmentParams, CleanParams, ExtractParams, PerturbParams
from mmfer.errors import MmferError
from mmfer.face.augment import write_augmented
from mmfer.face.clean import write_clean
from mmfer.face.extract import write_features
from mmfer.parallel import backend, cores, each, ranges
from mmfer.testing.perturb import write_perturbed
from tests.jobs import dies, dies_once, fails, where

PERTURB = PerturbParams(severities=[1]).model_copy(update={"images": 1})  # fewer than a user may ask for
without_ray = pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="ray is not installed")


@pytest.fixture(scope="module")
def one_worker(face_data, tmp_path_factory):
    """The folders of faces as one worker makes them: `face_data`, and perturbed faces."""
    folder = tmp_path_factory.mktemp("serial") / "perturbed"
    write_perturbed(face_data, folder, PERTURB, 1)
    return {name: face_data / name for name in ("clean", "augmented", "features")} | {"perturbed": folder}


@pytest.fixture(scope="module")
def cluster():
    """Address of a Dask cluster of two processes on this computer."""
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
            yield cluster.scheduler_address


@pytest.fixture
def scheduler(cluster, monkeypatch):
    """That cluster, in the variables by which stages find it."""
    monkeypatch.setenv("MMFER_BACKEND", "dask")
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster)
    dask.config.refresh()  # it has read the variables when it was imported
    yield
    monkeypatch.undo()
    dask.config.refresh()


def written(data, target, workers):
    """The same folders below `target`, made by as many workers of the present backend, of the raw faces of `data`."""
    write_clean(data / "raw", target / "clean", CleanParams(), workers)
    write_augmented(data / "raw", data / "clean", target / "augmented", AugmentParams(copies=4), workers)
    write_features(data / "augmented", data / "clean", target / "features", ExtractParams(), workers)
    write_perturbed(data, target / "perturbed", PERTURB, workers)
    return {name: target / name for name in ("clean", "augmented", "features", "perturbed")}


def differing(folders, others):
    """Files that are not the same in both, byte for byte."""
    pairs = [(file, others[name] / file.name) for name, folder in folders.items() for file in folder.iterdir()]
    assert len(pairs) == 5 + 4 + 5 + 6
    return [str(file) for file, other in pairs if file.read_bytes() != other.read_bytes()]


def test_threads_write_the_bytes_of_one_worker(one_worker, face_data, tmp_path):
    assert not differing(one_worker, written(face_data, tmp_path, 3))


@pytest.mark.usefixtures("scheduler")
def test_two_processes_of_a_dask_cluster_write_the_bytes_of_one_worker(one_worker, face_data, tmp_path):
    with backend(1):
        assert len(set(each(where, [(n,) for n in range(40)], 1, "jobs")) - {os.getpid()}) == 2
        assert not differing(one_worker, written(face_data, tmp_path, 3))


@pytest.mark.parametrize("name", ["loky", pytest.param("ray", marks=without_ray)])
def test_two_processes_write_the_bytes_of_one_worker(face_data, tmp_path, monkeypatch, name):
    monkeypatch.setenv("MMFER_BACKEND", name)
    with backend(2):
        write_features(face_data / "augmented", face_data / "clean", tmp_path / "features", ExtractParams(), 2)
    for file in (face_data / "features").iterdir():
        assert (tmp_path / "features" / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.mark.usefixtures("scheduler")
def test_work_of_a_killed_dask_worker_is_done_again(tmp_path):
    with backend(2):
        assert each(dies_once, [(tmp_path / "marker", n) for n in range(6)], 2, "numbers") == list(range(6))
    assert (tmp_path / "marker").exists()


@pytest.mark.usefixtures("scheduler")
def test_a_job_that_kills_every_dask_worker_is_one_line():
    with backend(2), pytest.raises(MmferError, match=r"^numbers: no workers are left \(KilledWorker: .*run it again$"):
        each(dies, [(1,)], 2, "numbers")


def test_a_killed_process_of_this_computer_is_one_line(tmp_path):
    with joblib.parallel_config("loky"), pytest.raises(MmferError, match=r"numbers: .*TerminatedWorkerError"):
        each(dies_once, [(tmp_path / "marker", n) for n in range(6)], 2, "numbers")


@pytest.mark.parametrize("name", ["threading", "loky"])
def test_an_error_of_a_worker_is_that_of_the_caller(name):
    with joblib.parallel_config(name), pytest.raises(MmferError, match=r"^row 1: damaged$"):
        each(fails, [(1,), (1,)], 2, "rows")


def test_results_are_in_the_order_of_the_jobs():
    assert each(pow, [(n, 2) for n in range(20)], 3, "squares") == [n * n for n in range(20)]


def test_the_backend_is_threads_unless_the_surroundings_choose_another(monkeypatch):
    monkeypatch.delenv("MMFER_BACKEND", raising=False)
    with backend(2):
        assert set(each(where, [(1,)] * 4, 2, "jobs")) == {os.getpid()}
    with joblib.parallel_config("loky"), backend(2):
        assert os.getpid() not in each(where, [(1,)] * 4, 2, "jobs")
    monkeypatch.setenv("MMFER_BACKEND", "loky")
    with backend(2):
        assert os.getpid() not in each(where, [(1,)] * 4, 2, "jobs")
    assert set(each(where, [(1,)] * 4, 2, "jobs")) == {os.getpid()}


def test_an_unknown_backend_is_named_with_those_that_are_known(monkeypatch):
    monkeypatch.setenv("MMFER_BACKEND", "spark")
    with pytest.raises(MmferError, match=r"MMFER_BACKEND: unknown backend spark; known: threading, loky, dask, ray"):
        backend(2).__enter__()


@pytest.mark.parametrize(("name", "package"), [("dask", "distributed"), ("ray", "ray")])
def test_a_backend_whose_package_is_missing_is_one_line(monkeypatch, name, package):
    monkeypatch.setenv("MMFER_BACKEND", name)
    monkeypatch.setattr(importlib.util, "find_spec", lambda wanted: None if wanted == package else object())
    with pytest.raises(MmferError, match=rf"{package} not installed; run `pip install 'mmfer\[scale\]'`"):
        backend(2).__enter__()


def test_a_scheduler_that_does_not_answer_is_one_line(monkeypatch):
    monkeypatch.setenv("MMFER_BACKEND", "dask")
    monkeypatch.setattr("mmfer.parallel.CONNECT", "100ms")
    with dask.config.set({"scheduler-address": "tcp://127.0.0.1:9"}):
        with pytest.raises(MmferError, match=r"DASK_SCHEDULER_ADDRESS: tcp://127\.0\.0\.1:9: .*start the scheduler"):
            backend(2).__enter__()


def test_ranges_cover_all_rows_once_and_leave_no_worker_without():
    assert [(r.start, r.stop) for r in ranges(10, 4, 1)] == [(0, 4), (4, 8), (8, 10)]
    assert [(r.start, r.stop) for r in ranges(6, 100, 3)] == [(0, 2), (2, 4), (4, 6)]
    assert ranges(0, 4, 2) == []


def test_workers_are_as_many_as_the_cores_that_the_process_may_use(monkeypatch):
    assert cores() == joblib.cpu_count() <= (os.cpu_count() or 1)
