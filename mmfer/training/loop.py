"""Training: the loop for networks, one fit for estimators.

A run is defined by its data, parameters, fold, seed and code; the hash of these names its checkpoint, so an interrupted
training goes on where it was and ends with the same weights (on CPU bit for bit, unless `max_minutes` ends it). It also
stands in model.json, so that a model is not trained again where DVC runs the stage for another reason.
"""

import copy
import hashlib
import inspect
import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from mmfer.config import TrainParams
from mmfer.data.faceset import FaceSet, open_faceset
from mmfer.data.splits import Rows, first_copies, folds_of, split_rows
from mmfer.errors import MmferError
from mmfer.face.prepare import prepare, stored_names
from mmfer.files import new_file, new_folder, write_json
from mmfer.training.calibration import fit_temperature
from mmfer.training.models import Model, build, holds_run, model_facts, save_model

CHECKPOINTS = Path(".checkpoints")  # ignored by git; what is unfinished, and finished parts of what is
SHARED_CODE = (  # with a system's own module it defines how that is trained
    *("systems/__init__.py", "systems/layers.py", "systems/estimators.py"),
    *("training/loop.py", "training/calibration.py", "face/prepare.py", "training/models.py", "data/splits.py"),
)


@dataclass
class State:
    """All that changes while a network trains; a checkpoint holds it."""

    network: nn.Module
    average: nn.Module | None
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)

    @property
    def result(self) -> nn.Module:
        """The network to use: the averaged one, where there is one."""
        return self.network if self.average is None else self.average


