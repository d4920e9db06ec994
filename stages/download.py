"""Stage download: the dataset's source -> data/<dataset>/raw (faces as they come, with labels, splits and people)."""

from pathlib import Path
from typing import Annotated

import typer

from mmfer.config import read_params
from mmfer.errors import run_app

app = typer.Typer(add_completion=False)


@app.command()
def download(
    dataset: Annotated[str, typer.Argument(help="A dataset that params.yaml names.")],
    workers: Annotated[int, typer.Option(min=1, help="Threads; any number gives the same bytes.")] = 2,
) -> None:
    """Read DATASET from its archive, folder or Kaggle, or render it; check it against the official counts."""
    source = read_params().dataset(dataset).source
    from mmfer import files, tracking
    from mmfer.data.download import write_raw

    with tracking.stage_run("download", dataset, source) as run:
        counts, by_class = write_raw(Path("data", dataset, "raw"), dataset, source, workers)
        run.log_metrics(counts)
    files.write_csv(Path("metrics", dataset, "counts.csv"), by_class)
    files.write_json(Path("metrics", dataset, "download.json"), counts)


if __name__ == "__main__":
    run_app(app)
