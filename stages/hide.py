"""Stage hide: data/<dataset>/raw and clean -> data/<dataset>/hidden (training faces with a part hidden, found anew)."""

from pathlib import Path
from typing import Annotated

import typer

from mmfer.config import read_params
from mmfer.errors import run_app
from mmfer.parallel import Workers, backend

app = typer.Typer(add_completion=False)


@app.command()
def hide(
    dataset: Annotated[str, typer.Argument(help="A dataset that params.yaml names.")],
    workers: Workers,
) -> None:
    """Hide parts of the training faces of DATASET, and find face, landmarks and alignment in what is left."""
    params = read_params().dataset(dataset).hide
    from mmfer import files, tracking
    from mmfer.face.hide import write_hidden

    data = Path("data", dataset)
    with backend(workers), tracking.stage_run("hide", dataset, params) as run:
        result = write_hidden(data / "raw", data / "clean", data / "hidden", params, workers)
        run.rows = len(result)
        counts = {"rows": len(result), "found": int(result.columns("kept")["kept"].sum())}
        run.log_metrics(counts)
    files.write_json(Path("metrics", dataset, "hide.json"), counts)


if __name__ == "__main__":
    run_app(app)
