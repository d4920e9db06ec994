"""Trainings in order of value, wherever there is a computer for them: `mmfer train`.

A campaign needs data sets as folders or packs (mmfer.face.pack) and parameters, and writes a folder:

    <run>/          a trained model (mmfer.training.models), by its run (mmfer.training.runs)
    <run>.pt        the checkpoint of one that is not finished
    campaign.csv    what was trained, in order, and what it took
    data/           FaceSets that were made of packs
    teachers/       links to the models of systems that teach others of the list

Several processes, on one computer or many that share the folder, may work on one campaign: each takes the first
training that nobody is at. mmfer.training.bundles brings the models home.
"""

import hashlib
import json
import math
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from filelock import FileLock, Timeout
from pydantic import Field

from mmfer.config import Block, Params, Seed, check, pick, read_yaml
from mmfer.errors import MmferError
from mmfer.files import new_folder, write_csv
from mmfer.training import processes
from mmfer.training.bundles import bundle
from mmfer.training.device import choose_device
from mmfer.training.loop import probe
from mmfer.training.models import HISTORY, Weights, build, holds_run
from mmfer.training.processes import Paused
from mmfer.training.sources import open_data
from mmfer.training.teachers import open_teachers
from mmfer.training.train import Training, plan, train_model


class Entry(Block):
    """Trainings of one system on one data set."""

    dataset: str
    system: str
    seeds: list[Seed] | None = Field(None, min_length=1, description="of those of its parameters; empty: all")


class Order(Block):
    """A list of trainings in order of value."""

    trainings: list[Entry] = Field(min_length=1)


class Terms(NamedTuple):
    """Where and how a campaign is run."""

    out: Path
    minutes: float | None = None  # after which it pauses, at the end of an epoch; 0: nothing is trained
    probe: float = 1.0  # seconds for which the rate of each system is measured before
    weights: Weights = "float32"  # how networks are written
    zips: Path | None = None  # folder for zips of all models and campaign.csv, renewed after each training
    zip_mib: int = 16  # size of one at most
    zip_count: int | None = None  # how many at most
    zip_first: int = 0  # number of the first of them; those before were brought home by another call


@dataclass(frozen=True)
class Job:
    """A training of a campaign, and which one it is."""

    dataset: str
    system: str
    training: Training

    @property
    def run(self) -> str:
        """Its name in the folder."""
        return self.training.facts["run"]

    def __str__(self) -> str:
        return f"{self.dataset} {self.system} {self.training.name}"


def read_order(path: Path | None, params: Params, systems: list[str]) -> list[Entry]:
    """The list in a file; without one every system on every data set. Of it, those of `systems`, if any are named.

    MmferError names a data set or system that the parameters do not have.
    """
    if path is None:
        entries = [
            Entry(dataset=dataset, system=system, seeds=None)
            for system in params.systems
            for dataset in params.datasets
        ]
    else:
        entries = check(Order, read_yaml(path), str(path)).trainings
    for entry in entries:
        pick(params.datasets, entry.dataset, f"{path or 'params'}: datasets")
        pick(params.systems, entry.system, f"{path or 'params'}: systems")
    for system in systems:
        pick(params.systems, system, "--system")
    return [entry for entry in entries if not systems or entry.system in systems]


def parts_of(entries: list[Entry], params: Params) -> list[list[Entry]]:
    """A list in parts: what teaches others of it stands in an earlier part than they do.

    MmferError where some teach each other.
    """
    parts, left = [], entries
    while left:
        names = {(entry.dataset, entry.system) for entry in left}
        ready = [e for e in left if not any((e.dataset, name) in names for name in teachers_of(e, params).values())]
        if not ready:
            raise MmferError(f"train.teachers: {', '.join(sorted(name for _, name in names))} wait for each other")
        parts.append(ready)
        left = [entry for entry in left if entry not in ready]
    return parts


def teachers_of(entry: Entry, params: Params) -> dict[str, str]:
    """Those of train.teachers that are systems of the parameters: path, as the pipeline writes them -> system."""
    of = {f"data/{entry.dataset}/models/{system}": system for system in params.systems}
    return {path: of[path] for path in params.train(entry.dataset, entry.system).teachers if path in of}


def link_teachers(part: list[Entry], trained: list[Job], params: Params, out: Path) -> dict[str, str]:
    """The teachers of some entries among the trainings before -> folders with links to their models, in `out`.

    Those that other processes are at are waited for; those that are not trained then are left out.
    """
    links: dict[str, str] = {}
    named = {(entry.dataset, *named) for entry in part for named in teachers_of(entry, params).items()}
    for dataset, path, system in sorted(named):
        jobs = [job for job in trained if (job.dataset, job.system) == (dataset, system)]
        if jobs and all(_is_trained(job, out) for job in jobs):
            runs = hashlib.sha256("".join(job.run for job in jobs).encode()).hexdigest()[:12]
            folder = out / "teachers" / f"{system}-{runs}"
            if not folder.exists():
                with new_folder(folder) as temporary:
                    for job in jobs:
                        (temporary / job.training.name).symlink_to((out / job.run).absolute())
            links[path] = str(folder)
    return links


