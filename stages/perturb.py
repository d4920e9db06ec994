"""Stage perturb: data/<dataset>/raw and clean -> data/<dataset>/perturbed (test faces hidden, badly lit, corrupted)."""

from pathlib import Path
from typing import Annotated

import typer

from mmfer.config import read_params
from mmfer.errors import run_app
from mmfer.parallel import Workers, backend

app = typer.Typer(add_completion=False)


@app.command()
def perturb(
    dataset: Annotated[str, typer.Argument(help="A dataset that params.yaml names.")],
    workers: Workers,
) -> None:
    """Draw test faces of DATASET, perturb them, and find face, landmarks and HOG again in what is left."""
    params = read_params().dataset(dataset).perturb
    from mmfer import files, tracking
    from mmfer.testing.perturb import write_perturbed

    data = Path("data", dataset)
    with backend(workers), tracking.stage_run("perturb", dataset, params) as run:
        result = write_perturbed(data, data / "perturbed", params, workers)
        run.rows = len(result)
        counts = {"rows": len(result), "not_found": int((~result.index["found"]).sum())}
        run.log_metrics(counts)
    files.write_json(Path("metrics", dataset, "perturb.json"), counts)


if __name__ == "__main__":
    run_app(app)
