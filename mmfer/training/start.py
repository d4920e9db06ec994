"""A trained network whose weights another one starts from: trained further, or fine-tuned on faces of one's own."""

from pathlib import Path
from typing import Any

from torch import nn

from mmfer.data.faceset import FaceSet
from mmfer.errors import MmferError
from mmfer.training.facts import read_facts
from mmfer.training.models import build, load_model, model_name
from mmfer.training.teachers import what_differs


def find_start(path: str, features: FaceSet, fold: int, seed: int) -> Path:
    """A model folder, or a folder of a system's models, -> the model to start from in a fold (-1: none), with a seed.

    MmferError where it is missing, or is of this data set but not of this fold of this split: it may then have seen
    what the network is tested on. Of another data set anything may be started from.
    """
    folder = Path(path)
    folder = folder if (folder / "model.json").exists() else folder / model_name(fold, seed)
    if not folder.exists():
        raise MmferError(f"params.yaml: train.start: {folder}: not found; train it first, or name a model's folder")
    facts = read_facts(folder)
    other = what_differs(facts, features, fold) if facts["dataset"] == features.dataset else None
    if other:
        raise MmferError(
            f"params.yaml: train.start: {folder}: {other}: it may have seen faces that are held out here; name another"
        )
    return folder


def start_from(network: nn.Module, facts: dict[str, Any], folder: Path) -> None:
    """Give an untrained network, of such facts, the weights of a trained one.

    Where their classes differ, the layers that answer in classes stay random, which is printed. MmferError where other
    layers differ.
    """
    trained = load_model(folder)
    given, own = trained.system.state_dict() if isinstance(trained.system, nn.Module) else {}, network.state_dict()
    answering = set() if trained.classes == facts["classes"] else _answering(facts)
    other = sorted((own.keys() ^ given.keys()) - answering) + sorted(
        name for name in (own.keys() & given.keys()) - answering if own[name].shape != given[name].shape
    )
    if other:
        raise MmferError(
            f"params.yaml: train.start: {folder}: {trained.facts['system']} is another network than {facts['system']}: "
            f"{other[0]} differs; give both the same params"
        )
    if answering:
        print(f"{folder}: other classes: {', '.join(sorted(answering))} start at random", flush=True)
    network.load_state_dict({name: own[name] if name in answering else given[name] for name in own})


def _answering(facts: dict[str, Any]) -> set[str]:
    """What of the network of these facts depends on the number of classes: weights and biases, by their names."""
    own, wider = (build(facts | {"classes": names}).state_dict() for names in ([*"ab"], [*"abc"]))
    return {name for name in own if own[name].shape != wider[name].shape}
