"""Stage perturb: data/<dataset>/raw and clean -> data/<dataset>/perturbed (test faces hidden, badly lit, corrupted)."""

from pathlib import Path
from typing import Annotated

import typer

from mmfer.config import read_params
from mmfer.errors import run_app

app = typer.Typer(add_completion=False)


@app.command()
def perturb(
    dataset: Annotated[str, typer.Argument(help="A dataset that params.yaml names.")],
    workers: Annotated[int, typer.Option(min=1, help="Threads; any number gives the same bytes.")] = 2,
) -> None:
    """Draw test faces of DATASET, perturb them, and find face, landmarks and HOG again in what is left."""
    params = read_params().dataset(dataset).perturb
    from mmfer import files, tracking
    from mmfer.report import figures
    from mmfer.resources import measured
    from mmfer.testing import perturb as perturbation

    data, sheet = Path("data", dataset), Path("data", dataset, "sheets", "perturbed.png")
    with tracking.stage_run("perturb", dataset, params) as run:
        with measured() as cost:
            result = perturbation.write_perturbed(data, data / "perturbed", params, workers)
        names = result.index["condition"].unique()
        each = len(result) // len(names)
        counts = {"rows": len(result), "not_found": int((~result.index["found"]).sum())}
        run.log_metrics(counts)
        title = f"{dataset}: one test face under every condition, as the networks see it"
        figures.contact_sheet(result.images[::each], list(names), 10, sheet, title=title)
        run.log_artifact(sheet)
    files.write_json(Path("metrics", dataset, "perturb.json"), counts | {"cost": cost})


if __name__ == "__main__":
    run_app(app)
