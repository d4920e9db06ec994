"""The systems of the comparison, one file each, and their registry.

A system is a class with `inputs` (which of INPUTS it looks at), built as `cls(params, n_classes, hog_length)`. It is a
torch module with `n_classes` that maps those inputs to logits (and may bring its own `loss` of logits and target
probabilities), or an estimator with `fit` and `predict_proba`.
Most networks are a Chain of layers (mmfer.systems.layers).
A file is added to this folder and its kind can be named in params.yaml; nothing else is to be edited. Code that several
files share belongs in layers.py, fusion.py or estimators.py, which SHARED_CODE of mmfer.training.runs names.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mmfer.config import Block, check, own_train, pick

INPUTS = ("image", "landmarks", "hog", "visible")


@dataclass(frozen=True)
class System:
    """A registered kind of system."""

    kind: str
    params: type[Block]
    build: Callable[..., Any]


_registry: dict[str, System] = {}


def register(kind: str, params: type[Block]) -> Callable[[type], type]:
    """Class decorator: make a system known as `kind`, with `params` as the model of its block in params.yaml."""

    def add(cls: type) -> type:
        _registry[kind] = System(kind, params, cls)
        return cls

    return add


def systems() -> dict[str, System]:
    """All systems by kind; imports every module of this package once."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        importlib.import_module(module.name)
    return dict(_registry)


def system_params(name: str, block: dict[str, Any], file: str = "params.yaml") -> tuple[System, Block]:
    """The system and its checked parameters that the block `systems.<name>` of a file of parameters describes.

    Its `train` is checked, but no part of them. MmferError names an unknown kind or key.
    """
    where = f"{file}: systems.{name}"
    own_train(name, block, file)
    system = pick(systems(), block.get("kind", name), f"{where}.kind")
    return system, check(system.params, {k: v for k, v in block.items() if k not in ("kind", "train")}, where)
