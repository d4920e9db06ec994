"""What the tests of training share."""

import pytest

from mmfer.training import loop


@pytest.fixture(autouse=True)
def _every_epoch_is_saved(monkeypatch):
    """Checkpoints after each epoch: those of tests take milliseconds, and some are interrupted."""
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