def train_all(
    data: Path, system: tuple[str, dict], params: TrainParams, log: Callable[[dict, int, dict[str, int]], None]
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Train one system for every fold and seed -> totals and the curves of all trainings.

    `log` gets each epoch: metrics, number, and which of several models it is of, {"fold": 0, "seed": 1} or {"seed": 1};
    {} where there is but one.

    data/models/<system> is replaced as a whole when all are trained; until then finished ones wait in .checkpoints.
    Models of the former folder that are wanted again are copied instead; `reused` among the totals counts them.
    """
    faces = open_faceset(data / "augmented", needs=("images",))
    values = open_faceset(data / "features", needs=("landmarks", "hog"))
    machine = build(model_facts(*system, values))
    source = stored_arrays(faces, values, machine.inputs)
    read = _digest(machine, source)
    # An estimator has no random start: one fit stands for all seeds.
    seeds = params.seeds if isinstance(machine, nn.Module) else params.seeds[:1]
    runs = {model_name(fold, seed): (fold, seed) for fold in folds_of(values.index) for seed in seeds}
    # Of all folds before any is trained, so that a leak in the last stops before the first.
    rows_of = {fold: seen_rows(faces, fold, params, machine) for fold in folds_of(values.index)}
    models, finished = data / "models" / system[0], []
    with new_folder(models) as folder:
        for name, (fold, seed) in runs.items():
            which = {"seed": seed} if fold < 0 else {"fold": fold, "seed": seed}
            model = which if len(runs) > 1 else {}
            facts = model_facts(*system, values, train=params.model_dump(), fold=fold, seed=seed)
            rows = rows_of[fold]
            facts["run"] = _hash(facts, read, rows)
            trained = models / name
            if not holds_run(trained, facts["run"]):
                trained = CHECKPOINTS / facts["run"]
                train_model(trained, facts, source, rows, params, lambda m, step, of=model: log(m, step, of))
                finished.append(trained)
            _copy(trained, folder / name, facts)
    for trained in finished:
        shutil.rmtree(trained)
    reused = len(runs) - len(finished)
    print(f"{reused} of {len(runs)} models reused: trained before with the same data, parameters and code", flush=True)
    totals, curves = _results([models / name for name in runs])
    return totals | {"reused": reused}, curves


def _results(models: list[Path]) -> tuple[dict[str, Any], pd.DataFrame]:
    """Totals over model folders and the curves of all."""
    facts = [json.loads((model / "model.json").read_text(encoding="utf-8")) for model in models]
    histories = [(f, model / "history.csv") for f, model in zip(facts, models, strict=True)]
    curves = [pd.read_csv(p).assign(fold=f["fold"], seed=f["seed"]) for f, p in histories if p.exists()]
    totals = {key: round(sum(f["result"][key] for f in facts), 2) for key in ("samples_seen", "minutes")}
    shared = {key: facts[0]["result"][key] for key in ("device", "parameters") if key in facts[0]["result"]}
    return {"models": len(models), **totals, **shared}, pd.concat(curves) if curves else pd.DataFrame({"epoch": []})


def stored_arrays(faces: FaceSet, values: FaceSet, inputs: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The arrays of augmented and features FaceSets that hold these inputs, by name, and the labels (N,) int64."""
    stored = {"images": faces.images, "landmarks": values.landmarks, "hog": values.hog}
    labels = faces.index["label"].to_numpy(dtype=np.int64)
    return {name: stored[name] for name in stored_names(inputs)} | {"labels": labels}


def seen_rows(faces: FaceSet, fold: int, params: TrainParams, machine: Any) -> Rows:
    """Rows of one fold; of the copies of its training faces those that params and an estimator's own block ask for."""
    rows, index = split_rows(faces, fold, params.select), faces.index
    train = first_copies(index, rows.train, params.copies)
    if not isinstance(machine, nn.Module):
        train = train[index["copy"].to_numpy()[train] < machine.copies]
    return replace(rows, train=train)


def model_name(fold: int, seed: int) -> str:
    """Folder of the model of one fold (-1: none) and seed."""
    return f"seed{seed}" if fold < 0 else f"fold{fold}-seed{seed}"


def _slashed(record: dict[str, float]) -> dict[str, float]:
    """MLflow's way to group metrics: train_loss -> train/loss."""
    return {key.replace("train_", "train/").replace("val_", "val/"): value for key, value in record.items()}


def train_model(
    folder: Path,
    facts: dict[str, Any],
    source: dict[str, np.ndarray],
    rows: Rows,
    params: TrainParams,
    log: Callable[[dict, int], None],
) -> None:
    """Train the model that the facts describe and write its folder, if it is not there already."""
    if folder.exists():
        return
    torch.manual_seed(facts["seed"])
    machine = build(facts)
    if isinstance(machine, nn.Module):
        checkpoint = folder.with_suffix(".pt")
        machine, result, history = fit_network(machine, source, rows, params, facts["seed"], checkpoint, log)
        result |= calibrated(Model(facts, machine), source, rows.val, result["device"])
        save_model(folder, facts | {"result": result}, machine, history)
        checkpoint.unlink()
    else:
        result = fit_estimator(machine, source, rows.train)
        result |= calibrated(Model(facts, machine), source, rows.val, result["device"])
        save_model(folder, facts | {"result": result}, machine)


def calibrated(model: Model, source: dict[str, np.ndarray], val: np.ndarray, device: str) -> dict[str, float]:
    """The temperature of a model's probabilities, fitted on validation rows; nothing where there are none."""
    if not len(val):
        return {}
    stored = {name: array[val] for name, array in source.items()}
    return {"temperature": round(fit_temperature(model.predict(stored, device), stored["labels"]), 4)}


def _digest(machine: Any, source: dict[str, np.ndarray]) -> str:
    """What every training of a kind of system reads: its own module, the code that all share, and the arrays."""
    package = Path(__file__).parents[1]
    code = [Path(inspect.getfile(type(machine))), *(package / name for name in SHARED_CODE)]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in code))
    for array in source.values():
        digest.update(array)
    return digest.hexdigest()


def _hash(facts: dict[str, Any], read: str, rows: Rows) -> str:
    """What defines a run: facts (parameters, how the data were made, fold, seed, versions), what is read, the rows.

    Which other seeds are trained makes no difference.
    """
    train = {key: value for key, value in facts["train"].items() if key != "seeds"}
    said = json.dumps([facts | {"train": train}, read], sort_keys=True).encode()
    return hashlib.sha256(said + rows.train.tobytes() + rows.val.tobytes()).hexdigest()[:24]


