"""All that changes while a network trains, and the checkpoint that holds it."""

import copy
import io
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

    @property
    def result(self) -> Network:
        """The network to use: the averaged one, where there is one."""
        return self.network if self.average is None else self.average


def start_state(network: Network, params: TrainParams, checkpoint: Path | None = None) -> State:
    """A fresh state, or that of the checkpoint."""
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=params.learning_rate,
        betas=(params.beta1, params.beta2),
        eps=params.epsilon,
        weight_decay=params.weight_decay,
        fused=True,
    )
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
    except Exception as error:  # torch, pickle and zipfile each have their own
        aside = checkpoint.rename(checkpoint.with_suffix(".damaged"))
        tqdm.write(f"{checkpoint}: damaged ({type(error).__name__}), now {aside.name}; the training starts over")
        return None
