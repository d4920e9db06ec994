"""Stage robustness: data/<dataset>/perturbed and models/<system> -> data/<dataset>/results/robustness/<system>."""

from pathlib import Path
from typing import Annotated

import typer

from mmfer.config import read_params
from mmfer.errors import run_app

app = typer.Typer(add_completion=False)


@app.command()
def robustness(
    dataset: Annotated[str, typer.Argument(help="A dataset that params.yaml names.")],
    system: Annotated[str, typer.Argument(help="A system that params.yaml names.")],
) -> None:
    """Predict the perturbed test faces of DATASET with SYSTEM; measure by condition and class."""
    everything = read_params()
    everything.dataset(dataset)
    everything.system(system)
    from mmfer import files, tracking
    from mmfer.testing import robustness as robust

    data, metrics = Path("data", dataset), Path("metrics", dataset, system)
    with tracking.system_run("robustness", everything, dataset, system) as run:
        predicted = robust.predict_perturbed(data, system)
        table = robust.write_results(predicted, data / "results" / "robustness" / system)
        run.log_metrics({"robustness": robust.headline(table)})
        files.write_json(metrics / "robustness.json", robust.main_figures(table))


if __name__ == "__main__":
    run_app(app)
