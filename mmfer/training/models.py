"""A trained model as a folder: weights without pickle, and model.json with all that is needed to use them.

model.safetensors | model.skops   the weights of a network | a scikit-learn estimator
model.json                        system, params, classes, alignment, features, versions, how it was trained
history.csv                       one row an epoch (networks)
model.onnx                        if mmfer.use.export wrote it: the graph, whose weights are those of model.safetensors
"""

import hashlib
import io
import json
import platform
import re
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save

import mmfer
from mmfer.config import ExtractParams, check
from mmfer.data.faceset import FaceSet
from mmfer.errors import MmferError
from mmfer.face.hog import hog_length
from mmfer.face.prepare import prepare, stored_names
from mmfer.files import new_folder, write_csv, write_json
from mmfer.systems import system_params
from mmfer.training.facts import FORMAT, read_facts

NETWORK, ESTIMATOR, HISTORY = "model.safetensors", "model.skops", "history.csv"
SCHEMA = "schema.json"  # in a file of skops; in it and in the names of the arrays stand ids of Python's objects
PLACE = re.compile(r'(?<="__id__": )\d+|(?<=")\d+(?=\.npy")')
BATCH = 512  # faces predicted at once
Weights = Literal["float32", "float16", "bfloat16"]  # of a saved network; one that is loaded computes in float32


@dataclass(frozen=True)
class Model:
    """A network or estimator with the facts of its model.json."""

    facts: dict[str, Any]
    system: Any  # the trained network or estimator

    @property
    def classes(self) -> list[str]:
        """Class names in the order of the probabilities."""
        return self.facts["classes"]

    def predict(self, stored: dict[str, np.ndarray], device: str = "cpu") -> np.ndarray:
        """Rows of images, landmarks and hog as a FaceSet stores them -> probabilities (n, C) float32."""
        names = stored_names(self.system.inputs)
        n = len(stored[names[0]])
        chunks = [{name: stored[name][i : i + BATCH] for name in names} for i in range(0, n, BATCH)]
        return np.concatenate([self._predict(chunk, device) for chunk in chunks])

    def _predict(self, chunk: dict[str, np.ndarray], device: str) -> np.ndarray:
        tensors = {name: torch.from_numpy(np.array(rows)).to(device) for name, rows in chunk.items()}
        inputs = prepare(tensors, self.system.inputs)
        if not isinstance(self.system, torch.nn.Module):
            return self.system.predict_proba({name: value.cpu().numpy() for name, value in inputs.items()})
        with torch.inference_mode():
            return self.system(**inputs).float().softmax(dim=1).cpu().numpy()


def cost(model: Model, stored: dict[str, np.ndarray], repeats: int = 50) -> dict[str, float | int]:
    """What one face costs: `latency_ms` (on one core, from stored arrays to probabilities) and, of a network,
    `parameters` and `flops` (floating point operations, a multiply-add is two, counted by torch).

    The latency is the least of `repeats`: what else the computer does only adds to it.
    """
    from torch.utils.flop_counter import FlopCounterMode

    one, threads, times = {name: array[:1] for name, array in stored.items()}, torch.get_num_threads(), []
    torch.set_num_threads(1)
    for _ in range(repeats):
        start = time.perf_counter()
        model.predict(one)
        times.append(time.perf_counter() - start)
    torch.set_num_threads(threads)
    facts: dict[str, float | int] = {"latency_ms": round(1e3 * min(times), 3)}
    if isinstance(model.system, torch.nn.Module):
        with FlopCounterMode(display=False) as counter:
            model.predict(one)
        facts["flops"] = counter.get_total_flops()
        facts["parameters"] = sum(p.numel() for p in model.system.parameters())
    return facts


def model_facts(name: str, block: dict[str, Any], features: FaceSet, **more: Any) -> dict[str, Any]:
    """What model.json says, before training: the system, its data, and how faces were prepared."""
    return {
        "format": FORMAT,
        "system": name,
        "params": block,
        "dataset": features.dataset,
        "classes": features.classes,
        "made_by": features.made_by,
        **more,
        "versions": versions(system_params(name, block)[0].build),
    }


def versions(system: Callable[..., Any]) -> dict[str, str]:
    """Versions of what a training goes through: PyTorch for networks, scikit-learn for estimators.

    Those of what made the arrays (numba, OpenCV, dlib) are left out: the bytes of the arrays themselves count.
    """
    found = {"mmfer": mmfer.__version__, "python": platform.python_version(), "numpy": version("numpy")}
    network = isinstance(system, type) and issubclass(system, torch.nn.Module)
    return found | {"torch": torch.__version__} | ({} if network else {"scikit-learn": version("scikit-learn")})