def _is_trained(job: Job, out: Path) -> bool:
    with claimed(out / f"{job.run}.lock", wait=True):
        return holds_run(out / job.run, job.run)


def jobs_of(
    entries: list[Entry], data: dict[str, Path], params: Params, links: dict[str, str] | None = None
) -> list[Job]:
    """The trainings of a list in its order, each once; those of data sets that `data` does not have are left out.

    `links` says where teachers are that lie elsewhere than the parameters say.
    """
    jobs: dict[str, Job] = {}
    plans: dict[tuple[str, str], list[Training]] = {}
    for entry in entries:
        if entry.dataset not in data:
            continue
        key = (entry.dataset, entry.system)
        if key not in plans:
            block, train = params.system(entry.system), params.train(*key)
            there = {"teachers": [(links or {}).get(path, path) for path in train.teachers]}
            plans[key] = plan(data[entry.dataset], (entry.system, block), train.model_copy(update=there))
            for training in plans[key]:
                training.facts["train"]["teachers"] = train.teachers  # as anyone may find them
        absent = set(entry.seeds or []) - {training.facts["seed"] for training in plans[key]}
        if absent:
            raise MmferError(
                f"trainings: {entry.dataset} {entry.system}: seeds {sorted(absent)} are not among its parameters'; "
                "correct the list, or train.seeds"
            )
        for training in plans[key]:
            if entry.seeds is None or training.facts["seed"] in entry.seeds:
                job = Job(*key, training)
                jobs.setdefault(job.run, job)
    return list(jobs.values())


def train_list(sources: list[Path], params: Params, entries: list[Entry], terms: Terms) -> list[str]:
    """Train a list in order, on what packs and folders hold; return a line for each training that failed.

    A system whose teachers are systems of the list comes after them. Started by torchrun, all processes train each of
    them together. MmferError where nothing can be trained, Paused when the time is over.
    """
    terms.out.mkdir(parents=True, exist_ok=True)
    with processes.joined(choose_device(params.defaults.train.device)):
        with claimed(terms.out / "data.lock", wait=True):  # the first makes the copies and features of packs
            data = open_data(sources, terms.out, params) if processes.rank() == 0 else {}
        data = processes.agreed(data)
        listed = [entry for entry in entries if entry.dataset in data]
        if not listed:
            named = ", ".join(dict.fromkeys(entry.dataset for entry in entries)) or "nothing"
            raise MmferError(f"the list names no training on {', '.join(data)}, but on {named}; correct it")
        trained: list[Job] = []
        failed: list[str] = []
        paused = None
        for part in parts_of(listed, params):
            with claimed(terms.out / "data.lock", wait=True):
                links = link_teachers(part, trained, params, terms.out) if processes.rank() == 0 else {}
            links = processes.agreed(links)
            ready = [entry for entry in part if teachers_of(entry, params).keys() <= links.keys()]
            for entry in part:
                if entry not in ready:
                    failed.append(f"{entry.dataset} {entry.system}: waits, for a teacher of it is not trained")
                    print(f"error: {failed[-1]}", file=sys.stderr, flush=True)
            jobs, begun = jobs_of(ready, data, params, links), time.monotonic()
            try:
                failed += run_jobs(jobs, terms, trained)
            except Paused as error:
                if terms.minutes != 0:
                    raise
                paused = error  # nothing is to be trained, but the zips shall have the students, too
            trained += jobs
            if terms.minutes is not None:
                terms = terms._replace(minutes=max(terms.minutes - (time.monotonic() - begun) / 60, 0))
        if paused:
            raise paused
        return failed


def run_jobs(jobs: list[Job], terms: Terms, earlier: Sequence[Job] = ()) -> list[str]:
    """Train what is left of the jobs, in order; return a line for each that failed.

    campaign.csv and the zips tell of `earlier` ones as well.
    """
    out, pause_at = terms.out, time.monotonic() + (math.inf if terms.minutes is None else 60 * terms.minutes)
    left = [job for job in jobs if processes.agreed(not holds_run(out / job.run, job.run))]
    rates = measure(left, terms.probe) if terms.probe else {}
    say_cost(jobs, left, rates)
    everything = [*earlier, *jobs]
    flush(everything, terms)  # of what is finished, if nothing is left
    threads, failed = torch.get_num_threads(), []
    for number, job in enumerate(left, 1):
        if processes.agreed(terms.minutes == 0 or (number > 1 and time.monotonic() > pause_at)):
            raise Paused(f"{job}: the time is over; the same command goes on from there")
        with claimed(out / f"{job.run}.lock") as mine:
            if not processes.agreed(mine):
                print(f"{job}: another process is at it", flush=True)
                continue
            if processes.agreed(holds_run(out / job.run, job.run)):
                continue  # another process has trained it since
            if processes.rank() == 0 and (out / job.run).exists():
                print(f"{job}: {out / job.run} is damaged: trained again", flush=True)
                shutil.rmtree(out / job.run)
            processes.agreed(None)
            print(f"[{number}/{len(left)}] {job}", flush=True)
            key = (job.dataset, job.system)
            torch.set_num_threads(rates[key].threads if key in rates else threads)
            try:
                train_model(out / job.run, job.training, _ignore, pause_at, terms.weights)
            except Paused as paused:
                raise Paused(f"{job}: {paused}: the time is over; the same command goes on from there") from None
            except MmferError as error:
                failed.append(f"{job}: {error}")
                print(f"error: {failed[-1]}", file=sys.stderr, flush=True)
            finally:
                flush(everything, terms)
    return failed