def _copy(trained: Path, folder: Path, facts: dict[str, Any]) -> None:
    """Copy a model's folder; where its model.json differs from the present facts (in train.seeds), these stand."""
    folder.mkdir()
    for file in trained.iterdir():  # one by one: copytree gathers its errors in a list that no line can tell
        shutil.copy(file, folder)
    former = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    write_json(folder / "model.json", former | facts)


def fit_estimator(machine: Any, source: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, Any]:
    """Fit a scikit-learn system on some rows; return a summary."""
    start = time.perf_counter()
    stored = {name: torch.from_numpy(array[rows]) for name, array in source.items()}
    machine.fit({name: x.numpy() for name, x in prepare(stored, machine.inputs).items()}, stored["labels"].numpy())
    seconds = time.perf_counter() - start
    rate = round(len(rows) / seconds, 1)
    return {"samples_seen": len(rows), "minutes": round(seconds / 60, 2), "samples_per_second": rate, "device": "cpu"}


def fit_network(
    network: nn.Module,
    source: dict[str, np.ndarray],
    rows: Rows,
    params: TrainParams,
    seed: int,
    checkpoint: Path,
    log: Callable[[dict, int], None],
) -> tuple[nn.Module, dict[str, Any], pd.DataFrame]:
    """Train until the epochs, the minutes or the patience are used up; return network, summary and history.

    `source` holds the stored arrays that the network reads, and the labels.
    """
    device = choose_device(params.device)
    source = resident(source, device)
    network.to(device, memory_format=torch.channels_last)
    state = _start(network, params, checkpoint)
    size = min(params.samples_per_epoch or len(rows.train), len(rows.train))
    bar = tqdm(total=params.epochs, initial=state.epoch, desc="training", unit="epoch", disable=None)
    while not _finished(state, params):
        begin = time.perf_counter()
        record = {"epoch": state.epoch + 1, "learning_rate": _learning_rate(state, 0.0, params)}
        record |= _train_epoch(state, source, epoch_rows(rows.train, state.epoch, size, seed), params, seed)
        if len(rows.val):
            record |= {f"val_{k}": v for k, v in assess(state.result, source, rows.val).items()}
        state.epoch += 1
        state.seconds += time.perf_counter() - begin
        record["minutes"] = round(state.seconds / 60, 3)
        state.history.append(record)
        _keep_best(state, record, params)
        save_checkpoint(state, checkpoint)
        log(_slashed(record), state.epoch)
        bar.update()
        _say(bar, record)
    bar.close()
    result = state.result
    if params.select == "best" and state.best:
        result.load_state_dict(state.best["weights"])
    seen = state.epoch * (size // params.batch_size) * params.batch_size
    summary = {
        "epochs": state.epoch,
        "chosen_epoch": state.best["epoch"] if params.select == "best" and state.best else state.epoch,
        "samples_seen": seen,
        "minutes": round(state.seconds / 60, 2),
        "samples_per_second": round(seen / state.seconds, 1),
        "device": device,
        "parameters": sum(p.numel() for p in result.parameters()),
    }
    return result.eval(), summary, pd.DataFrame(state.history)


def choose_device(wanted: str) -> str:
    """auto: CUDA, else MPS, else CPU. MmferError if a named device is absent."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return next(device for device, there in present.items() if there)
    if not present[wanted]:
        raise MmferError(f"params.yaml: train.device: {wanted} is not available on this machine; take auto or cpu")
    return wanted


def resident(source: dict[str, np.ndarray], device: str) -> dict[str, Any]:
    """The arrays as tensors in the GPU's memory, where they take less than 60 % of what is free; else as they are."""
    if device == "cuda" and sum(a.nbytes for a in source.values()) < 0.6 * torch.cuda.mem_get_info()[0]:
        return {name: torch.from_numpy(np.array(array)).to(device) for name, array in source.items()}
    return source


def fetch(source: dict[str, Any], rows: np.ndarray, device: torch.device) -> dict[str, Tensor]:
    """Rows of every array as tensors on the device."""
    if isinstance(source["labels"], Tensor):
        wanted = torch.from_numpy(rows).to(device)
        return {name: tensor[wanted] for name, tensor in source.items()}
    pinned = device.type == "cuda"
    batch = {name: torch.from_numpy(array[rows]) for name, array in source.items()}
    return {name: (t.pin_memory() if pinned else t).to(device, non_blocking=pinned) for name, t in batch.items()}


def epoch_rows(train: np.ndarray, epoch: int, size: int, seed: int) -> np.ndarray:
    """The `size` rows of one epoch: the training rows in random order, passed through again and again."""
    places = np.arange(epoch * size, (epoch + 1) * size)
    passes = places // len(train)
    orders = {p: np.random.default_rng([seed, 1, int(p)]).permutation(train) for p in np.unique(passes)}
    return np.concatenate([orders[p][places[passes == p] % len(train)] for p in orders])


def _train_epoch(
    state: State, source: dict[str, Any], rows: np.ndarray, params: TrainParams, seed: int
) -> dict[str, float]:
    device = next(state.network.parameters()).device
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=uses_bfloat16(params.precision, device.type))
    rng = np.random.default_rng([seed, 2, state.epoch])
    torch.manual_seed(int(rng.integers(2**62)))  # dropout; with rng it makes an epoch the same after a resume
    state.network.train()
    starts = range(0, len(rows) - params.batch_size + 1, params.batch_size)
    if not starts:
        raise MmferError(
            f"train.batch_size: {params.batch_size} is more than the {len(rows)} rows of an epoch; lower it"
        )
    total, right, begin = torch.zeros((), device=device), torch.zeros((), device=device), time.perf_counter()
    for step, start in enumerate(tqdm(starts, leave=False, unit="batch", disable=None)):
        elapsed = (state.seconds + time.perf_counter() - begin) / 60
        for group in state.optimizer.param_groups:
            group["lr"] = _learning_rate(state, step / len(starts), params, elapsed)
        batch = fetch(source, rows[start : start + params.batch_size], device)
        inputs, targets = _mixed(prepare(batch, state.network.inputs), batch["labels"], state, params, rng)
        with autocast:
            logits = state.network(**inputs)
        # A system whose objective is its point brings it along.
        own = getattr(state.network, "loss", None)
        value = own(logits.float(), targets) if own else loss(logits.float(), targets, params.loss)
        state.optimizer.zero_grad(set_to_none=True)
        value.backward()
        state.optimizer.step()
        if state.average is not None:
            _average(state, params.ema, state.epoch * len(starts) + step)
        total += value.detach()
        right += (logits.detach().argmax(1) == targets.argmax(1)).sum()
    mean = total.item() / len(starts)
    if not math.isfinite(mean):
        raise MmferError(f"training: the loss is {mean} in epoch {state.epoch + 1}; lower train.learning_rate")
    return {"train_loss": mean, "train_accuracy": right.item() / (len(starts) * params.batch_size)}