def model_name(fold: int, seed: int) -> str:
    """Folder of the model of one fold (-1: none) and seed."""
    return f"seed{seed}" if fold < 0 else f"fold{fold}-seed{seed}"


def build(facts: dict[str, Any]) -> Any:
    """The untrained network or estimator that the facts of a model describe."""
    system, params = system_params(facts["system"], facts["params"])
    extract = check(ExtractParams, facts["made_by"]["params"], "model.json")
    return system.build(params, len(facts["classes"]), hog_length=hog_length(extract))


def save_model(
    folder: Path,
    facts: dict[str, Any],
    system: Any,
    history: pd.DataFrame | None = None,
    weights: Weights = "float32",
) -> None:
    """Write the folder atomically.

    `weights` is how the file holds the parameters of a network; where it is not float32, model.json names it. Buffers
    stay as they are: the statistics of batch norm are few, and variances leave the range of float16 soonest.
    MmferError where a parameter is beyond that range.
    """
    with new_folder(folder) as temporary:
        if isinstance(system, torch.nn.Module):
            state = {key: value.contiguous().cpu() for key, value in system.state_dict().items()}
            if weights != "float32":
                state |= {key: _narrow(key, state[key], weights) for key, _ in system.named_parameters()}
                facts = facts | {"weights": weights}
            (temporary / NETWORK).write_bytes(save(state))  # by Python, which names a full disk
        else:
            _write_estimator(system.estimator, temporary / ESTIMATOR)
        if history is not None:
            write_csv(temporary / HISTORY, history)
        write_json(temporary / "model.json", facts | {"files": _files_digest(temporary)})


def _write_estimator(estimator: Any, path: Path) -> None:
    """Write an estimator as skops does, equal ones as equal bytes.

    skops names the parts by their places in memory and dates them; here they have numbers, in their order, and no date.
    """
    import skops.io

    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(estimator))) as parts, zipfile.ZipFile(path, "w") as numbered:
        schema = parts.read(SCHEMA).decode()
        numbers = {found: str(n) for n, found in enumerate(dict.fromkeys(PLACE.findall(schema)))}
        names = {f"{found}.npy": f"{number}.npy" for found, number in numbers.items()}
        numbered.writestr(zipfile.ZipInfo(SCHEMA), PLACE.sub(lambda found: numbers[found[0]], schema))
        for old, new in names.items():
            if old in parts.namelist():
                numbered.writestr(zipfile.ZipInfo(new), parts.read(old))


def _narrow(name: str, values: torch.Tensor, weights: Weights) -> torch.Tensor:
    dtype = getattr(torch, weights)
    largest, limit = float(values.abs().max()), torch.finfo(dtype).max
    if largest > limit:
        raise MmferError(f"{name}: a weight of {largest:.3g} is beyond {weights} ({limit:.3g}); save them as float32")
    return values.to(dtype)


def holds_run(folder: Path, run: str) -> bool:
    """Whether a folder holds the model of this run (`run` of its facts), unchanged since it was trained."""
    try:
        facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return facts.get("run") == run and facts.get("files") == _files_digest(folder)


def _files_digest(folder: Path) -> str:
    files = sorted(file for file in folder.iterdir() if file.name in (NETWORK, ESTIMATOR, HISTORY))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def load_model(folder: Path, device: str = "cpu") -> Model:
    """Open a model folder; MmferError if a file is missing, damaged or not what was saved, or of another version."""
    facts = read_facts(folder)
    system = build(facts)
    try:
        same = facts["files"] == _files_digest(folder)
        if isinstance(system, torch.nn.Module):
            system.load_state_dict(load_file(folder / NETWORK))
            system = system.to(device).eval()
        else:
            import skops.io

            system.estimator = skops.io.load(folder / ESTIMATOR)
            if max(system.estimator.classes_) >= len(facts["classes"]):
                raise ValueError(f"of more classes than the {len(facts['classes'])} of model.json")
    except Exception as error:  # safetensors, torch and skops each have their own
        raise MmferError(f"{folder}: weights missing or damaged ({error}); train again with `dvc repro`") from None
    if not same:
        raise MmferError(f"{folder}: its files are not those that were saved (sha256); copy them again, or train again")
    return Model(facts, system)


def train_params(models: Path) -> dict[str, Any]:
    """How the models of a folder were trained, the same of every fold and seed: the block `train` of their model.json.

    MmferError where there is no model.
    """
    found = next(models.glob("*seed*/model.json"), None)
    if found is None:
        raise MmferError(f"{models}: no model there; train it with `dvc repro`")
    return load_model(found.parent).facts["train"]
