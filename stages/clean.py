"""Stage clean: data/<dataset>/raw -> data/<dataset>/clean (which images hold a face, landmarks, alignment)."""

from pathlib import Path
from typing import Annotated

import typer

from mmfer.config import read_params
from mmfer.errors import run_app
from mmfer.parallel import Workers, backend

app = typer.Typer(add_completion=False)


@app.command()
def clean(
    dataset: Annotated[str, typer.Argument(help="A dataset that params.yaml names.")],
    workers: Workers,
) -> None:
    """Find the face in every image of DATASET; mark as noise those without one; align the others."""
    params = read_params().dataset(dataset).clean
    from mmfer import files, tracking
    from mmfer.face.clean import kept_shares, write_clean

    data, metrics = Path("data", dataset), Path("metrics", dataset)
    with backend(workers), tracking.stage_run("clean", dataset, params) as run:
        result = write_clean(data / "raw", data / "clean", params, workers)
        run.rows = len(result)
        counts = {"images": len(result), "rejected": int((~result.columns("kept")["kept"]).sum())}
        run.log_metrics(counts)
    files.write_csv(metrics / "kept.csv", kept_shares(result))
    files.write_json(metrics / "clean.json", counts)


if __name__ == "__main__":
    run_app(app)