def flush(jobs: list[Job], terms: Terms) -> None:
    """Bring campaign.csv and the zips up to date."""
    if processes.rank() == 0:
        table = pd.DataFrame([state_of(job, terms.out) for job in jobs]).round(4)
        write_csv(terms.out / "campaign.csv", table)
        if terms.zips:
            done = [terms.out / run for run in table["run"][table["state"] == "done"]]
            bundle(done, terms.zips, terms.zip_mib << 20, terms.zip_count, terms.zip_first)
            write_csv(terms.zips / "campaign.csv", table)


def _ignore(metrics: dict[str, Any], step: int) -> None:
    """The epochs stand in history.csv, and MLflow gets them when the model is unpacked."""


class Rate(NamedTuple):
    """Samples a second of a system, and the number of threads at which it reaches them."""

    samples: float
    threads: int


def measure(jobs: list[Job], seconds: float) -> dict[tuple[str, str], Rate]:
    """The rate of each network among the jobs, measured for so many seconds, by data set and system.

    On a CPU with all threads and with one, of which small networks often make more.
    """
    rates: dict[tuple[str, str], Rate] = {}
    every = torch.get_num_threads()
    for job in jobs:
        key = (job.dataset, job.system)
        if key in rates or not job.training.network:
            continue
        counts = {every, 1} if choose_device(job.training.params.device) == "cpu" else {every}
        try:
            rates[key] = max(_probe(job.training, seconds, threads) for threads in processes.agreed(sorted(counts)))
        except MmferError as error:
            print(f"error: {job.dataset} {job.system}: {error}", file=sys.stderr, flush=True)  # so will its training
            continue
        rate = f"{rates[key].samples:,.0f} samples/s, {rates[key].threads} threads"
        print(f"{job.dataset} {job.system}: {rate}", flush=True)
    torch.set_num_threads(every)
    return rates


def _probe(training: Training, seconds: float, threads: int) -> Rate:
    torch.set_num_threads(threads)
    network = build(training.facts)
    teachers = open_teachers(training.teachers, choose_device(training.params.device))
    return Rate(probe(network, training.feed, training.rows, training.params, seconds, teachers), threads)


def say_cost(jobs: list[Job], left: list[Job], rates: dict[tuple[str, str], Rate]) -> None:
    """Print what is left, and at the rates what it takes here."""
    samples = sum(job.training.samples for job in left)
    known = [job for job in left if (job.dataset, job.system) in rates]
    minutes = sum(job.training.samples / rates[job.dataset, job.system].samples for job in known) / 60
    cost = f", about {minutes:,.0f} minutes here" if known else ""
    print(f"{len(left)} of {len(jobs)} trainings are left: {samples:,} samples{cost}", flush=True)


def state_of(job: Job, out: Path) -> dict[str, Any]:
    """A row of campaign.csv."""
    which = {key: job.training.facts[key] for key in ("fold", "seed")}
    row = {"dataset": job.dataset, "system": job.system} | which | {"run": job.run, "samples": job.training.samples}
    if not holds_run(out / job.run, job.run):
        return row | {"state": "paused" if (out / f"{job.run}.pt").exists() else "waits"}
    facts = json.loads((out / job.run / "model.json").read_text(encoding="utf-8"))
    history = out / job.run / HISTORY
    last = pd.read_csv(history).iloc[-1].to_dict() if history.exists() else {}
    chosen = {key: last[key] for key in ("train_loss", "val_loss", "val_accuracy") if key in last}
    return row | {"state": "done"} | chosen | facts["execution"]


@contextmanager
def claimed(lock: Path, wait: bool = False) -> Iterator[bool]:
    """Whether this process alone holds the lock while the block runs; it falls with the process."""
    if processes.rank() > 0:  # process 0 speaks for all of a group
        yield True
        return
    try:
        hold = FileLock(lock).acquire(timeout=-1 if wait else 0)
    except Timeout:
        yield False
        return
    with hold:
        yield True
