"""A tiny data set with people in four folds, on which five systems are really trained, evaluated and perturbed."""

from pathlib import Path

import pytest

from mmfer.config import EvaluateParams, PerturbParams, StudyParams, TrainParams
from mmfer.testing import robustness
from mmfer.testing.evaluate import evaluate, write_results
from mmfer.testing.perturb import write_perturbed
from mmfer.testing.robustness import predict_perturbed
from mmfer.training.train import train_all
from tests.tiny import write_tiny

OURS = {"kind": "ours", "branches": ["image", "landmarks", "hog"], "channels": [4, 8], "image_hidden": [16]}
OURS |= {"landmarks_hidden": [16], "hog_hidden": [16]}
SYSTEMS = {
    "ours": (OURS, {}),
    "binary": (OURS, {"loss": "binary"}),
    "image": (OURS | {"branches": ["image"]}, {}),
    "svm": ({"components": 8}, {}),
    "lenet": ({}, {}),
}
PARAMS = StudyParams(reference="ours", baseline="svm", faces_per_class=1)


def write_measured(root: Path) -> Path:
    """Write data/tiny below `root`, with all results but robustness for `image`; return it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        folder = write_tiny(root / "data/tiny", folds=4)
        write_perturbed(folder, folder / "perturbed", PerturbParams(images=10, severities=[3]), 1)
        for name, (block, own) in SYSTEMS.items():
            train = TrainParams(epochs=2, batch_size=16, device="cpu", seeds=[0]).model_copy(update=own)
            train_all(folder, (name, block), train, lambda *_: None)
            result = evaluate(folder, name, EvaluateParams(runs=2, bootstrap=100))
            write_results(result, folder / "results/evaluate" / name)
            if name != "image":
                robustness.write_results(predict_perturbed(folder, name), folder / "results/robustness" / name)
    return folder
