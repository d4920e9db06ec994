"""Stage extract: data/<dataset>/augmented -> data/<dataset>/features (landmarks and HOG of every row)."""

from pathlib import Path
from typing import Annotated

import typer

from mmfer.config import read_params
from mmfer.errors import run_app
from mmfer.parallel import Workers, backend

app = typer.Typer(add_completion=False)


@app.command()
def extract(
    dataset: Annotated[str, typer.Argument(help="A dataset that params.yaml names.")],
    workers: Workers,
) -> None:
    """Compute the landmarks and the HOG of every image of DATASET, copies included."""
    params = read_params().dataset(dataset).extract
    from mmfer import files, tracking
    from mmfer.face.extract import write_features

    data = Path("data", dataset)
    with backend(workers), tracking.stage_run("extract", dataset, params) as run:
        result = write_features(data / "augmented", data / "clean", data / "features", params, workers)
        run.rows = len(result)
        counts = {"rows": len(result), "hog_values": result.hog.shape[1]}
        run.log_metrics(counts)
    files.write_json(Path("metrics", dataset, "extract.json"), counts)


if __name__ == "__main__":
    run_app(app)
