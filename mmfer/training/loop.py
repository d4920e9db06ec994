"""The epochs of a network: batches, steps, validation, the best epoch, and a checkpoint after each."""

import copy
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from mmfer.config import TrainParams
from mmfer.data.splits import Rows
from mmfer.errors import MmferError
from mmfer.face.prepare import prepare
from mmfer.systems.layers import Network
from mmfer.training.device import choose_device, conditions, fetch, resident, uses_bfloat16
from mmfer.training.ema import update_average
from mmfer.training.mixup import mix, smooth_targets
from mmfer.training.schedule import learning_rate
from mmfer.training.state import State, save_checkpoint, start_state


def fit_network(
    network: Network,
    source: dict[str, np.ndarray],
    rows: Rows,
    params: TrainParams,
    seed: int,
    checkpoint: Path,
    log: Callable[[dict, int], None],
    pause_at: float = math.inf,
) -> tuple[nn.Module, dict[str, Any], pd.DataFrame]:
    """Train until the epochs or the patience are used up -> network, facts for model.json, history.

    `source` holds the stored arrays that the network reads, and the labels. Once time.monotonic() is `pause_at` the
    training stops after its epoch with a MmferError; called again it goes on from the checkpoint, to the same weights.
    """
    device = choose_device(params.device)
    source = resident(source, device)
    network.to(device, memory_format=torch.channels_last)
    state = start_state(network, params, checkpoint)
    size = min(params.samples_per_epoch or len(rows.train), len(rows.train))
    bar = tqdm(total=params.epochs, initial=state.epoch, desc="training", unit="epoch", disable=None)
    while not _finished(state, params):
        record = _epoch(state, source, rows, size, params, seed)
        save_checkpoint(state, checkpoint)
        log(_slashed(record), state.epoch)
        bar.update()
        _say(bar, record)
        if time.monotonic() >= pause_at and not _finished(state, params):
            raise MmferError(
                f"training paused after epoch {state.epoch} of {params.epochs}: the {params.max_minutes:g} minutes of "
                "train.max_minutes are over; run it again and it goes on from there"
            )
    bar.close()
    result = state.result
    if params.select == "best":
        result.load_state_dict(state.best["weights"])
    seen = state.epoch * (size // params.batch_size) * params.batch_size
    facts = {
        "epochs": state.epoch,
        "chosen_epoch": state.best["epoch"] if params.select == "best" else state.epoch,
        "samples_seen": seen,
        "rows": len(rows.train),
        "parameters": sum(p.numel() for p in result.parameters()),
    }
    dtype = "bfloat16" if uses_bfloat16(params.precision, device) else "float32"
    spent = speed(seen, state.seconds) | conditions(device, dtype)
    return result.eval(), {"result": facts, "execution": spent}, pd.DataFrame(state.history)


def speed(samples: int, seconds: float) -> dict[str, float]:
    """What a training took: minutes, and samples a second."""
    return {"minutes": round(seconds / 60, 2), "samples_per_second": round(samples / seconds, 1)}


def epoch_rows(train: np.ndarray, epoch: int, size: int, seed: int) -> np.ndarray:
    """The `size` rows of one epoch: the training rows in random order, passed through again and again."""
    places = np.arange(epoch * size, (epoch + 1) * size)
    passes = places // len(train)
    orders = {p: np.random.default_rng([seed, 1, int(p)]).permutation(train) for p in np.unique(passes)}
    return np.concatenate([orders[p][places[passes == p] % len(train)] for p in orders])


def loss(logits: Tensor, targets: Tensor, kind: str) -> Tensor:
    """Logits and target probabilities (n, C) -> mean loss: cross entropy, or the binary form of the paper's eq. 10.

    Eq. 10 is summed over the classes: -[y log p + (1 - y) log(1 - p)], p the softmax.
    """
    if kind == "softmax":
        return nn.functional.cross_entropy(logits, targets)
    log_p = logits.log_softmax(dim=1)
    log_q = torch.log1p(-log_p.exp().clamp(max=1 - 1e-6))
    return -(targets * log_p + (1 - targets) * log_q).sum(dim=1).mean()


def assess(network: Network, source: dict[str, Any], rows: np.ndarray, batch_size: int = 512) -> dict[str, float]:
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


def _epoch(
    state: State, source: dict[str, Any], rows: Rows, size: int, params: TrainParams, seed: int
) -> dict[str, float]:
    """Train one epoch and validate -> its row of the history, which the state holds too."""
    begin = time.perf_counter()
    rate = learning_rate(params.learning_rate, params.schedule, state.epoch / params.epochs)
    record = {"epoch": state.epoch + 1, "learning_rate": rate}
    record |= _train_epoch(state, source, epoch_rows(rows.train, state.epoch, size, seed), params, seed)
    if len(rows.val):
        record |= {f"val_{k}": v for k, v in assess(state.result, source, rows.val).items()}
    state.epoch += 1
    state.seconds += time.perf_counter() - begin
    record["minutes"] = round(state.seconds / 60, 3)
    state.history.append(record)
    _keep_best(state, record, params)
    return record


def _train_epoch(
    state: State, source: dict[str, Any], rows: np.ndarray, params: TrainParams, seed: int
) -> dict[str, float]:
    """Steps over batches of some rows, what is left over dropped -> mean loss and accuracy."""
    device = next(state.network.parameters()).device
    rng = np.random.default_rng([seed, 2, state.epoch])
    torch.manual_seed(int(rng.integers(2**62)))  # dropout; with rng it makes an epoch the same after a resume
    state.network.train()
    starts = range(0, len(rows) - params.batch_size + 1, params.batch_size)
    if not starts:
        raise MmferError(
            f"train.batch_size: {params.batch_size} is more than the {len(rows)} rows of an epoch; lower it"
        )
    total, right = torch.zeros((), device=device), torch.zeros((), device=device)
    for step, start in enumerate(tqdm(starts, leave=False, unit="batch", disable=None)):
        progress = (state.epoch + step / len(starts)) / params.epochs
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(params.learning_rate, params.schedule, progress)
        value, correct = _step(state, fetch(source, rows[start : start + params.batch_size], device), params, rng)
        if state.average is not None:
            update_average(state.average, state.network, params.ema, state.epoch * len(starts) + step)
        total += value
        right += correct
    mean = total.item() / len(starts)
    if not math.isfinite(mean):
        raise MmferError(f"training: the loss is {mean} in epoch {state.epoch + 1}; lower train.learning_rate")
    return {"train_loss": mean, "train_accuracy": right.item() / (len(starts) * params.batch_size)}


def _step(
    state: State, batch: dict[str, Tensor], params: TrainParams, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """One update of the weights -> loss of the batch, and how many of it are right."""
    device = batch["labels"].device.type
    targets = smooth_targets(batch["labels"], state.network.n_classes, params.label_smoothing)
    inputs, targets = mix(prepare(batch, state.network.inputs), targets, params.mixup, rng)
    with torch.autocast(device, torch.bfloat16, enabled=uses_bfloat16(params.precision, device)):
        logits = state.network(**inputs)
    # A system whose objective is its point brings it along.
    own = getattr(state.network, "loss", None)
    value = own(logits.float(), targets) if own else loss(logits.float(), targets, params.loss)
    state.optimizer.zero_grad(set_to_none=True)
    value.backward()
    state.optimizer.step()
    return value.detach(), (logits.detach().argmax(1) == targets.argmax(1)).sum()


def _finished(state: State, params: TrainParams) -> bool:
    stale = state.epoch - state.best.get("epoch", state.epoch)
    return state.epoch >= params.epochs or (params.patience is not None and stale >= params.patience)


def _keep_best(state: State, record: dict[str, float], params: TrainParams) -> None:
    value = record.get("val_accuracy")
    if value is not None and value > state.best.get("accuracy", -1.0):
        weights = copy.deepcopy(state.result.state_dict()) if params.select == "best" else None
        state.best = {"accuracy": value, "epoch": state.epoch, "weights": weights}


def _slashed(record: dict[str, float]) -> dict[str, float]:
    """MLflow's way to group metrics: train_loss -> train/loss."""
    return {key.replace("train_", "train/").replace("val_", "val/"): value for key, value in record.items()}


def _say(bar: tqdm, record: dict[str, float]) -> None:
    """One plain line an epoch where no terminal is attached."""
    if bar.disable:
        shown = " ".join(f"{key} {value:.4g}" for key, value in record.items())
        print(shown, flush=True)
