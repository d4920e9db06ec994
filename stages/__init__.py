"""The DVC stages, one Typer command each: `python -m stages.clean --help`."""
