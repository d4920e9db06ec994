"""Stage sheets: data/<dataset> -> data/<dataset>/sheets (pictures of its faces, and of what was made of them)."""

from pathlib import Path
from typing import Annotated

import typer

from mmfer.config import read_params
from mmfer.errors import run_app

app = typer.Typer(add_completion=False)


@app.command()
def sheets(dataset: Annotated[str, typer.Argument(help="A dataset that params.yaml names.")]) -> None:
    """Draw the faces of DATASET: examples, modalities, rejected images, copies, perturbed faces."""
    everything = read_params()
    everything.dataset(dataset)
    from mmfer import tracking
    from mmfer.report.sheets import write_sheets

    with tracking.stage_run("sheets", dataset, everything.study) as run:
        data = Path("data", dataset)
        write_sheets(data, everything.study)
        for picture in sorted((data / "sheets").iterdir()):
            run.log_artifact(picture)


if __name__ == "__main__":
    run_app(app)
