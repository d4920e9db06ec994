"""Stage robustness: data/<dataset>/perturbed and models/<system> -> metrics/<dataset>/<system>/robustness.json."""

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
    from mmfer.testing import robustness as study

    metrics = Path("metrics", dataset, system)
    with tracking.system_run("robustness", everything, dataset, system) as run:
        probabilities, faces = study.predict_perturbed(Path("data", dataset), system)
        table = study.by_condition(probabilities, faces.index, faces.classes)
        short = study.headline(table)
        run.log_metrics({"robustness": short})
        files.write_csv(metrics / "faces.csv", study.by_face(probabilities, faces.index))
        files.write_csv(metrics / "robustness.csv", table)
        files.write_json(metrics / "robustness.json", {"robustness": short})


if __name__ == "__main__":
    run_app(app)
