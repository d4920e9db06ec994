"""Models on their way from where they were trained to the pipeline: zips of a limited size, `mmfer unpack`.

The train stage looks for runs in .checkpoints: a model that is unpacked there counts as trained by it, if it is of the
data, parameters and code that the stage would train with.
"""

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmfer.config import Params
from mmfer.data.sources.archives import DAMAGE
from mmfer.errors import MmferError
from mmfer.files import new_file, new_folder
from mmfer.training.models import ESTIMATOR, HISTORY, NETWORK, holds_run, model_name
from mmfer.training.runs import ELSEWHERE
from mmfer.training.train import Training, plan

RUN = "[0-9a-f]{24}"  # names of runs
FILES = {NETWORK, ESTIMATOR, HISTORY, "model.json"}  # of a model's folder


def bundle(folders: list[Path], target: Path, limit: int, count: int | None = None) -> None:
    """Write models, the most valuable first, as at most `count` zips of at most `limit` bytes into the folder `target`.

    What does not fit comes without its weights, and a line says so.
    """
    parts: list[list[Path]] = []
    for folder in folders:
        files = [path for path in sorted(folder.iterdir()) if path.name in FILES]
        light = [path for path in files if path.name not in (NETWORK, ESTIMATOR)]
        if not _put(files, parts, limit, count):
            kept = "curves alone are" if _put(light, parts, limit, count) else "nothing of it is"
            print(f"{folder}: {_zipped(files) >> 20} MiB do not fit the zips; {kept} in them", flush=True)
    for number, files in enumerate(parts):
        with new_file(target / f"models-{number}.zip") as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for path in files:
                archive.write(path, f"{path.parent.name}/{path.name}")


def _put(files: list[Path], parts: list[list[Path]], limit: int, count: int | None) -> bool:
    """Add files to the first part with room, or to a new one; whether there was room."""
    size = _zipped(files)
    if size > limit:
        return False
    part = next((part for part in parts if _zipped(part) + size <= limit), None)
    if part is None:
        if len(parts) == count:
            return False
        parts.append(part := [])
    part += files
    return True


def _zipped(files: list[Path]) -> int:
    """Bytes that files take in a zip, at most: each has two heads."""
    return sum(path.stat().st_size + 512 for path in files)


def unpack(source: Path, target: Path) -> list[dict[str, Any]]:
    """Models in a folder of a campaign or in a zip of `bundle` -> copied to `target`/<run>; return their facts.

    One that came without its weights is left out, and a line says so. MmferError where one is not as it was written;
    what came before it is there.
    """
    found = []
    for run, files in _models_in(source):
        if not {NETWORK, ESTIMATOR} & set(files):
            print(f"{source}: {run}: without its weights, which are where it was trained; left out", flush=True)
            continue
        with new_folder(target / run) as folder:
            for name, content in files.items():
                (folder / name).write_bytes(content)
            if not holds_run(folder, run):
                raise MmferError(f"{source}: {run}: damaged; bring it again")
        found.append(json.loads(files["model.json"]))
    if not found:
        raise MmferError(f"{source}: no models there; give the folder of `mmfer train --out`, or a zip of --zips")
    return found


def verdicts(found: list[dict[str, Any]], params: Params, data: Path) -> list[str]:
    """For the facts of each model: whether a train stage will take it, and else why not, in words."""
    plans: dict[tuple[str, str], dict[str, Training]] = {}
    said = []
    for facts in found:
        key = (facts["dataset"], facts["system"])
        if key[0] not in params.datasets or key[1] not in params.systems:
            said.append("the parameters do not name it")
        elif not (data / key[0] / "features").exists():
            said.append(
                f"{data / key[0] / 'features'} is not made yet: not compared; `dvc repro extract@{key[0]}` makes it"
            )
        else:
            if key not in plans:
                trainings = plan(data / key[0], (key[1], params.system(key[1])), params.train(*key))
                plans[key] = {training.name: training for training in trainings}
            said.append(_verdict(facts, plans[key].get(model_name(facts["fold"], facts["seed"]))))
    return said


def _verdict(facts: dict[str, Any], wanted: Training | None) -> str:
    if wanted is None:
        return "the parameters have no such fold or seed"
    if wanted.facts["run"] == facts["run"]:
        return "fits"
    words = {"params": "of the system", "train": "of training", "made_by": "of the data"}
    other = [word for key, word in words.items() if _shared(facts[key]) != _shared(wanted.facts[key])]
    return "does not fit: other " + (f"parameters {', '.join(other)}" if other else "data or code")


def _shared(block: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in block.items() if key not in ELSEWHERE}


def _models_in(source: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Run and files of each model."""
    if source.is_dir():
        for folder in _models(source):
            yield folder.name, {file.name: file.read_bytes() for file in folder.iterdir() if file.name in FILES}
        return
    try:
        with zipfile.ZipFile(source) as archive:
            inside: dict[str, dict[str, bytes]] = {}
            for item in archive.infolist():
                run, _, name = item.filename.partition("/")
                if not re.fullmatch(RUN, run) or name not in FILES:
                    raise MmferError(f"{source}: {item.filename}: not of a model; give a zip of `mmfer train --zips`")
                inside.setdefault(run, {})[name] = archive.read(item)
    except (*DAMAGE, OSError) as error:
        raise MmferError(f"{source}: damaged ({error}); bring it again") from None
    yield from inside.items()


def _models(out: Path) -> list[Path]:
    """The folders of finished models; one that is being written has another name."""
    return sorted(path.parent for path in out.glob("*/model.json") if re.fullmatch(RUN, path.parent.name))
