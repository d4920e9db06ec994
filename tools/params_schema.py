"""Write the JSON schema of params.yaml, by which editors complete and check it: `python -m tools.params_schema`."""

import json
from pathlib import Path
from typing import Any

import typer

from mmfer.config import Params, TrainParams
from mmfer.params import SCHEMA
from mmfer.systems import systems

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = "#/$defs/{model}"


def schema() -> dict[str, Any]:
    """The schema of mmfer.config's models, with a system's block checked by the model of its kind."""
    content = Params.model_json_schema(ref_template=REFERENCE)
    content["$defs"]["OwnTrain"] = content["$defs"]["TrainParams"] | {"title": "OwnTrain", "description": _own()}
    kinds = [_of_kind(kind, content["$defs"]) for kind in sorted(systems())]
    (names,) = content["properties"]["systems"]["patternProperties"]
    kind = {"enum": sorted(systems()), "description": "a module of mmfer/systems; without it the system's name"}
    block = {"type": "object", "properties": {"kind": kind}, "allOf": kinds}
    content["properties"]["systems"]["patternProperties"] = {names: block}
    for part in ("datasets", "systems"):
        content["properties"][part]["additionalProperties"] = False
    return {"$schema": "http://json-schema.org/draft-07/schema#"} | content


def _own() -> str:
    return f"Keys of the data set's `train` that this system replaces. {TrainParams.__doc__}"


def _of_kind(kind: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """What a block with this kind may hold."""
    block = systems()[kind].params.model_json_schema(ref_template=REFERENCE)
    definitions |= block.pop("$defs", {})
    block["properties"] |= {"kind": {"const": kind}, "train": {"$ref": REFERENCE.format(model="OwnTrain")}}
    definitions[f"system_{kind}"] = block
    condition = {"properties": {"kind": {"const": kind}}, "required": ["kind"]}
    return {"if": condition, "then": {"$ref": REFERENCE.format(model=f"system_{kind}")}}


def as_json() -> str:
    """The text of the file."""
    return json.dumps(schema(), indent=1) + "\n"


def main() -> None:
    """Write the file."""
    (ROOT / SCHEMA).write_text(as_json(), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
