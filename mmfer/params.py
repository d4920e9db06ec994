"""Ready parameters for params.yaml: docs/params has a file for each set, which holds what differs from the defaults.

The defaults are those of mmfer.config and of each system; docs/params/systems.yaml names the systems of the paper.
What is written states every value, for DVC sees only what stands in params.yaml, in the form that `dvc exp run -S`
would give it: it rewrites the whole file, and so changes a line alone.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from mmfer.config import SOURCES, Defaults, Params, check, read_yaml, suggest
from mmfer.errors import MmferError
from mmfer.systems import system_params

FOLDER = Path("docs/params")
SYSTEMS = FOLDER / "systems.yaml"
SCHEMA = FOLDER / "schema.json"


def set_names() -> list[str]:
    """The sets by name; MmferError outside the folder of the project."""
    names = sorted(file.stem for file in FOLDER.glob("*.yaml") if file != SYSTEMS)
    if not names:
        raise MmferError(f"{FOLDER}: not found; run from the folder that holds dvc.yaml")
    return names


def remarks(name: str) -> list[str]:
    """The lines of comment on top of a set: what it is for, and what it costs."""
    lines = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    return lines[: next(number for number, line in enumerate(lines) if not line.startswith("#"))]


def compose(name: str, paths: list[str], systems: list[str]) -> dict[str, Any]:
    """The content of params.yaml that a set describes, with every value.

    `paths` are files or folders of faces: DATASET=PATH, or PATH alone where one data set of the set reads files.
    `systems` are further ones of docs/params/systems.yaml. MmferError names what does not exist (any more).
    """
    _expect([name], set_names(), str(FOLDER))
    file = str(FOLDER / f"{name}.yaml")
    known = _load(SYSTEMS)["systems"]
    content = _load(FOLDER / f"{name}.yaml")
    blocks: dict[str, dict[str, Any]] = {key: {} for key in Defaults.model_fields}
    content["defaults"] = blocks | content.get("defaults", {})
    content["datasets"] = {key: blocks | own for key, own in content["datasets"].items()}
    for key, path in _assigned(paths, content["datasets"]).items():
        content["datasets"][key]["source"] = content["datasets"][key]["source"] | {"path": path}
    _expect(systems, known, str(SYSTEMS))
    content["systems"] |= {key: {} for key in systems}
    content["systems"] = {key: known.get(key, {}) | own for key, own in content["systems"].items()}
    params = check(Params, {"study": {}} | content, file)
    return {
        "defaults": params.defaults.model_dump(),
        "datasets": {
            key: {"source": params.datasets[key].source.model_dump()} | {block: own[block] for block in blocks}
            for key, own in content["datasets"].items()
        },
        "systems": {key: _stated(key, own, file) for key, own in content["systems"].items()},
        "study": params.study.model_dump(),
    }


def read_changed(source: str, changes: list[str]) -> Params:
    """A file like params.yaml, or a ready set, with values replaced: KEY=VALUE, as in `dvc exp run --set-param`.

    MmferError names a key or value that is wrong.
    """
    content = read_yaml(source) if source.endswith((".yaml", ".yml")) else compose(source, [], [])
    for change in changes:
        key, found, value = change.partition("=")
        *path, last = key.split(".")
        block = content
        for part in path:
            block = block.setdefault(part, {}) if isinstance(block, dict) else None
        if not (found and isinstance(block, dict)):
            raise MmferError(f"--set {change}: give KEY=VALUE, as in defaults.train.epochs=3")
        try:
            block[last] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError, RecursionError) as error:  # as read_yaml
            raise MmferError(f"--set {change}: {' '.join(str(error).split())}; correct the value") from None
    return check(Params, content, source)


def _expect(names: Iterable[str], known: Iterable[str], where: str) -> None:
    for name in set(names) - set(known):
        raise MmferError(f"{where}: {name}: not there; {suggest(name, known)}")


def _load(file: Path) -> dict[str, Any]:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def _assigned(paths: list[str], datasets: dict[str, Any]) -> dict[str, str]:
    """The path of each data set that is given one."""
    readers = [key for key, own in datasets.items() if "path" in SOURCES[own["source"]["kind"]].model_fields]
    assigned = {}
    for text in paths:
        key, found, path = text.partition("=")
        if not found:
            key, path = (readers[0] if len(readers) == 1 else ""), text
        if not readers:
            raise MmferError(f"--path {text}: no data set of this set reads files; leave it out")
        if key not in readers:
            shown = " or ".join(f"{reader}={path}" for reader in readers)
            raise MmferError(f"--path {text}: name the data set that is read there; give {shown}")
        if not _is_there(path):
            raise MmferError(f"--path {path}: no such file or folder; correct it")
        assigned[key] = path
    return assigned


def _is_there(path: str) -> bool:
    try:
        return Path(path).expanduser().exists()
    except RuntimeError:  # the home of a user that is not known
        return False


def _stated(name: str, block: dict[str, Any], file: str) -> dict[str, Any]:
    """A system's block with every value of its kind; its own `train` last."""
    system, params = system_params(name, block, file)
    own = {"train": block["train"]} if "train" in block else {}
    return {"kind": system.kind} | params.model_dump() | own


