"""What model.json has to hold: checked when a model is opened, which may come from anywhere."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from mmfer.config import Block, check
from mmfer.errors import MmferError

FORMAT = 1


class Prepared(Block):
    """How the faces were prepared, as far as a model needs to know: the parameters of extract."""

    model_config = ConfigDict(extra="allow")
    params: dict[str, Any]


class Sets(Block):
    """From which probability on a class is among the candidates."""

    model_config = ConfigDict(extra="allow")
    least: float = Field(ge=0, le=1)


class Result(Block):
    """What answers are made with, of that which training found; mmfer.training.calibration says what it is."""

    model_config = ConfigDict(extra="allow")
    temperature: float = Field(1.0, ge=0.01, le=100)
    temperature_rise: float = Field(0.0, ge=-10, le=10)
    temperature_bend: float = Field(0.0, ge=-10, le=10)
    sets: Sets | None = None


class Facts(Block):
    """What model.json has to hold for a model to be used."""

    model_config = ConfigDict(extra="allow")
    format: Literal[1]
    system: str
    params: dict[str, Any]
    dataset: str
    classes: list[str] = Field(min_length=2)
    made_by: Prepared
    result: Result = Result(temperature=1.0, temperature_rise=0.0, temperature_bend=0.0)
    files: str = Field(description="sha256 of the other files")


def read_facts(folder: Path) -> dict[str, Any]:
    """What model.json says, checked; MmferError if it is missing, damaged or of another version."""
    file = folder / "model.json"
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError) as error:
        raise MmferError(f"{file}: missing or damaged ({error}); train again with `dvc repro`") from None
    version = facts.get("format") if isinstance(facts, dict) else None
    if version != FORMAT:
        raise MmferError(f"{file}: format {version}, expected {FORMAT}; train it again")
    check(Facts, facts, str(file))
    return facts
