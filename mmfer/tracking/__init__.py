"""Every stage execution as an MLflow run: parameters, metrics, cost, figures, and tags that distinguish the runs.

A stage never depends on this module: the first failure (server down, database locked, disk full, bad URI) is reported
in one line on stderr, and from then on every call does nothing.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from numbers import Real
from pathlib import Path
from typing import Any

from mmfer.config import Block, Params
from mmfer.resources import measured
from mmfer.tracking.provenance import digest, provenance
from mmfer.tracking.store import Connection

SEND_SECONDS = 1.0  # metrics are kept this long and sent together: a call costs 6 ms with SQLite, 100 with a far server
INHERITED = ("dataset", "system", "stage", "kind", "ablation", "seed")  # tags that a child run has of its parent


class Run:
    """One MLflow run. `run_id` is None where tracking failed before the run was created."""

    def __init__(self, connection: "Connection", name: str, run_id: str | None, tags: dict[str, str]) -> None:
        self.name = name
        self.run_id = run_id
        self.rows = 0  # what the stage works on: set by it, for the rows that it did in a second
        self._connection = connection
        self._tags = tags
        self._waiting: list[tuple[str, float, int, int]] = []  # name, value, milliseconds since 1970, step
        self._sent = time.monotonic()

    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Log numbers at `step` (an epoch); {"test": {"accuracy": 0.7}} becomes test/accuracy.

        Entries that are not numbers (None, booleans, text, lists) are skipped. What is logged within SEND_SECONDS goes
        out together, at the latest as the run ends.
        """
        numbers = {_key(name): value for name, value in _flat(metrics, "/").items() if _is_number(value)}
        now = int(time.time() * 1000)
        self._waiting += [(name, float(value), now, step or 0) for name, value in numbers.items()]
        if time.monotonic() - self._sent >= SEND_SECONDS:
            self._send()

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file into the run's artifacts, under `folder` if given."""
        self._connection.attempt(lambda: self._connection.client.log_artifact(self.run_id, str(path), folder))

    @contextmanager
    def child(self, name: str, **tags: object) -> Iterator["Run"]:
        """Open a run nested in this one, its name after this one's; it has the INHERITED tags of this run, and `tags`.

        A `stage` of its own keeps it out of the table of the stage's runs.
        """
        inherited = {key: self._tags[key] for key in INHERITED if key in self._tags}
        own = {key: str(value) for key, value in tags.items()}
        labels = {**inherited, "mlflow.parentRunId": str(self.run_id), **own}
        with _running(self._connection, f"{self.name} {name}", labels) as run:
            yield run

    @contextmanager
    def models(self) -> Iterator[Callable[[dict[str, Any], int, dict[str, int]], None]]:
        """A log_metrics for trainings one after another, that takes as a third argument which of several models it is.

        {"fold": 1, "seed": 0} are the tags of a child named fold1-seed0; what is of {} is this run's own.
        """
        run, current = self, dict[str, int]()
        with ExitStack() as child:

            def log(metrics: dict[str, Any], step: int, model: dict[str, int]) -> None:
                nonlocal run, current
                if model != current:
                    child.close()
                    name = "-".join(f"{key}{value}" for key, value in model.items())
                    run = child.enter_context(self.child(name, stage="train model", **model)) if model else self
                    current = model
                run.log_metrics(metrics, step)

            yield log

    def register(self, model: Path, tags: dict[str, object], description: str) -> None:
        """Make a trained model's folder the version ALIAS of the registered model mmfer-<dataset>-<system>.

        For after the run's end: where the registry fails, the run is complete. `tags` distinguish versions: where there
        is one with the same, the alias moves there and nothing is copied. Its other tags are the INHERITED ones.
        """
        self._connection.attempt(lambda: self._connection.register(self.run_id, self._tags, model, tags, description))

    def rank(self) -> None:
        """Bring the table of evaluated systems in the experiment's description up to date; after the run's end."""
        self._connection.attempt(self._connection.rank)

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._connection.attempt(lambda: self._connection.log_batch(self.run_id, metrics=waiting))
        self._sent = time.monotonic()


