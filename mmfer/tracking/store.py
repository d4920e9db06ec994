"""Where MLflow keeps the runs, and a connection to it that a stage never depends on.

The only importer of mlflow, with mmfer.use.serving, which it uses; and that inside functions, for it takes seconds.
"""

import json
import logging
import os
import re
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from mmfer.files import take_name, temporary_name
from mmfer.tracking.provenance import digest
from mmfer.tracking.ranking import EVALUATED, experiment_tags

EXPERIMENT = "mmfer"
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
OF_A_MODEL = ("dataset", "system", "kind", "ablation", "seed")  # tags of a run that a version of a model has too
SQLITE = "sqlite:///"
Result = TypeVar("Result")


def store_uri() -> str:
    """Where the runs are kept: MLFLOW_TRACKING_URI, or else mlflow.db in the repository root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or _sqlite_uri(_root() / "mlflow.db")


def sqlite_file(uri: str) -> Path:
    """The file of a store in SQLite."""
    return Path(unquote(uri.removeprefix(SQLITE)))


def _sqlite_uri(file: Path) -> str:
    """The address of a file, in which %, ? and # would mean something else."""
    return SQLITE + re.sub("[%?#]", lambda found: quote(found[0]), file.as_posix())


class Connection:
    """The MLflow client of a stage and its runs; after its first failure `attempt` does nothing."""

    def __init__(self) -> None:
        self.client: Any = None
        self._alive = os.environ.get("RANK", "0") == "0"  # of the processes of torchrun one logs
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
                f"warning: MLflow: {textwrap.shorten(reason, 200, placeholder=' ...')}; the run goes on without it "
                "(`mmfer doctor` says more)",
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
        labels = {key: run_tags[key] for key in OF_A_MODEL if key in run_tags}
        name, identity = f"mmfer-{labels['dataset']}-{labels['system']}", digest(json.dumps(tags, sort_keys=True))
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

    def rank(self) -> None:
        """Bring the description of the experiment up to date: its evaluated systems, best first."""
        runs = self.client.search_runs(
            [self._experiment_id], f"{EVALUATED} and attributes.status = 'FINISHED'", order_by=["start_time DESC"]
        )
        ranked = [run for run in runs if "test/accuracy" in run.data.metrics]
        for key, value in experiment_tags(self._experiment_id, ranked).items():
            self._set_experiment_tag(key, value)

    def _set_experiment_tag(self, key: str, value: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.client.set_experiment_tag(self._experiment_id, key, value)
        except MlflowException:  # another stage, running beside this one, has just made the tag, which now is there
            self.client.set_experiment_tag(self._experiment_id, key, value)

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

        # `attempt` reports a failure in one line; these would add retries and the traceback of a locked database.
        for name in ("mlflow", "alembic", "urllib3.connectionpool"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        uri = store_uri()
        if uri.startswith(SQLITE):
            _make_database(sqlite_file(uri))
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


def _make_database(file: Path) -> None:
    """Let MLflow make its tables, which takes seconds, in a file that takes its name when it is complete.

    An interrupt would else leave half of them, which every later run fails at.
    """
    if file.exists():
        return
    from mlflow import MlflowClient

    temporary = temporary_name(file)
    try:
        MlflowClient(_sqlite_uri(temporary)).search_experiments(max_results=1)
        take_name(temporary, file)  # a stage beside this one may have been first: its runs are in there
    finally:
        temporary.unlink(missing_ok=True)


def _root() -> Path:
    """The repository. DVC sets DVC_ROOT; for an experiment in a temporary copy it is the user's own, not the copy.

    Absolute, for MLflow keeps one engine per URI, whatever the current folder becomes.
    """
    return Path(os.environ.get("DVC_ROOT", "")).resolve()
