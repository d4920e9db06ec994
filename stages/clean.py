"""Stage clean: data/<dataset>/raw -> data/<dataset>/clean (which images hold a face, landmarks, alignment)."""

from pathlib import Path
from typing import Annotated

import typer

from mmfer.config import read_params
from mmfer.errors import run_app

app = typer.Typer(add_completion=False)


@app.command()
def clean(
    dataset: Annotated[str, typer.Argument(help="A dataset that params.yaml names.")],
    workers: Annotated[int, typer.Option(min=1, help="Threads; any number gives the same bytes.")] = 2,
) -> None:
    """Find the face in every image of DATASET; mark as noise those without one; align the others."""
    params = read_params().dataset(dataset).clean
    from mmfer import files, tracking
    from mmfer.data.faceset import open_faceset
    from mmfer.face import clean as faces
    from mmfer.report import figures
    from mmfer.resources import measured

    data, metrics = Path("data", dataset), Path("metrics", dataset)
    sheet = data / "sheets" / "rejected.png"
    with tracking.stage_run("clean", dataset, params) as run:
        with measured() as cost:
            result = faces.write_clean(data / "raw", data / "clean", params, workers)
        rejected = result.index.index[~result.index["kept"]]
        counts = {"images": len(result), "rejected": len(rejected)}
        run.log_metrics(counts)
        shown = rejected[:60]
        captions = [result.classes[label] for label in result.index["label"][shown]]
        title = f"{dataset}: {len(rejected)} of {len(result)} images without a face (first {len(shown)})"
        figures.contact_sheet(
            open_faceset(data / "raw", needs=("images",)).images[shown], captions, 12, sheet, title=title
        )
        run.log_artifact(sheet)
    files.write_csv(metrics / "kept.csv", faces.kept_shares(result))
    files.write_json(metrics / "clean.json", counts | {"cost": cost})


if __name__ == "__main__":
    run_app(app)
