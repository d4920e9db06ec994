"""What the tests of training share."""

import numpy as np
import pytest

from mmfer.config import TrainParams
from mmfer.training import loop
from mmfer.training.train import train_all
from tests.tiny import write_tiny
from tests.training.small import BLOCK, CLASSES, SHORT, N


@pytest.fixture(autouse=True)
def _every_epoch_is_saved(monkeypatch):
    """Checkpoints after each epoch: those of tests take milliseconds, and some are interrupted."""
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)


@pytest.fixture
def source(rng):
    """Landmarks and labels of N faces."""
    return {
        "landmarks": rng.normal(size=(N, 68, 2)).astype(np.float32),
        "labels": rng.integers(0, CLASSES, N, dtype=np.int64),
    }


@pytest.fixture(scope="module")
def folded(tmp_path_factory):
    """A data folder with two folds and a model of each, and the same people in a single split."""
    folder = tmp_path_factory.mktemp("folded")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, folds in {"data": 2, "split": 0}.items():
            write_tiny(folder / name, folds)
            train_all(folder / name, ("net", BLOCK), TrainParams(**SHORT), lambda *_: None)
        train_all(folder / "split", ("svm", {"kind": "svm", "components": 5}), TrainParams(**SHORT), lambda *_: None)
    return folder