def uses_bfloat16(precision: str, device: str) -> bool:
    """Whether networks run under bfloat16 autocast."""
    return precision == "bfloat16" or (precision == "auto" and device == "cuda")


def loss(logits: Tensor, targets: Tensor, kind: str) -> Tensor:
    """Logits and target probabilities (n, C) -> mean loss: cross entropy, or the binary form of the paper's eq. 10.

    Eq. 10 is summed over the classes: -[y log p + (1 - y) log(1 - p)], p the softmax.
    """
    if kind == "softmax":
        return nn.functional.cross_entropy(logits, targets)
    log_p = logits.log_softmax(dim=1)
    log_q = torch.log1p(-log_p.exp().clamp(max=1 - 1e-6))
    return -(targets * log_p + (1 - targets) * log_q).sum(dim=1).mean()


def _mixed(
    inputs: dict[str, Tensor], labels: Tensor, state: State, params: TrainParams, rng: np.random.Generator
) -> tuple[dict[str, Tensor], Tensor]:
    """Smooth the labels and mix each sample with another of the batch (mixup: Zhang et al., 2018)."""
    n_classes = state.network.n_classes
    targets = nn.functional.one_hot(labels, n_classes).float()
    targets = targets * (1 - params.label_smoothing) + params.label_smoothing / n_classes
    if params.mixup == 0:
        return inputs, targets
    share = float(rng.beta(params.mixup, params.mixup))
    share = max(share, 1 - share)
    other = torch.from_numpy(rng.permutation(len(labels))).to(labels.device)
    return {k: v.lerp(v[other], 1 - share) for k, v in inputs.items()}, targets.lerp(targets[other], 1 - share)


