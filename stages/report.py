"""Stage report: metrics/study -> metrics/report (the paper's claims over all studies, the verdicts first)."""

from pathlib import Path

import typer

from mmfer.errors import run_app

app = typer.Typer(add_completion=False)


@app.command()
def report() -> None:
    """Put the verdicts of all studies on one page, of those that were measured elsewhere too."""
    from mmfer import tracking
    from mmfer.report import report as page

    with tracking.stage_run("report", None, {}) as run:
        run.log_artifact(page.write_report(Path("metrics", "study"), Path("metrics", "report")))


if __name__ == "__main__":
    run_app(app)
