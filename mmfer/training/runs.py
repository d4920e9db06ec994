"""What defines a training, so that it is neither done twice nor taken for another.

A run is data, parameters, fold, seed and code. The hash of these names its checkpoint, so that a
training that was interrupted or paused goes on where it was. It also stands in model.json, so that a model is not
trained again where DVC runs the stage for another reason.

On one kind of CPU, with one number of threads and one version of PyTorch, a run gives the same weights bit for bit,
interrupted or not. Other ones add up in another order: the last bits differ, and after some epochs more. They are left
out of the hash all the same, as is the type of the numbers that a device prefers: a model is worth as much wherever it
was trained, comes back from another computer as it is, and a long training may go on with more threads. model.json
records them (`execution`, `versions`). scikit-learn's version does count, for its estimators change with it.
"""

import hashlib
import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np

from mmfer.data.splits import Rows

SHARED_CODE = (  # with a system's own module it defines how that is trained
    *("systems/__init__.py", "systems/layers.py", "systems/convolution.py", "systems/fusion.py"),
    *("systems/estimators.py", "training/train.py", "training/runs.py", "training/loop.py", "training/state.py"),
    *("training/schedule.py", "training/ema.py", "training/mixup.py", "training/device.py", "training/feed.py"),
    *("training/processes.py", "training/calibration.py", "training/models.py", "training/teachers.py"),
    *("training/start.py", "face/prepare.py", "face/points.py", "face/online.py", "face/augment.py"),
    *("face/hide.py", "data/splits.py"),
)


# May differ where a run goes on; what is in the folders of teachers, and of the start, stands beside it.
ELSEWHERE = ("seeds", "max_minutes", "device", "precision", "compile", "teachers", "start")


def digest_inputs(model: Any, arrays: list[np.ndarray]) -> str:
    """What every training of a kind of system reads: its own module, the code that all share, and the arrays."""
    package = Path(__file__).parents[1]
    code = [Path(inspect.getfile(type(model))), *(package / name for name in SHARED_CODE)]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in code))
    for array in arrays:
        digest.update(array.data)
    return digest.hexdigest()


def run_hash(facts: dict[str, Any], read: str, rows: Rows) -> str:
    """What defines a run: facts (parameters, how the data were made, fold, seed), what is read, the rows.

    Which other seeds are trained makes no difference, nor where, nor when a training pauses.
    """
    train = {key: value for key, value in facts["train"].items() if key not in ELSEWHERE}
    versions = {key: value for key, value in facts["versions"].items() if key == "scikit-learn"}
    said = json.dumps([facts | {"train": train, "versions": versions}, read], sort_keys=True).encode()
    return hashlib.sha256(said + rows.train.tobytes() + rows.val.tobytes()).hexdigest()[:24]
