"""What defines a training, so that it is neither done twice nor taken for another.

A run is data, parameters, fold, seed, code and library versions. The hash of these names its checkpoint, so that a
training that was interrupted or paused goes on where it was. It also stands in model.json, so that a model is not
trained again where DVC runs the stage for another reason.

On one kind of CPU, with one number of threads, a run gives the same weights bit for bit, interrupted or not. Other
processors and numbers of threads add up in another order: the last bits differ, and after some epochs more. Both are
left out of the hash all the same: a model is worth as much wherever it was trained, and a long training may go on with
more threads. model.json records them (`execution`).
"""

import hashlib
import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np

from mmfer.data.splits import Rows

SHARED_CODE = (  # with a system's own module it defines how that is trained
    *("systems/__init__.py", "systems/layers.py", "systems/fusion.py", "systems/estimators.py"),
    *("training/train.py", "training/runs.py", "training/loop.py", "training/state.py"),
    *("training/schedule.py", "training/ema.py", "training/mixup.py", "training/device.py"),
    *("training/calibration.py", "training/models.py"),
    *("face/prepare.py", "face/points.py", "data/splits.py"),
)


def digest_inputs(model: Any, source: dict[str, np.ndarray]) -> str:
    """What every training of a kind of system reads: its own module, the code that all share, and the arrays."""
    package = Path(__file__).parents[1]
    code = [Path(inspect.getfile(type(model))), *(package / name for name in SHARED_CODE)]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in code))
    for array in source.values():
        digest.update(array.data)
    return digest.hexdigest()


def run_hash(facts: dict[str, Any], read: str, rows: Rows) -> str:
    """What defines a run: facts (parameters, how the data were made, fold, seed, versions), what is read, the rows.

    Which other seeds are trained makes no difference, nor when a training pauses.
    """
    train = {key: value for key, value in facts["train"].items() if key not in ("seeds", "max_minutes")}
    said = json.dumps([facts | {"train": train}, read], sort_keys=True).encode()
    return hashlib.sha256(said + rows.train.tobytes() + rows.val.tobytes()).hexdigest()[:24]
