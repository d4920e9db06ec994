"""The ranked table of the experiment's description: who is in it, and in which order."""

from types import SimpleNamespace

from mmfer.tracking.ranking import description


def run(system, accuracy, above, dataset="fer"):
    """A run of MLflow as far as the ranking reads it."""
    metrics = {"test/accuracy": accuracy, "test/above_chance": above}
    data = SimpleNamespace(tags={"dataset": dataset, "system": system}, metrics=metrics)
    return SimpleNamespace(data=data, info=SimpleNamespace(experiment_id="1", run_id=system))


def test_systems_are_ranked_by_accuracy_and_those_at_chance_are_not():
    text = description("1", [run("ours", 0.5, 1), run("svm", 0.6, 1), run("vgg", 0.9, 0)])
    assert text.startswith("Best accuracy on fer: [svm](#/experiments/1/runs/svm) 60.00 %")
    assert text.index("[svm](") < text.index("[ours](")
    assert "vgg" not in text


def test_where_all_are_at_chance_none_is_best():
    assert description("1", [run("vgg", 0.14, 0)]).startswith("Best accuracy on no data set: none is above chance (")


def test_a_system_counts_by_its_newest_run():
    assert "50.00" not in description("1", [run("ours", 0.6, 1), run("ours", 0.5, 1)])
