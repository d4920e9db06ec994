"""Stage evaluate: data/<dataset>/models/<system> -> metrics/<dataset>/<system> (ten runs on three test sets)."""

from pathlib import Path
from typing import Annotated

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
    params = read_params().dataset(dataset).evaluate
    from mmfer import evaluation, tracking

    data, metrics = Path("data", dataset), Path("metrics", dataset, system)
    with tracking.stage_run("evaluate", dataset, params, system=system) as run:
        result = evaluation.evaluate(data, system, params)
        for number, figures in enumerate(result.runs.to_dict("records")):
            with run.child(f"run {number}", run=number) as child:
                child.log_metrics({f"test/{key}": value for key, value in figures.items()})
        run.log_metrics({"test": result.metrics["whole"], "test_kept": result.metrics["kept"]})
        for path in evaluation.write_results(result, metrics):
            run.log_artifact(path)


if __name__ == "__main__":
    run_app(app)
