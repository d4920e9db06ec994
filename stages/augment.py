"""Stage augment: data/<dataset>/raw and clean -> data/<dataset>/augmented (thirty copies of each training face)."""

from pathlib import Path
from typing import Annotated

import typer

from mmfer.config import read_params
from mmfer.errors import run_app

app = typer.Typer(add_completion=False)


@app.command()
def augment(
    dataset: Annotated[str, typer.Argument(help="A dataset that params.yaml names.")],
    workers: Annotated[int, typer.Option(min=1, help="Threads; any number gives the same bytes.")] = 2,
) -> None:
    """Draw random copies of the training faces of DATASET; faces that test or validate stay as they are."""
    params = read_params().dataset(dataset).augment
    from mmfer import files, tracking
    from mmfer.face import augment as augmentation
    from mmfer.report import figures
    from mmfer.resources import measured

    data, sheet = Path("data", dataset), Path("data", dataset, "sheets", "copies.png")
    with tracking.stage_run("augment", dataset, params) as run:
        with measured() as cost:
            result = augmentation.write_augmented(data / "raw", data / "clean", data / "augmented", params, workers)
        counts = {"rows": len(result), "trainable": int(result.index["trainable"].sum())}
        run.log_metrics(counts | {"rows_per_second": len(result) / cost["seconds"]})
        first = result.index.index[result.index["trainable"]][:60]
        figures.contact_sheet(result.images[first], None, 12, sheet, title=f"{dataset}: copies of training faces")
        run.log_artifact(sheet)
    files.write_json(Path("metrics", dataset, "augment.json"), counts | {"cost": cost})


if __name__ == "__main__":
    run_app(app)
