"""Stage study: data/<dataset> -> data/<dataset>/study.zip -> metrics/study/<dataset> (its page)."""

from pathlib import Path
from typing import Annotated

import typer

from mmfer.config import read_params
from mmfer.errors import run_app

app = typer.Typer(add_completion=False)


@app.command()
def study(
    dataset: Annotated[str, typer.Argument(help="A dataset that params.yaml names, or with --file any name.")],
    file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Make the page of this study.zip, without data.")
    ] = None,
    target: Annotated[Path | None, typer.Option(help="Folder of the page; else metrics/study/DATASET.")] = None,
) -> None:
    """Gather the results of DATASET in one file and write their page: all systems beside the paper's claims."""
    everything = read_params()
    if file is None:
        everything.dataset(dataset)
    from mmfer import tracking
    from mmfer.report import study as page

    target = target or Path("metrics", "study", dataset)
    with tracking.stage_run("study", dataset, everything.study) as run:
        data = Path("data", dataset)
        if file:
            written = page.write_foreign(file, target)
        else:
            written = page.write_study(page.gather(data, everything.study), target, data / "sheets")
        run.log_artifact(written)


if __name__ == "__main__":
    run_app(app)
