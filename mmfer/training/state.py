"""All that changes while a network trains, and the checkpoint that holds it."""

import copy
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from mmfer.config import TrainParams
from mmfer.files import new_file
from mmfer.systems.layers import Network
from mmfer.training import processes


@dataclass
class State:
    """All that changes while a network trains; a checkpoint holds it."""

    network: Network
    trained: nn.Module  # the network as it is called in training: itself, or what keeps it equal in all processes
    average: Network | None
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)
    teachers: Sequence[Network] = ()  # do not change, and are not in the checkpoint

    @property
    def result(self) -> Network:
        """The network to use: the averaged one, where there is one."""
        return self.network if self.average is None else self.average


def start_state(network: Network, params: TrainParams, checkpoint: Path | None = None) -> State:
    """A fresh state, or that of the checkpoint."""
    optimizer = make_optimizer(network, params)
    trained = processes.kept_equal(network)
    average = copy.deepcopy(network).eval() if params.ema else None
    state = State(network, trained, average, optimizer)
    # Process 0 says what it finds: of several, one sets a damaged checkpoint aside.
    found = _load(checkpoint) if checkpoint and processes.rank() == 0 else None
    if checkpoint and (saved := processes.agreed(found)):
        for name in ("network", "average", "optimizer"):
            if saved[name] is not None:
                getattr(state, name).load_state_dict(saved[name])
        for name in ("epoch", "seconds", "history", "best"):
            setattr(state, name, saved[name])
        tqdm.write(f"resuming after epoch {state.epoch}, {state.seconds / 60:.1f} minutes in")
    return state


def make_optimizer(network: nn.Module, params: TrainParams) -> torch.optim.Optimizer:
    """AdamW over all parameters; or SGD with Nesterov's momentum, which decays kernels and matrices alone.

    That is how residual networks are trained with it (He et al., 2019, "Bag of tricks", 3.1: no decay of biases and
    norms); the decay of SGD is part of the gradient.
    """
    if params.optimizer == "adam":
        betas, decay = (params.beta1, params.beta2), params.weight_decay
        return torch.optim.AdamW(
            network.parameters(), params.learning_rate, betas, params.epsilon, weight_decay=decay, fused=True
        )
    weights = [p for p in network.parameters() if p.dim() > 1]
    others = [p for p in network.parameters() if p.dim() <= 1]
    groups = [{"params": weights, "weight_decay": params.weight_decay}, {"params": others}]
    return torch.optim.SGD(groups, params.learning_rate, params.beta1, nesterov=params.beta1 > 0, fused=True)


def save_checkpoint(state: State, path: Path) -> None:
    """Write the state so that a crash in between leaves the former checkpoint."""
    parts = {name: getattr(state, name) for name in ("network", "average", "optimizer")}
    saved = {name: part.state_dict() if part is not None else None for name, part in parts.items()}
    saved |= {name: getattr(state, name) for name in ("epoch", "seconds", "history", "best")}
    content = io.BytesIO()  # torch's own errors do not tell a full disk from a bug
    torch.save(saved, content)
    with new_file(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def _load(checkpoint: Path) -> dict[str, Any] | None:
    """What a checkpoint holds; a damaged one is set aside, which is printed, and None."""
    if not checkpoint.exists():
        return None
    try:
        return torch.load(checkpoint, map_location="cpu", weights_only=True)  # it may have been on a GPU
    except (MemoryError, OSError):  # it may well be whole
        raise
    except Exception as error:  # torch, pickle and zipfile each have their own
        if "allocate memory" in str(error):  # torch's word for the former
            raise MemoryError from None
        aside = checkpoint.rename(checkpoint.with_suffix(".damaged"))
        tqdm.write(f"{checkpoint}: damaged ({type(error).__name__}), now {aside.name}; the training starts over")
        return None
