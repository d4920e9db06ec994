"""The epochs of a network: batches, steps, validation, the best epoch, and a checkpoint every twenty seconds.

Within an epoch nothing waits for the device: rows, mixing and the sums of loss and hits stay on it.
"""

import copy
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from mmfer.config import TrainParams
from mmfer.data.splits import Rows
from mmfer.errors import MmferError
from mmfer.face.prepare import prepare
from mmfer.systems.layers import Network
from mmfer.training import processes
from mmfer.training.device import choose_device, conditions, matmul_tflops, uses_bfloat16
from mmfer.training.ema import update_average
from mmfer.training.feed import Feed
from mmfer.training.mixup import draw_mixes, mix, smooth_targets
from mmfer.training.processes import Paused
from mmfer.training.schedule import learning_rate
from mmfer.training.state import State, save_checkpoint, start_state
from mmfer.training.teachers import answers

SAVE_SECONDS = 20.0  # between checkpoints, which of a large network take as long as a short epoch on a GPU


def fit_network(
    network: Network,
    feed: Feed,
    rows: Rows,
    params: TrainParams,
    seed: int,
    checkpoint: Path,
    log: Callable[[dict, int], None],
    pause_at: float = math.inf,
    teachers: Sequence[Network] = (),
) -> tuple[nn.Module, dict[str, Any], pd.DataFrame]:
    """Train until the epochs or the patience are used up -> network, facts for model.json, history.

    `feed` holds what the network and its `teachers` read. Once time.monotonic() is `pause_at` the training stops after
    its epoch with a Paused error; called again it goes on from the checkpoint, to the same weights.
    """
    device = choose_device(params.device)
    count, size = sizes(feed, rows, params)
    feed = ready(network, feed, params, size)
    flops = flops_of_sample(network, feed, rows.train, teachers)
    state = start_state(network, params, checkpoint)
    state.teachers = teachers
    disable = processes.rank() > 0 or None
    bar = tqdm(total=params.epochs, initial=state.epoch, desc="training", unit="epoch", disable=disable)
    saved = -math.inf
    while not _finished(state, params):
        with _enough_memory(params):
            record = _epoch(state, feed, rows, size, params, seed)
        pauses = processes.agreed(time.monotonic() >= pause_at) and not _finished(state, params)
        if processes.rank() == 0:
            if pauses or time.monotonic() - saved >= SAVE_SECONDS:
                save_checkpoint(state, checkpoint)
                saved = time.monotonic()
            log(slashed(record), state.epoch)
            bar.update()
            _say(bar, record)
        if pauses:
            raise Paused(f"training paused after epoch {state.epoch} of {params.epochs}")
    bar.close()
    result = state.result
    if params.select == "best":
        result.load_state_dict(state.best["weights"])
    seen = samples(state.epoch, size, params)
    facts = {
        "epochs": state.epoch,
        "chosen_epoch": state.best["epoch"] if params.select == "best" else state.epoch,
        "samples_seen": seen,
        "rows": count,
        "parameters": sum(p.numel() for p in result.parameters()),
    }
    bfloat16 = uses_bfloat16(params.precision, device)
    spent = speed(seen, state.seconds) | conditions(device, bfloat16)
    spent |= reached(flops, spent["samples_per_second"], device, bfloat16)
    return result.eval(), {"result": facts, "execution": spent}, pd.DataFrame(state.history)


def sizes(feed: Feed, rows: Rows, params: TrainParams) -> tuple[int, int]:
    """Samples of a pass over all training copies, and of an epoch."""
    count = len(rows.train) * feed.copies
    return count, min(params.samples_per_epoch or count, count)


