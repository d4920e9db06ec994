"""Stage report: data/<dataset> and metrics/<dataset> -> metrics/report/<dataset> (everything beside the paper)."""

from pathlib import Path
from typing import Annotated

import typer

from mmfer.config import read_params
from mmfer.errors import run_app

app = typer.Typer(add_completion=False)


@app.command()
def report(dataset: Annotated[str, typer.Argument(help="A dataset that params.yaml names.")]) -> None:
    """Write the report of DATASET: our figures beside the paper's claims, with coverage and intervals."""
    everything = read_params()
    everything.dataset(dataset)
    from mmfer import report as page
    from mmfer import tracking

    with tracking.stage_run("report", dataset, everything.report) as run:
        target = Path("metrics", "report", dataset)
        run.log_artifact(page.write_report(Path("data", dataset), Path("metrics", dataset), target, everything.report))


if __name__ == "__main__":
    run_app(app)
