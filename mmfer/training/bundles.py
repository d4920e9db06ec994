"""Models on their way from where they were trained to the pipeline: zips of a limited size, `mmfer unpack`.

The train stage looks for runs in .checkpoints: a model that is unpacked there counts as trained by it, if it is of the
data, parameters and code that the stage would train with. Weights that are larger than a zip lie in several, in pieces.
"""

import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mmfer.config import Params, check
from mmfer.errors import MmferError
from mmfer.files import new_file, new_folder
from mmfer.training.facts import Facts, read_facts
from mmfer.training.models import ESTIMATOR, HISTORY, NETWORK, holds_run, model_name
from mmfer.training.runs import ELSEWHERE
from mmfer.training.train import Training, plan
from mmfer.zips import stored_zip

RUN = "[0-9a-f]{24}"  # names of runs
WEIGHTS = (NETWORK, ESTIMATOR)
LIGHT = (HISTORY, "model.json")  # what else a model's folder has
FILES = WEIGHTS + LIGHT
INSIDE = re.compile(
    rf"({RUN})/({'|'.join(map(re.escape, FILES))})(?:\.([1-9][0-9]{{0,5}})of([0-9]{{1,6}}))?"
)  # a name in a zip
HEADS = 512  # bytes that the two heads of a file take in a zip, at most


class Trained(Facts):
    """What the model.json of a run holds, beside what any model's does."""

    run: str
    fold: int
    seed: int
    train: dict[str, Any]


class Piece(NamedTuple):
    """A file of a model, or a part of one."""

    file: Path
    start: int
    size: int
    name: str  # in a zip

    @property
    def zipped(self) -> int:
        """Bytes that it takes in a zip, at most."""
        return self.size + HEADS


def bundle(folders: list[Path], target: Path, limit: int, count: int | None = None, first: int = 0) -> None:
    """Write models, the most valuable first, as zips of at most `limit` bytes into the folder `target`.

    They are numbered; at most `count` are written, from the one of the number `first` on, and a line says how many come
    after these. Equal models make equal zips, so that one call can bring the first and another one the next.
    """
    files = [folder / name for names in (LIGHT, WEIGHTS) for folder in folders for name in names]
    zips: list[list[Piece]] = []
    for piece in (piece for file in files if file.exists() for piece in _pieces(file, limit)):
        room = (part for part in zips if sum(other.zipped for other in part) + piece.zipped <= limit)
        part = next(room, None)
        if part is None:
            zips.append(part := [])
        part.append(piece)
    last = len(zips) if count is None else first + count
    for number, part in enumerate(zips[first:last], first):
        with new_file(target / f"models-{number}.zip") as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for piece in part:
                with piece.file.open("rb") as file:
                    file.seek(piece.start)
                    archive.writestr(piece.name, file.read(piece.size))
    if len(zips) > last:
        print(f"{target}: {len(zips) - last} more zips are needed, from number {last} on", flush=True)


def _pieces(file: Path, limit: int) -> list[Piece]:
    """A file as what fits into zips."""
    size, name, most = file.stat().st_size, f"{file.parent.name}/{file.name}", limit - HEADS
    count = max(-(-size // most), 1)
    names = [name] if count == 1 else [f"{name}.{number}of{count}" for number in range(1, count + 1)]
    return [Piece(file, k * most, min(size - k * most, most), name) for k, name in enumerate(names)]


def unpack(sources: list[Path], target: Path) -> list[dict[str, Any]]:
    """Models in folders of campaigns and in zips of `bundle` -> copied to `target`/<run>; return their facts.

    One whose weights are not all in them is left out, and a line says so. MmferError where one is not as it was
    written; what came before it is there.
    """
    found = []
    for run, files in _models_in(sources):
        if "model.json" not in files or not {*WEIGHTS} & set(files):
            print(f"{run}: not whole; give all zips at once, or bring the others: left out", flush=True)
            continue
        with new_folder(target / run) as folder:
            for name, content in files.items():
                (folder / name).write_bytes(content)
            try:
                facts = read_facts(folder)
                check(Trained, facts, run)
            except MmferError as error:
                raise MmferError(f"{', '.join(map(str, sources))}: {run}: damaged ({error}); bring it again") from None
            if not holds_run(folder, run):
                raise MmferError(f"{', '.join(map(str, sources))}: {run}: damaged; bring it again")
        found.append(facts)
    if not found:
        named = ", ".join(map(str, sources))
        raise MmferError(f"{named}: no models there; give the folder of `mmfer train --out`, or all zips of --zips")
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
                try:
                    trainings = plan(data / key[0], (key[1], params.system(key[1])), params.train(*key))
                except MmferError as error:  # of teachers that are not at their place yet
                    said.append(f"not compared: {error}")
                    continue
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


def _models_in(sources: list[Path]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Run and whole files of each model."""
    runs: dict[str, dict[tuple[str, str], dict[int, tuple[Path, str]]]] = {}  # pieces by file and how many it has
    for source in sources:
        if source.is_dir():
            for folder in _models(source):
                yield folder.name, {name: (folder / name).read_bytes() for name in FILES if (folder / name).exists()}
            continue
        for name in _zip(source, zipfile.ZipFile.namelist):
            if not (match := INSIDE.fullmatch(name)):
                raise MmferError(f"{source}: {name}: not of a model; give a zip of `mmfer train --zips`")
            run, file, number, count = match.groups()
            runs.setdefault(run, {}).setdefault((file, count or "1"), {})[int(number or 1)] = source, name
    for run, files in runs.items():
        whole = {file: pieces for (file, count), pieces in files.items() if max(pieces) == len(pieces) == int(count)}
        yield run, {file: b"".join(_read(*pieces[k]) for k in sorted(pieces)) for file, pieces in whole.items()}


def _read(source: Path, name: str) -> bytes:
    return _zip(source, lambda archive: archive.read(name))


def _zip(source: Path, read: Callable[[zipfile.ZipFile], Any]) -> Any:
    try:
        with stored_zip(source) as archive:
            return read(archive)
    except Exception as error:  # zipfile raises whatever the damage leads it to
        raise MmferError(f"{source}: damaged ({error}); bring it again") from None


def _models(out: Path) -> list[Path]:
    """The folders of finished models; one that is being written has another name."""
    return sorted(path.parent for path in out.glob("*/model.json") if re.fullmatch(RUN, path.parent.name))
