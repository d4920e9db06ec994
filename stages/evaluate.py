"""Stage evaluate: data/<dataset>/models/<system> -> metrics/<dataset>/<system> (ten runs on three test sets)."""

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from mmfer.config import read_params
from mmfer.errors import run_app

app = typer.Typer(add_completion=False)


@app.command()
def evaluate(
    dataset: Annotated[str, typer.Argument(help="A dataset that params.yaml names.")],
    system: Annotated[str, typer.Argument(help="A system that params.yaml names.")],
) -> None:
    """Predict the test images of DATASET ten times with SYSTEM, average, and measure."""
    everything = read_params()
    everything.system(system)
    params = everything.dataset(dataset).evaluate
    from mmfer import evaluation, tracking

    data, metrics = Path("data", dataset), Path("metrics", dataset, system)
    with tracking.system_run("evaluate", everything, dataset, system, evaluate=params) as run:
        result = evaluation.evaluate(data, system, params)
        for path in evaluation.write_results(result, metrics):
            run.log_artifact(path)
        models = [json.loads(path.read_text()) for path in sorted((data / "models" / system).glob("*/model.json"))]
        run.log_metrics(_figures(result.metrics, evaluation.headline(result.metrics), models))
        for number, figures in enumerate(result.runs.to_dict("records")):
            with run.child(f"run {number}", stage="evaluate run", run=number) as child:
                child.log_metrics({"test": figures})
        by_seed = _seed_figures(data / "predictions" / f"{system}.npz")
        for seed, figures in zip(models[0]["train"]["seeds"], by_seed, strict=False):  # an estimator has but the first
            with run.child(f"seed {seed}", stage="evaluate seed", seed=seed) as child:
                child.log_metrics(figures)


def _figures(metrics: dict[str, Any], short: dict[str, Any], models: list[dict[str, Any]]) -> dict[str, Any]:
    """What MLflow gets of one system: the same names for all. `models` are their model.json."""
    counted = {"parameters": math.nan, "flops": math.nan} | short["cost"]  # nan: not counted, of an estimator
    training = {key: sum(model["result"][key] for model in models) for key in ("minutes", "samples_seen")}
    whole = short["whole"] | {key: metrics["whole"]["averaged"][key] for key in ("macro_auc", "ece", "per_class")}
    kept = {f"test_{name}": short[name] for name in ("kept", "kept_unique")}
    return {"test": whole, **kept, "cost": counted | training | {"models": len(models)}}


def _seed_figures(predictions: Path) -> list[dict[str, Any]]:
    """Accuracy of each seed's models by themselves, on the plain test faces: all of them, and those kept."""
    import numpy as np

    with np.load(predictions) as saved:
        right, kept = saved["probabilities"][:, 0].argmax(axis=2) == saved["labels"], saved["kept"]
    return [{"test": {"one_run": row.mean()}, "test_kept": {"one_run": row[kept].mean()}} for row in right]


if __name__ == "__main__":
    run_app(app)
