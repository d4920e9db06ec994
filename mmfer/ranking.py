"""The evaluated systems in MLflow, best first: the description of the experiment, and a saved view of its runs.

MLflow's own table of runs opens without a metric. The view is what its Share button writes: a tag of the experiment.
"""

import json
import math
from typing import Any

VIEW = "ranking"  # #/experiments/<id>/runs?viewStateShareKey=ranking
EVALUATED = 'tags.stage = "evaluate"'
COLUMNS = ("test/accuracy", "test/accuracy_low", "test/accuracy_high", "test/macro", "cost/latency_ms", "cost/minutes")
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
        "mlflow.note.content": description(experiment_id, runs),
        f"mlflow.sharedViewState.{VIEW}": json.dumps(state),
    }


def description(experiment_id: str, runs: list[Any]) -> str:
    """A table in Markdown for each data set: its evaluated systems, each by its newest run, the most accurate first."""
    newest: dict[tuple[str, str], Any] = {}
    for run in runs:
        newest.setdefault((run.data.tags["dataset"], run.data.tags["system"]), run)
    lines = [f"[All evaluations, best first](#/experiments/{experiment_id}/runs?viewStateShareKey={VIEW})"]
    for dataset in sorted({name for name, _ in newest}):
        lines += ["", f"**{dataset}**", "", "| system | accuracy, % | 95 % interval | macro, % | minutes of training |"]
        lines.append("|---|---:|---:|---:|---:|")
        rows = [run for (name, _), run in newest.items() if name == dataset]
        lines += map(_row, sorted(rows, key=lambda run: -run.data.metrics["test/accuracy"]))
    return "\n".join(lines) + "\n"


def _row(run: Any) -> str:
    figures, experiment, run_id = run.data.metrics, run.info.experiment_id, run.info.run_id
    name = run.data.tags["system"]
    low, high = (_percent(figures, f"test/accuracy_{end}") for end in ("low", "high"))
    minutes = figures.get("cost/minutes", math.nan)
    cells = [
        f"[{name}](#/experiments/{experiment}/runs/{run_id})",
        _percent(figures, "test/accuracy"),
        f"{low} to {high}",
        _percent(figures, "test/macro"),
        f"{minutes:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def _percent(figures: dict[str, float], name: str) -> str:
    return f"{100 * figures.get(name, math.nan):.2f}"
