"""No stage, but the first command of each: refuse a params.yaml whose names are more to a shell than names."""

import typer

from mmfer.config import read_params
from mmfer.errors import run_app

app = typer.Typer(add_completion=False)


@app.command()
def names() -> None:
    """Check params.yaml, whose names of data sets and systems DVC writes into the commands of the stages."""
    read_params()


if __name__ == "__main__":
    run_app(app)
