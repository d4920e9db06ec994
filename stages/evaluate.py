"""Stage evaluate: data/<dataset>/models/<system> -> data/<dataset>/results/evaluate/<system> (three test sets)."""

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
    everything = read_params()
    everything.system(system)
    params = everything.dataset(dataset).evaluate
    from mmfer import tracking
    from mmfer.testing import evaluate as evaluation
    from mmfer.testing import tracked, votes

    data, metrics = Path("data", dataset), Path("metrics", dataset, system)
    with tracking.system_run("evaluate", everything, dataset, system, evaluate=params) as run:
        result = evaluation.evaluate(data, system, params)
        details, models = result.details, result.predictions.models
        evaluation.write_results(result, data / "results" / "evaluate" / system)
        for path in evaluation.write_metrics(result, metrics):
            run.log_artifact(path)
        run.log_metrics(tracked.tracked_figures(details))
        if "votes" in details:
            print(votes.in_words(details["votes"]["averaged"]), flush=True)
        for number, figures in enumerate(details["each_run"]):
            with run.child(f"run {number}", stage="evaluate run", run=number) as child:
                child.log_metrics({"test": figures})
        for seed, figures in details["each_seed"].items():
            with run.child(f"seed {seed}", stage="evaluate seed", seed=seed) as child:
                child.log_metrics(figures)
    # Not within the run: where the registry fails, the run is complete all the same.
    run.register(result.first, tracked.version_tags(details, models[0]), tracked.version_description(details, models))


if __name__ == "__main__":
    run_app(app)
