"""Runs as MLflow reads them back."""

COST = {"cost/seconds", "cost/peak_mib"}  # of every stage


def logged(run):
    """The metrics of a run without its cost."""
    return {name: value for name, value in run.data.metrics.items() if name not in COST}


def runs_of(client):
    """All runs of the experiment by name."""
    experiment = client.get_experiment_by_name("mmfer")
    return {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
