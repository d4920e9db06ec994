"""Stage study: data/<dataset> and metrics/<dataset> -> metrics/study/<dataset> (every system beside the paper)."""

from pathlib import Path
from typing import Annotated

import typer

from mmfer.config import read_params
from mmfer.errors import run_app

app = typer.Typer(add_completion=False)


@app.command()
def study(dataset: Annotated[str, typer.Argument(help="A dataset that params.yaml names.")]) -> None:
    """Write the page of DATASET: all systems beside the paper's claims, with tests and verdicts."""
    everything = read_params()
    everything.dataset(dataset)
    from mmfer import tracking
    from mmfer.report import study as chapter

    with tracking.stage_run("study", dataset, everything.study) as run:
        target = Path("metrics", "study", dataset)
        run.log_artifact(chapter.write_chapter(Path("data", dataset), target, everything.study))


if __name__ == "__main__":
    run_app(app)