def samples(epochs: int, size: int, params: TrainParams) -> int:
    """Samples that are seen in epochs of `size`, of each of which what is less than a batch is left out."""
    return epochs * (size // params.batch_size) * params.batch_size


def ready(network: Network, feed: Feed, params: TrainParams, size: int) -> Feed:
    """Bring the network to the device of the training; return the feed for it.

    MmferError where an epoch of `size` samples has no batch, or a batch no two samples for each process.
    """
    device = choose_device(params.device)
    if size < params.batch_size:
        raise MmferError(f"train.batch_size: {params.batch_size} is more than the {size} rows of an epoch; lower it")
    if params.batch_size < 2 * processes.count():
        raise MmferError(
            f"train.batch_size: {params.batch_size} is less than two for each of {processes.count()} processes; raise "
            "it, or start fewer"
        )
    network.to(device, memory_format=torch.channels_last)
    return feed.on(device, is_compiled(params, device))


def probe(
    network: Network, feed: Feed, rows: Rows, params: TrainParams, seconds: float, teachers: Sequence[Network] = ()
) -> float:
    """Samples a second of a training, measured over some seconds of it from its third step on; nothing is kept."""
    _, size = sizes(feed, rows, params)
    feed = ready(network, feed, params, size)
    state = start_state(network, params)
    state.teachers = teachers
    batch = epoch_samples(rows.train, feed.copies, 0, params.batch_size, 0)

    def some(batches: int) -> float:
        start = time.perf_counter()
        for _ in range(batches):
            train_epoch(state, feed, batch, params, 0)  # reads its sums, so that the device is done
        return time.perf_counter() - start

    with _enough_memory(params):
        some(2)
        batches = processes.agreed(max(1, math.ceil(seconds / some(1))))
        return batches * params.batch_size / some(batches)


@contextmanager
def _enough_memory(params: TrainParams) -> Iterator[None]:
    """MmferError where the device's memory does not hold what the steps of a training need."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise MmferError(
            f"train.batch_size: batches of {params.batch_size} do not fit the device's memory; lower it"
        ) from None


def is_compiled(params: TrainParams, device: str) -> bool:
    """Whether networks go through torch.compile: as params say, else on CUDA."""
    return device == "cuda" if params.compile is None else params.compile


def speed(samples: int, seconds: float) -> dict[str, float]:
    """What a training took: minutes, and samples a second."""
    return {"minutes": round(seconds / 60, 2), "samples_per_second": round(samples / seconds, 1)}


def reached(flops_each: int, samples_per_second: float, device: str, bfloat16: bool) -> dict[str, float]:
    """TFLOP/s of a training, and their share of those of a matrix product, measured here and now."""
    tflops = flops_each * samples_per_second / 1e12
    possible = processes.count() * matmul_tflops(device, bfloat16, torch.get_num_threads())
    return {"tflops": float(f"{tflops:.3g}"), "matmul_share": float(f"{tflops / possible:.3g}")}


def flops_of_sample(network: Network, feed: Feed, rows: np.ndarray, teachers: Sequence[Network] = ()) -> int:
    """Floating point operations of a training step for each sample, forward and backward, counted by torch."""
    some = torch.from_numpy(rows[:2]).to(feed.rows_on)
    batch = {k: v.to("meta") for k, v in feed.fetch(some).items()}
    with FlopCounterMode(display=False) as counter:
        copy.deepcopy(network).to("meta").train()(**prepare(batch, network.inputs)).sum().backward()
        for teacher in teachers:
            copy.deepcopy(teacher).to("meta")(**prepare(batch, teacher.inputs))
    return counter.get_total_flops() // 2


@functools.lru_cache(maxsize=2)
def _order(count: int, number: int, seed: int) -> np.ndarray:
    """The random order of the samples of a pass."""
    return np.random.default_rng([seed, 1, number]).permutation(count)


def epoch_samples(train: np.ndarray, copies: int, epoch: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The `size` samples of one epoch: training rows (size,), and numbers of their copies (size,).

    A pass is each row with each of `copies` numbers, in random order; the next pass has numbers of its own, but for 0,
    the plain face, which every pass has.
    """
    count = len(train) * copies
    passes, places = np.divmod(np.arange(epoch * size, (epoch + 1) * size), count)
    numbers = range(passes[0], passes[-1] + 1)
    sample = np.concatenate([_order(count, int(p), seed)[places[passes == p]] for p in numbers])
    number = sample % copies
    return train[sample // copies], np.where(number, number + passes * copies, 0)


def loss(logits: Tensor, targets: Tensor, kind: str) -> Tensor:
    """Logits and target probabilities (n, C) -> mean loss: cross entropy, or the binary form of the paper's eq. 10.

    Eq. 10 is summed over the classes: -[y log p + (1 - y) log(1 - p)], p the softmax.
    """
    if kind == "softmax":
        return nn.functional.cross_entropy(logits, targets)
    log_p = logits.log_softmax(dim=1)
    log_q = torch.log1p(-log_p.exp().clamp(max=1 - 1e-6))
    return -(targets * log_p + (1 - targets) * log_q).sum(dim=1).mean()


def assess(network: Network, feed: Feed, rows: np.ndarray, batch_size: int = 512) -> dict[str, float]:
    """Mean cross entropy of a network over some rows, to the votes where it is trained towards them, and accuracy."""
    network.eval()
    own = torch.from_numpy(processes.part(rows)).to(feed.rows_on)
    sums = torch.zeros(2, device=feed.device)
    with torch.inference_mode():
        for some in own.split(batch_size):
            batch = feed.fetch(some)
            logits = network(**prepare(batch, network.inputs))
            sums[0] += nn.functional.cross_entropy(logits, batch.get("votes", batch["labels"]), reduction="sum")
            sums[1] += (logits.argmax(1) == batch["labels"]).sum()
    total, right = processes.summed(sums).tolist()
    return {"loss": total / len(rows), "accuracy": right / len(rows)}


def _epoch(state: State, feed: Feed, rows: Rows, size: int, params: TrainParams, seed: int) -> dict[str, float]:
    """Train one epoch and validate -> its row of the history, which the state holds too."""
    begin = time.perf_counter()
    rate = learning_rate(params.learning_rate, params.schedule, state.epoch / params.epochs, params.warmup)
    record = {"epoch": state.epoch + 1, "learning_rate": rate}
    places = epoch_samples(rows.train, feed.copies, state.epoch, size, seed)
    record |= train_epoch(state, feed, places, params, seed)
    if len(rows.val):
        record |= {f"val_{k}": v for k, v in assess(state.result, feed, rows.val).items()}
    state.epoch += 1
    state.seconds += time.perf_counter() - begin
    record["minutes"] = round(state.seconds / 60, 3)
    state.history.append(record)
    _keep_best(state, record, params)
    return record


def train_epoch(
    state: State, feed: Feed, places: tuple[np.ndarray, np.ndarray], params: TrainParams, seed: int
) -> dict[str, float]:
    """Steps over batches of some rows and copies, what is left over dropped -> mean loss and accuracy."""
    rng = np.random.default_rng([seed, 2, state.epoch])
    torch.manual_seed(int(rng.integers(2**62)) + processes.rank())  # dropout; the same after a resume
    state.network.train()
    steps = len(places[0]) // params.batch_size
    rows, copies = (torch.from_numpy(part).to(feed.rows_on).split(params.batch_size) for part in places)
    own = processes.part(range(params.batch_size))
    drawn = draw_mixes(rng, params.mixup, steps, len(own), params.mixup_by) if params.mixup else ()
    mixes = [part.to(feed.device) for part in drawn]
    totals = torch.zeros(2, device=feed.device)  # of loss, and of samples that are right
    for step in tqdm(range(steps), leave=False, unit="batch", disable=processes.rank() > 0 or None):
        progress = (state.epoch + step / steps) / params.epochs
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(params.learning_rate, params.schedule, progress, params.warmup)
        batch = feed.samples(processes.part(rows[step]), processes.part(copies[step]))
        mixing = [part[step] for part in mixes] if progress < params.mixup_until else []
        totals += train_step(state, batch, params, mixing)
        if state.average is not None:
            update_average(state.average, state.network, params.ema, state.epoch * steps + step)
    for network in (state.network, state.average):
        if network is not None:
            processes.average_buffers(network)
    total, right = processes.summed(totals).tolist()
    mean = total / (steps * params.batch_size)
    if not math.isfinite(mean):
        raise MmferError(f"training: the loss is {mean} in epoch {state.epoch + 1}; lower train.learning_rate")
    return {"train_loss": mean, "train_accuracy": right / (steps * params.batch_size)}


def train_step(state: State, batch: dict[str, Tensor], params: TrainParams, mixing: list[Tensor]) -> Tensor:
    """One update of the weights; `mixing`: partners and share of mixup, or nothing -> sums (2,) of loss and hits."""
    device = batch["labels"].device.type
    of_batch = _objective(is_compiled(params, device))
    bfloat16 = uses_bfloat16(params.precision, device)
    taught = (state.teachers, params.teaching)
    value, right = of_batch(state.trained, batch, params.label_smoothing, params.loss, bfloat16, mixing, taught)
    own = len(batch["labels"])
    state.optimizer.zero_grad(set_to_none=True)
    # Gradients are averaged over the processes, whose parts of the batch may differ by a sample.
    (value * (own * processes.count() / params.batch_size)).backward()
    state.optimizer.step()
    return torch.stack([value.detach() * own, right])


@functools.cache
def _objective(compiled: bool) -> Callable[..., tuple[Tensor, Tensor]]:
    """One function for all trainings of a process, so that what was compiled for one seed or fold serves the next."""
    if not compiled:
        return objective
    torch._dynamo.config.recompile_limit = 256  # each system of a list is one; after 8, torch would no longer compile
    return torch.compile(objective, dynamic=False)


def objective(
    network: nn.Module,
    batch: dict[str, Tensor],
    smoothing: float,
    kind: str,
    bfloat16: bool,
    mixing: list[Tensor],
    taught: tuple[Sequence[Network], float] = ((), 0.0),
) -> tuple[Tensor, Tensor]:
    """Mean loss of a batch as it is stored, mixed as `mixing` says, and how many of it are right.

    `taught`: networks, and the share of their answers in what is trained towards.
    """
    inner = network.module if isinstance(network, DistributedDataParallel) else network
    targets = smooth_targets(batch.get("votes", batch["labels"]), inner.n_classes, smoothing)
    teachers, share = taught
    inputs = prepare(batch, tuple(dict.fromkeys(name for each in (inner, *teachers) for name in each.inputs)))
    if mixing:
        inputs, targets = mix(inputs, targets, *mixing)
    right = targets.argmax(1)
    with torch.autocast(batch["labels"].device.type, torch.bfloat16, enabled=bfloat16):
        if teachers:
            targets = targets.lerp(answers(teachers, inputs), share)
        logits = network(**{name: inputs[name] for name in inner.inputs})
    # A system whose objective is its point brings it along.
    own = getattr(inner, "loss", None)
    value = own(logits.float(), targets) if own else loss(logits.float(), targets, kind)
    return value, (logits.detach().argmax(1) == right).sum()


def _finished(state: State, params: TrainParams) -> bool:
    stale = state.epoch - state.best.get("epoch", state.epoch)
    return state.epoch >= params.epochs or (params.patience is not None and stale >= params.patience)


def _keep_best(state: State, record: dict[str, float], params: TrainParams) -> None:
    value = record.get("val_accuracy")
    if value is not None and value > state.best.get("accuracy", -1.0):
        weights = copy.deepcopy(state.result.state_dict()) if params.select == "best" else None
        state.best = {"accuracy": value, "epoch": state.epoch, "weights": weights}


def slashed(record: dict[str, float]) -> dict[str, float]:
    """MLflow's way to group metrics: train_loss -> train/loss."""
    return {key.replace("train_", "train/").replace("val_", "val/"): value for key, value in record.items()}


def _say(bar: tqdm, record: dict[str, float]) -> None:
    """One plain line an epoch where no terminal is attached."""
    if bar.disable:
        shown = " ".join(f"{key} {value:.4g}" for key, value in record.items())
        print(shown, flush=True)