def _average(state: State, decay: float, step: int) -> None:
    """Move the averaged weights and batch-norm statistics towards the present ones, faster in the beginning."""
    pairs = zip(state.average.state_dict().values(), state.network.state_dict().values(), strict=True)
    pairs = [(old, new) for old, new in pairs if old.is_floating_point()]
    torch._foreach_lerp_([old for old, _ in pairs], [new for _, new in pairs], 1 - min(decay, (1 + step) / (10 + step)))


def _learning_rate(state: State, within: float, params: TrainParams, minutes: float | None = None) -> float:
    """Constant, or a cosine to zero over the epochs or, where they end sooner, over the minutes."""
    if params.schedule == "constant":
        return params.learning_rate
    progress = (state.epoch + within) / params.epochs
    if params.max_minutes:
        progress = max(progress, (state.seconds / 60 if minutes is None else minutes) / params.max_minutes)
    return params.learning_rate * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def _finished(state: State, params: TrainParams) -> bool:
    stale = state.epoch - state.best.get("epoch", state.epoch)
    return (
        state.epoch >= params.epochs
        or (params.max_minutes is not None and state.seconds >= 60 * params.max_minutes)
        or (params.patience is not None and stale >= params.patience)
    )


def _keep_best(state: State, record: dict[str, float], params: TrainParams) -> None:
    value = record.get("val_accuracy")
    if value is not None and value > state.best.get("accuracy", -1.0):
        weights = copy.deepcopy(state.result.state_dict()) if params.select == "best" else None
        state.best = {"accuracy": value, "epoch": state.epoch, "weights": weights}


def assess(network: nn.Module, source: dict[str, Any], rows: np.ndarray, batch_size: int = 512) -> dict[str, float]:
    """Mean cross entropy and accuracy of a network over some rows."""
    network.eval()
    device = next(network.parameters()).device
    total, right = 0.0, 0
    with torch.inference_mode():
        for start in range(0, len(rows), batch_size):
            batch = fetch(source, rows[start : start + batch_size], device)
            logits = network(**prepare(batch, network.inputs))
            total += nn.functional.cross_entropy(logits, batch["labels"], reduction="sum").item()
            right += (logits.argmax(1) == batch["labels"]).sum().item()
    return {"loss": total / len(rows), "accuracy": right / len(rows)}


def _start(network: nn.Module, params: TrainParams, checkpoint: Path) -> State:
    """A fresh state, or that of the checkpoint."""
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=params.learning_rate,
        betas=(params.beta1, params.beta2),
        eps=params.epsilon,
        weight_decay=params.weight_decay,
    )
    state = State(network, copy.deepcopy(network).eval() if params.ema else None, optimizer)
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        for name in ("network", "average", "optimizer"):
            if saved[name] is not None:
                getattr(state, name).load_state_dict(saved[name])
        for name in ("epoch", "seconds", "history", "best"):
            setattr(state, name, saved[name])
        tqdm.write(f"resuming after epoch {state.epoch}, {state.seconds / 60:.1f} minutes in")
    return state


def save_checkpoint(state: State, path: Path) -> None:
    """Write the state so that a crash in between leaves the former checkpoint."""
    machines = {name: getattr(state, name) for name in ("network", "average", "optimizer")}
    saved = {name: machine.state_dict() if machine is not None else None for name, machine in machines.items()}
    saved |= {name: getattr(state, name) for name in ("epoch", "seconds", "history", "best")}
    with new_file(path) as temporary:
        torch.save(saved, temporary)


def _say(bar: tqdm, record: dict[str, float]) -> None:
    """One plain line an epoch where no terminal is attached."""
    if bar.disable:
        shown = " ".join(f"{key} {value:.4g}" for key, value in record.items())
        print(shown, flush=True)
