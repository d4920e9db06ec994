"""Every stage execution as an MLflow run: parameters, metrics, figures, and tags that tell the runs apart.

With mmfer.use.serving, which it uses, the only importer of mlflow, and that inside functions, for it takes seconds. A
stage never depends on this module: the first failure (server down, database locked, disk full, bad URI) is reported in
one line on stderr, and from then on every call does nothing.
"""

import hashlib
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from numbers import Real
from pathlib import Path
from typing import Any, TypeVar

import yaml

from mmfer.config import Block, Params

EXPERIMENT = "mmfer"
SEND_SECONDS = 1.0  # metrics are kept this long and sent together: a call costs 6 ms with SQLite, 100 with a far server
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",  # no warning where git is not installed
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # A dead server costs some 2 s (refused) or 15 s (silent) once; with MLflow's own values it is several minutes.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
ALIAS = "latest-evaluated"  # of a registered model's version
INHERITED = ("dataset", "system", "stage", "kind", "ablation", "seed")  # tags that a child run has of its parent
Result = TypeVar("Result")


class Run:
    """One MLflow run. `run_id` is None where tracking failed before the run was created."""

    def __init__(self, connection: "_Connection", name: str, run_id: str | None, tags: dict[str, str]) -> None:
        self.name = name
        self.run_id = run_id
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

    def log_figure(self, path: Path) -> None:
        """Copy an image file into the run's artifacts, under figures."""
        self.log_artifact(path, "figures")

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
        run, current = self, {}
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

        For after the run's end: where the registry fails, the run is complete. `tags` tell versions apart: where there
        is one with the same, the alias moves there and nothing is copied. Its other tags are the INHERITED ones.
        """
        self._connection.attempt(lambda: self._connection.register(self.run_id, self._tags, model, tags, description))

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

    Tags: dataset, system, stage, params_hash (of the whole of `params`), dvc_inputs (see `inputs_hash`), the git
    commit, and `tags`. `dataset` is None for a stage over all of them. An error in the block marks the run FAILED,
    Ctrl-C marks it KILLED, and both go on to the caller as they are.
    """
    connection = _Connection()
    plain = json.loads(_canonical(params))
    labels = {"dataset": dataset, "system": system, "stage": stage, "params_hash": _digest(_canonical(params)), **tags}
    labels = {key: str(value) for key, value in labels.items() if value is not None}
    labels |= connection.attempt(lambda: _provenance(stage, dataset, system)) or {}
    name = " ".join(part for part in (system, dataset, stage) if part)  # narrow columns cut the end
    with _running(connection, name, labels) as run:
        values = [(_key(key), _text(value)) for key, value in _flat(plain, ".").items()]
        connection.attempt(lambda: connection.log_batch(run.run_id, params=values))
        yield run


def system_run(
    stage: str, everything: Params, dataset: str, system: str, **blocks: Block
) -> AbstractContextManager[Run]:
    """Track a stage that works on one system: a `stage_run` that tells systems apart, the same way in every stage.

    Its tags are also kind, ablation (see `ablation`) and seed: of train.seeds the first, whose models are evaluated.
    Its parameters are the system's block, how it is trained, and `blocks`.
    """
    block = everything.systems[system]
    train = everything.train(dataset, system).model_dump()
    tags = {"kind": _kind(system, block), "ablation": ablation(system, everything.systems), "seed": train["seeds"][0]}
    return stage_run(stage, dataset, {"system": block, "train": train, **blocks}, system, **tags)


def ablation(system: str, systems: dict[str, dict[str, Any]]) -> str:
    """What sets a system apart from that named as its kind: "branches=image,hog; train.loss=binary", or "none".

    Keys that just the other block has are `default`.
    """
    block = systems[system]
    own, other = _flat(block, "."), _flat(systems.get(_kind(system, block), block), ".")
    keys = [key for key in {**other, **own} if key != "kind" and own.get(key) != other.get(key)]
    return "; ".join(f"{key}={_plain(own.get(key, 'default'))}" for key in keys) or "none"


