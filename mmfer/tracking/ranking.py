"""The evaluated systems in MLflow, best first: the description of the experiment, and a saved view of its runs.

MLflow's own table of runs opens without a metric. The view is what its Share button writes: a tag of the experiment.
"""

import json
import math
from typing import Any

VIEW = "ranking"
EVALUATED = 'tags.stage = "evaluate"'
COLUMNS = ("test/accuracy", "test/accuracy_low", "test/accuracy_high", "test/macro", "test_kept/accuracy")
TAGS = ("dataset", "system", "ablation", "seed")


def experiment_tags(experiment_id: str, runs: list[Any]) -> dict[str, str]:
    """Runs of mlflow.entities, newest first -> the tags of the experiment that hold its description and the view."""
    state = {
        "searchFilter": EVALUATED,
        "orderByKey": f"metrics.`{COLUMNS[0]}`",
        "orderByAsc": False,
        "selectedColumns": [f"metrics.`{name}`" for name in COLUMNS] + [f"tags.`{name}`" for name in TAGS],
    }
    return {
        "mlflow.experimentKind": "custom_model_development",  # MLflow 3 opens its pages for language models otherwise
        "mlflow.note.content": description(experiment_id, runs),
        f"mlflow.sharedViewState.{VIEW}": json.dumps(state),
    }


def description(experiment_id: str, runs: list[Any]) -> str:
    """A table in Markdown for each data set: its evaluated systems, each by its newest run, the most accurate first.

    Systems that are not shown to be above chance are not ranked.
    """
    newest: dict[tuple[str, str], Any] = {}
    for run in runs:
        newest.setdefault((run.data.tags["dataset"], run.data.tags["system"]), run)
    above = [run for run in newest.values() if run.data.metrics.get("test/above_chance")]
    ranked: dict[str, list[Any]] = {}
    for run in sorted(above, key=lambda run: -run.data.metrics["test/accuracy"]):
        ranked.setdefault(run.data.tags["dataset"], []).append(run)
    # MLflow shows the first line alone until it is clicked.
    best = [f"{name}: {_name(rows[0])} {_percent(rows[0], 'accuracy')} %" for name, rows in sorted(ranked.items())]
    link = f"[all](#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={VIEW})"
    lines = [f"Best accuracy on {'; '.join(best) or 'no data set: none is above chance'} ({link})"]
    for dataset, rows in sorted(ranked.items()):
        lines += ["", f"**{dataset}**", "", "| system | accuracy, % | 95 % interval | macro, % | minutes of training |"]
        lines += ["|---|---:|---:|---:|---:|", *map(_row, rows)]
    return "\n".join(lines) + "\n"


def _row(run: Any) -> str:
    low, high = (_percent(run, f"accuracy_{end}") for end in ("low", "high"))
    minutes = f"{run.data.metrics.get('cost/minutes', math.nan):.1f}"
    cells = [_name(run), _percent(run, "accuracy"), f"{low} to {high}", _percent(run, "macro"), minutes]
    return f"| {' | '.join(cells)} |"


def _name(run: Any) -> str:
    return f"[{run.data.tags['system']}](#/experiments/{run.info.experiment_id}/runs/{run.info.run_id})"


def _percent(run: Any, figure: str) -> str:
    return f"{100 * run.data.metrics.get(f'test/{figure}', math.nan):.2f}"
