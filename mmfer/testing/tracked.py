"""What MLflow gets of an evaluation, from its details.json: metrics, and what a registered model's version says."""

import math
from typing import Any

from mmfer.testing.evaluate import TEST_SETS

MAIN = ("accuracy", "accuracy_low", "accuracy_high", "macro")


def tracked_figures(details: dict[str, Any]) -> dict[str, Any]:
    """The metrics of one system: the same names for all."""
    test, kept, unique = (
        {key: round(details[name]["averaged"][key], 4) for key in MAIN}
        | {"one_run": round(details[name]["plain"]["accuracy"], 4), "coverage": details[name]["coverage"]}
        for name in TEST_SETS
    )
    test |= {key: details["whole"]["averaged"][key] for key in ("macro_auc", "ece", "per_class")}
    test |= details.get("votes", {}).get("averaged", {})
    test["above_chance"] = int(details["whole"]["chance"]["above"])
    counted = {"parameters": math.nan, "flops": math.nan} | details["cost"]  # nan: not counted, of an estimator
    trained = {key: details["training"][key] for key in ("minutes", "samples_seen", "models")}
    return {"test": test, "test_kept": kept, "test_kept_unique": unique, "cost": counted | trained}


def version_tags(details: dict[str, Any], model: dict[str, Any]) -> dict[str, Any]:
    """What sets a version of a registered model apart: which weights (its model.json), and how good.

    Two versions with the same tags are one: nothing here may change as the same model is evaluated again.
    """
    figures = {f"test/{name}": details["whole"]["averaged"][name] for name in ("accuracy", "macro")}
    figures["test/one_run"] = details["whole"]["plain"]["accuracy"]
    rounded = {name: round(value, 4) for name, value in figures.items()}
    fold = {"fold": model["fold"]} if model["fold"] >= 0 else {}
    return {"model": model["run"], "weights": model["files"], "protocol": details["protocol"], **fold, **rounded}


def version_description(details: dict[str, Any], models: list[dict[str, Any]]) -> str:
    """The same for a reader. In cross-validation the first of `models` is registered, and the figure is of all."""
    first, folds = models[0], len({model["fold"] for model in models})
    accuracy, images = details["whole"]["averaged"]["accuracy"], details["whole"]["images"]
    text = (
        f"{details['system']} on {details['dataset']}, seed {first['seed']}: accuracy {100 * accuracy:.2f} % on the "
        f"whole test set ({images} images, {details['whole']['runs']['count']} runs averaged); {details['protocol']}."
    )
    if first["fold"] < 0:
        return text
    return f"{text} This is the model of fold {first['fold']}; the accuracy is that of the models of all {folds} folds."