def store_uri() -> str:
    """Where the runs are kept: MLFLOW_TRACKING_URI, or else mlflow.db in the repository root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(_root() / 'mlflow.db').as_posix()}"


def inputs_hash(stage: str, dataset: str | None, system: str | None, folder: Path = Path()) -> str | None:
    """Twelve hexadecimal digits that name the data `stage` reads, from DVC's own MD5s; None without dvc.lock.

    While a stage runs, its own entry in dvc.lock is still that of its previous execution, if any. The entries of the
    stages before it are current, though, for DVC writes them as each ends. So: the stage's deps in dvc.yaml, with
    ${key}, ${item}, ${item.dataset} and ${item.system} filled in; of every output in dvc.lock that is such a dep, lies
    in one or holds one, path and MD5; the SHA-256 of these, sorted. Deps that no stage makes are left out: code stands
    in the git commit, and files of the user's own in no lock. No data are read. None also where nothing is recorded,
    as for the first stage.
    """
    if not ((folder / "dvc.yaml").exists() and (folder / "dvc.lock").exists()):
        return None
    definition, lock = _read_yaml(folder / "dvc.yaml"), _read_yaml(folder / "dvc.lock")
    entry = definition.get("stages", {}).get(stage, {})
    known = {"key": dataset, "item": dataset, "item.dataset": dataset, "item.system": system}
    deps = [
        re.sub(r"\$\{\s*([\w.]+)\s*\}", lambda found: str(known.get(found[1], found[0])), dep)
        for dep in entry.get("do", entry).get("deps", [])
    ]
    outs = [out for locked in lock.get("stages", {}).values() for out in locked.get("outs", [])]
    inputs = [f"{out['path']} {out.get('md5')}" for out in outs if any(_overlap(out["path"], dep) for dep in deps)]
    return _digest("\n".join(sorted(inputs))) if inputs else None


class _Connection:
    """The MLflow client of a stage and its runs; after its first failure `attempt` does nothing."""

    def __init__(self) -> None:
        self.client: Any = None
        self._alive = True
        self.attempt(self._connect)

    def attempt(self, act: Callable[[], Result]) -> Result | None:
        """What `act` returns; None, and one line on stderr, if it fails; None at once if anything failed before."""
        if not self._alive:
            return None
        try:
            return act()
        except Exception as error:
            self._alive = False
            reason = (str(error).strip() or repr(error)).splitlines()[0]  # further lines hold SQL or a response's HTML
            print(
                f"warning: MLflow: {textwrap.shorten(reason, 200, placeholder=' ...')}; the run goes on without it",
                file=sys.stderr,
            )
            return None

    def create_run(self, name: str, tags: dict[str, str]) -> str:
        """The id of a new run."""
        return self.client.create_run(self._experiment_id, tags=tags, run_name=name).info.run_id

    def log_batch(
        self,
        run_id: str | None,
        metrics: Iterable[tuple[str, float, int, int]] = (),
        params: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Log everything in one transaction, which is some ten times faster than one call per value."""
        from mlflow.entities import Metric, Param

        self.client.log_batch(
            run_id, metrics=[Metric(*metric) for metric in metrics], params=[Param(*param) for param in params]
        )

    def register(
        self, run_id: str | None, run_tags: dict[str, str], model: Path, tags: dict[str, object], description: str
    ) -> None:
        """See Run.register."""
        labels = {key: run_tags[key] for key in INHERITED if key in run_tags and key != "stage"}
        name, identity = f"mmfer-{labels['dataset']}-{labels['system']}", _digest(_canonical(tags))
        same = self.client.search_model_versions(f"name = '{name}' and tags.identity = '{identity}'", max_results=1)
        if same:
            number = same[0].version
        else:
            source = self._upload(run_id, model)
            self._create_registered_model(name, {key: labels[key] for key in ("dataset", "system")})
            own = {key: str(value) for key, value in tags.items()}
            labels |= {**own, "identity": identity}
            number = self.client.create_model_version(name, source, run_id, labels, description=description).version
        self.client.set_registered_model_alias(name, ALIAS, number)

    def _upload(self, run_id: str | None, model: Path) -> str:
        """Write a model folder as an MLflow model among the run's artifacts; where it is."""
        from mmfer.use.serving import write_served

        with tempfile.TemporaryDirectory() as temporary:
            write_served(Path(temporary, "model"), model, run_id)
            self.client.log_artifacts(run_id, temporary)
        return f"{self.client.get_run(run_id).info.artifact_uri}/model"

    def _create_registered_model(self, name: str, tags: dict[str, str]) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(name, tags)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _connect(self) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        # `attempt` tells a failure in one line; these would add retries, and the whole traceback of a locked database.
        for name in ("mlflow", "alembic", "urllib3.connectionpool"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        uri = store_uri()
        self.client = MlflowClient(uri)
        # A server decides for itself where artifacts go.
        location = (_root() / "mlartifacts").as_uri() if uri.startswith("sqlite") else None
        self._experiment_id = self._find_experiment() or self._create_experiment(location)

    def _find_experiment(self) -> str | None:
        experiment = self.client.get_experiment_by_name(EXPERIMENT)
        return experiment.experiment_id if experiment else None

    def _create_experiment(self, location: str | None) -> str:
        from mlflow.exceptions import MlflowException

        try:
            return self.client.create_experiment(EXPERIMENT, location)
        except MlflowException:
            # Another stage, running beside this one, may have been first.
            experiment_id = self._find_experiment()
            if experiment_id is None:
                raise
            return experiment_id


@contextmanager
def _running(connection: _Connection, name: str, tags: dict[str, str]) -> Iterator[Run]:
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


def _root() -> Path:
    """The repository. DVC sets DVC_ROOT; for an experiment in a temporary copy it is the user's own, not the copy.

    Absolute, for MLflow keeps one engine per URI, whatever the current folder becomes.
    """
    return Path(os.environ.get("DVC_ROOT", "")).resolve()


def _kind(system: str, block: dict[str, Any]) -> str:
    return block.get("kind", system)


def _provenance(stage: str, dataset: str | None, system: str | None) -> dict[str, str]:
    """Tags for the data and the code: dvc_inputs, and MLflow's own for user, source file and git commit."""
    from mlflow.tracking.context.registry import resolve_tags

    tags = {"dvc_inputs": inputs_hash(stage, dataset, system), **resolve_tags()}
    # MLflow looks beside the program, which may be installed elsewhere; what counts is where the stage runs.
    tags["mlflow.source.git.commit"] = _git_commit()
    return {key: value for key, value in tags.items() if value is not None}


def _git_commit() -> str | None:
    try:
        return subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _read_yaml(path: Path) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's reads a long dvc.lock ten times faster
    return yaml.load(path.read_text(encoding="utf-8"), loader) or {}


def _overlap(out: str, dep: str) -> bool:
    one, other = Path(out), Path(dep)
    return one == other or one in other.parents or other in one.parents


def _canonical(params: Block | dict[str, Any]) -> str:
    return json.dumps(params, sort_keys=True, default=lambda block: block.model_dump(mode="json"))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _flat(values: dict[str, Any], separator: str) -> dict[str, Any]:
    flat = {}
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