@contextmanager
def stage_run(
    stage: str, dataset: str | None, params: Block | dict[str, Any], system: str | None = None, **tags: object
) -> Iterator[Run]:
    """Track one execution of `stage` while the block runs.

    Its cost is logged at the end: cost/seconds, cost/peak_mib, and cost/rows_per_second where the stage sets run.rows.
    Tags: dataset, system, stage, params_hash (of the whole of `params`), dvc_inputs (see `inputs_hash`), the git
    commit, and `tags`. `dataset` is None for a stage over all of them. An error in the block marks the run FAILED,
    Ctrl-C marks it KILLED, and both go on to the caller as they are.
    """
    connection = Connection()
    plain = json.loads(_canonical(params))
    given = {"dataset": dataset, "system": system, "stage": stage, "params_hash": digest(_canonical(params)), **tags}
    labels = {key: str(value) for key, value in given.items() if value is not None}
    labels |= connection.attempt(lambda: provenance(stage, dataset, system)) or {}
    name = " ".join(part for part in (system, dataset, stage) if part)  # narrow columns cut the end
    with _running(connection, name, labels) as run:
        values = [(_key(key), _text(value)) for key, value in _flat(plain, ".").items()]
        connection.attempt(lambda: connection.log_batch(run.run_id, params=values))
        with measured() as cost:
            yield run
        rows = {"rows_per_second": run.rows / cost["seconds"]} if run.rows and cost["seconds"] else {}
        run.log_metrics({"cost": cost | rows})


@contextmanager
def system_run(stage: str, everything: Params, dataset: str, system: str, **blocks: Block) -> Iterator[Run]:
    """Track a stage that works on one system: a `stage_run` whose tags distinguish systems, alike in every stage.

    Its tags are also kind, ablation (see `ablation`) and seed: of train.seeds the first, whose models are evaluated.
    Its parameters are the system's block, how it is trained, and `blocks`.
    """
    block = everything.systems[system]
    train = everything.train(dataset, system).model_dump()
    tags = {"kind": _kind(system, block), "ablation": ablation(system, everything.systems), "seed": train["seeds"][0]}
    with stage_run(stage, dataset, {"system": block, "train": train, **blocks}, system, **tags) as run:
        yield run
    if stage == "evaluate":
        run.rank()


def ablation(system: str, systems: dict[str, dict[str, Any]]) -> str:
    """What sets a system apart from that named as its kind: "branches=image,hog; train.loss=binary", or "none".

    Keys that just the other block has are `default`.
    """
    block = systems[system]
    own, other = _flat(block, "."), _flat(systems.get(_kind(system, block), block), ".")
    keys = [key for key in {**other, **own} if key != "kind" and own.get(key) != other.get(key)]
    return "; ".join(f"{key}={_plain(own.get(key, 'default'))}" for key in keys) or "none"


@contextmanager
def _running(connection: Connection, name: str, tags: dict[str, str]) -> Iterator[Run]:
    """Create a run, and end it as FINISHED, FAILED or KILLED, as the block ends."""
    run = Run(connection, name, connection.attempt(lambda: connection.create_run(name, tags)), tags)
    status = "KILLED"
    try:
        yield run
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        run._send()
        connection.attempt(lambda: connection.client.set_terminated(run.run_id, status))


def _kind(system: str, block: dict[str, Any]) -> str:
    return block.get("kind", system)


def _canonical(params: Block | dict[str, Any]) -> str:
    return json.dumps(params, sort_keys=True, default=lambda block: block.model_dump(mode="json"))


def _flat(values: dict[str, Any], separator: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= {f"{name}{separator}{key}": inner for key, inner in _flat(value, separator).items()}
        else:
            flat[str(name)] = value
    return flat


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _key(name: str) -> str:
    """`name` without what MLflow refuses in names."""
    return re.sub(r"[^\w./ -]", "_", name)


def _text(value: object) -> str:
    """A parameter as params.yaml would show it; MLflow itself cuts it to what it stores."""
    return value if isinstance(value, str) else json.dumps(value)


def _plain(value: object) -> str:
    return ",".join(map(_text, value)) if isinstance(value, list) else _text(value)