def as_yaml(content: dict[str, Any], head: list[str]) -> str:
    """params.yaml as text: the lines of `head`, then each value with what its model says of it."""
    lines = [*head, f"# yaml-language-server: $schema={SCHEMA.as_posix()}"]
    for key, block in content.items():
        lines += ["", f"{key}:", *_lines(block, _models(key, block), "  ")]
    return "\n".join(lines) + "\n"


def _models(key: str, block: dict[str, Any]) -> dict[str, Any]:
    """The fields of each block in a part of params.yaml, as far as their values are explained there."""
    if key == "defaults":
        return {name: _fields(field.annotation) for name, field in Defaults.model_fields.items()}
    if key == "datasets":
        return {name: {"source": SOURCES[own["source"]["kind"]].model_fields} for name, own in block.items()}
    if key == "systems":
        return {name: system_params(name, own)[0].params.model_fields for name, own in block.items()}
    return _fields(Params.model_fields[key].annotation)


def _fields(model: Any) -> dict[str, Any]:
    """The fields of a block's model, which pydantic gives as any annotation."""
    return model.model_fields


def _lines(block: dict[str, Any], fields: dict[str, Any], pad: str) -> Iterator[str]:
    """The lines of a block. DVC writes lists and null so, whatever they were."""
    for key, value in block.items():
        field = fields.get(key, {})
        note = f" # {field.description}" if getattr(field, "description", None) else ""
        if isinstance(value, dict) and value:
            yield f"{pad}{key}:{note}"
            yield from _lines(value, field if isinstance(field, dict) else {}, pad + "  ")
        elif isinstance(value, list) and value:
            yield f"{pad}{key}:{note}"
            yield from (f"{pad}- {_scalar(item)}" for item in value)
        else:
            yield f"{pad}{key}:" + ("" if value is None else f" {_scalar(value)}") + note


def _scalar(value: Any) -> str:
    """A value on one line of YAML."""
    return yaml.safe_dump([value], default_flow_style=True, width=10_000).strip()[1:-1]


def write_params(text: str, path: Path = Path("params.yaml")) -> Path | None:
    """Write params.yaml; a former one that no set would give is kept beside it, under the name that is returned."""
    former = path.read_text(encoding="utf-8") if path.exists() else ""
    ready = {as_yaml(compose(name, [], []), remarks(name)) for name in set_names()}
    kept = None
    if former and former not in ready | {text}:
        kept = next(file for number in range(1, 1000) if not (file := Path(f"{path}.{number}")).exists())
        path.rename(kept)
    path.write_text(text, encoding="utf-8")
    return kept
