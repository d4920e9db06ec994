"""Stage augment: data/<dataset>/raw, clean, hidden -> data/<dataset>/augmented (copies of each training face)."""

from pathlib import Path
from typing import Annotated

import typer

from mmfer.config import read_params
from mmfer.errors import run_app
from mmfer.parallel import Workers, backend

app = typer.Typer(add_completion=False)


@app.command()
def augment(
    dataset: Annotated[str, typer.Argument(help="A dataset that params.yaml names.")],
    workers: Workers,
) -> None:
    """Draw random copies of the training faces of DATASET; faces that test or validate stay as they are."""
    params = read_params().dataset(dataset).augment
    from mmfer import files, tracking
    from mmfer.face.augment import write_augmented

    data = Path("data", dataset)
    with backend(workers), tracking.stage_run("augment", dataset, params) as run:
        result = write_augmented(data / "raw", data / "clean", data / "augmented", params, workers)
        run.rows = len(result)
        counts = {"rows": len(result), "trainable": int(result.columns("trainable")["trainable"].sum())}
        run.log_metrics(counts)
    files.write_json(Path("metrics", dataset, "augment.json"), counts)


if __name__ == "__main__":
    run_app(app)
