"""Stage train: data/<dataset>/augmented and features -> data/<dataset>/models/<system> (one folder a fold and seed)."""

import math
import os
from pathlib import Path
from typing import Annotated

import typer

from mmfer.config import read_params
from mmfer.errors import run_app

SPEED = ("samples_per_second", "tflops", "matmul_share")
app = typer.Typer(add_completion=False)


@app.command()
def train(
    dataset: Annotated[str, typer.Argument(help="A dataset that params.yaml names.")],
    system: Annotated[str, typer.Argument(help="A system that params.yaml names.")],
) -> None:
    """Train SYSTEM on DATASET, once for each fold and seed; goes on where an interrupted training was."""
    everything = read_params()
    params, block = everything.train(dataset, system), everything.system(system)
    from mmfer import files, tracking
    from mmfer.training.train import train_all

    metrics = Path("metrics", dataset, system)
    with tracking.system_run("train", everything, dataset, system) as run:
        with run.models() as log:
            trained = train_all(Path("data", dataset), (system, block), params, log)
        # parameters of an estimator: not counted
        speed = {key: trained.execution[key] for key in SPEED if key in trained.execution}
        run.log_metrics({"cost": {"parameters": math.nan} | trained.summary | trained.spent | speed})
    if os.environ.get("RANK", "0") != "0":
        return  # of the processes of torchrun one writes
    files.write_csv(metrics / "curves.csv", trained.curves)
    files.write_json(metrics / "train.json", trained.summary | {"execution": trained.execution})


if __name__ == "__main__":
    run_app(app)
