"""Shards: data/<dataset>/raw -> data/<dataset>/0/raw, 1/raw, ..., for stages on many computers (docs/scale.md)."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from mmfer.config import read_params
from mmfer.errors import run_app

app = typer.Typer(add_completion=False)


@app.command()
def shards(
    dataset: Annotated[str, typer.Argument(help="A dataset that params.yaml names.")],
    rows: Annotated[int, typer.Option(min=1, help="Faces of a shard, at most.")] = 1_000_000,
    joined: Annotated[
        Literal["clean", "hidden", "augmented", "features"] | None,
        typer.Option("--join", help="Join what a stage has made of all shards, so that networks can be trained on it."),
    ] = None,
) -> None:
    """Cut the raw faces of DATASET into shards, which the stages clean to extract take as DATASET/0, DATASET/1, ..."""
    read_params().dataset(dataset)
    from mmfer.data.shards import cut, join

    data = Path("data", dataset)
    for faces in [join(data, joined)] if joined else cut(data, rows):
        print(faces.folder, len(faces))


if __name__ == "__main__":
    run_app(app)
