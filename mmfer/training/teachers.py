"""Trained networks whose averaged answers a network learns from (knowledge distillation: Hinton et al., 2015).

They see every sample as the network does, moved and mixed (the consistent teaching of Beyer et al., 2022).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmfer.data.faceset import FaceSet, source_of
from mmfer.errors import MmferError
from mmfer.systems.layers import Network
from mmfer.training.facts import read_facts
from mmfer.training.models import build, load_model, model_name

WHERE = ("path", "kaggle")  # of a source; the same faces may lie elsewhere


def find_teachers(paths: list[str], features: FaceSet, fold: int) -> list[Path]:
    """Model folders, or folders of a system's models, -> the models among them that may teach in a fold (-1: none).

    MmferError where there is none, or where one may have seen what the network is tested on: it has to be of the same
    fold of the same split of the same data set.
    """
    found = [model for path in paths for model in _models(Path(path), fold)]
    for model in found:
        facts = read_facts(model)
        other = what_differs(facts, features, fold)
        if other:
            raise MmferError(
                f"params.yaml: train.teachers: {model}: {other}: it may have seen faces that are held out here; name "
                "another"
            )
        if not isinstance(build(facts), nn.Module):
            raise MmferError(f"params.yaml: train.teachers: {model} is no network; name one")
    return found


def _models(path: Path, fold: int) -> list[Path]:
    if (path / "model.json").exists():
        return [path]
    models = sorted(path.glob(model_name(fold, 0)[:-1] + "*"))
    if not models:
        raise MmferError(f"params.yaml: train.teachers: {path}: no model of fold {fold} there; train it first")
    return models


def what_differs(facts: dict[str, Any], features: FaceSet, fold: int) -> str | None:
    """What sets the faces that the network of these facts was trained on apart from those of a fold, if anything."""
    seen = {"data set": facts["dataset"], "classes": facts["classes"], "fold": facts.get("fold"), **_split(facts)}
    own = {"data set": features.dataset, "classes": features.classes, "fold": fold}
    own |= _split({"made_by": features.made_by})
    return next(
        (f"its {name} is {seen.get(name)}, not {own[name]}" for name in own if seen.get(name) != own[name]), None
    )


def _split(facts: dict[str, Any]) -> dict[str, Any]:
    """What decided which faces are held out."""
    return {f"source.{name}": value for name, value in source_of(facts["made_by"]).items() if name not in WHERE}


def inputs_of(models: list[Path]) -> tuple[str, ...]:
    """What some networks read, each once."""
    return tuple(dict.fromkeys(name for model in models for name in build(read_facts(model)).inputs))


def open_teachers(models: list[Path], device: str) -> list[Network]:
    """Load the networks of some model folders, which stay as they are."""
    networks = (load_model(model, device).system for model in models)
    return [network.to(memory_format=torch.channels_last).requires_grad_(False) for network in networks]


@torch.no_grad()
def answers(teachers: Sequence[Network], inputs: dict[str, Tensor]) -> Tensor:
    """Inputs of a batch (n, ...) -> the teachers' mean probabilities (n, C) float32."""
    given = (teacher(**{name: inputs[name] for name in teacher.inputs}) for teacher in teachers)
    return torch.stack([logits.float().softmax(1) for logits in given]).mean(dim=0)
