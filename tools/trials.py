"""Trials of recipes on validation faces: each a change of another trial, trained at a part of the budget.

`python -m tools.trials run SOURCE --out OUT` trains what docs/results/trials.yaml lists and OUT does not hold yet, with
the machinery of `mmfer train`: it goes on where it was interrupted, and several processes may share OUT. SOURCE is a
folder with the FaceSets raw and clean, which is only read, or a pack.
`python -m tools.trials table --out OUT` writes docs/results/trials.csv and trials.md of what is finished, at any time.
No test face is predicted.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
import typer
from pydantic import Field

from mmfer.config import (
    AugmentParams,
    Block,
    ExtractParams,
    HideParams,
    Name,
    Seed,
    TrainParams,
    check,
    pick,
    read_yaml,
)
from mmfer.data.faceset import open_faceset, params_of
from mmfer.data.splits import split_rows
from mmfer.errors import MmferError, run_app
from mmfer.face.geometry import warp
from mmfer.face.hide import write_hidden
from mmfer.face.pack import read_pack
from mmfer.face.prepare import Stored, describe, stored_rows
from mmfer.files import new_file, write_csv, write_text
from mmfer.parallel import cores
from mmfer.params import read_changed
from mmfer.systems import system_params
from mmfer.training.campaign import Job, Terms, claimed, run_jobs
from mmfer.training.models import load_model
from mmfer.training.runs import ELSEWHERE
from mmfer.training.sources import make_features
from mmfer.training.train import plan

RESULTS = Path("docs/results")
PAGE = """\
# Trials

<!-- written by `python -m tools.trials table` from trials.yaml and the finished models -->

All trials of recipes on {dataset}, those without success too: each a change of another trial, with {seeds} seeds.
Accuracy and cross entropy are of all plain validation faces ({faces}), one run; hidden: the accuracy with a part of
each hidden as in training (mmfer.face.occlude), and found anew. No test face was predicted.
Difference: mean accuracy of the trial less that of the one it changes, over the seeds that both have, in points, with
its standard error over faces; what other seeds would change is not in it. Kept: a gain of {keep} points or more, or as
decided. Minutes are of cores that other work shared.

Hardware: {hardware}.

| trial | change | samples | accuracy of each seed, % | mean, % | loss | hidden, % | minutes | difference | kept |
|---|---|---:|---|---:|---:|---:|---:|---:|---|
{lines}

Why each was tried:

{reasons}
"""
app = typer.Typer(add_completion=False)
List = Annotated[Path, typer.Option("--list", help="The trials.")]
Out = Annotated[Path, typer.Option(help="Folder of the models, made if need be.")]


class Change(Block):
    """What a trial has otherwise; a `system` with a kind replaces the other one's as a whole."""

    system: dict[str, Any] = Field({})
    train: dict[str, Any] = Field({})
    hide: dict[str, Any] = Field({})
    augment: dict[str, Any] = Field({})


class Trial(Block):
    """A recipe, as a change of another one."""

    name: Name
    of: str | None = Field(None, description="the trial that it changes and is compared with; empty: the params")
    change: Change
    why: str
    kept: bool | None = Field(None, description="where that is not decided by the gain alone")


class Trials(Block):
    """docs/results/trials.yaml, in order of value."""

    params: str = Field(description="ready set, or a file like params.yaml")
    dataset: str
    system: str
    seeds: list[Seed] = Field(min_length=1)
    keep: float = Field(description="gain in points from which on a change is kept")
    trials: list[Trial] = Field(min_length=1)


class Recipe(NamedTuple):
    """All that a trial trains with."""

    system: dict[str, Any]
    train: TrainParams
    hide: HideParams
    augment: AugmentParams
    extract: ExtractParams


def read_trials(path: Path) -> tuple[Trials, dict[str, Recipe]]:
    """The list in a file, and the recipe of each trial by its name; MmferError names what is wrong."""
    listed = check(Trials, read_yaml(path), str(path))
    params = read_changed(listed.params, [])
    blocks, train = params.dataset(listed.dataset), params.train(listed.dataset, listed.system)
    train = train.model_copy(update={"seeds": listed.seeds})
    system = {"kind": listed.system} | params.system(listed.system)
    start = Recipe(system, train, blocks.hide, blocks.augment, blocks.extract)
    recipes: dict[str, Recipe] = {}
    for trial in listed.trials:
        where = f"{path}: {trial.name}"
        former = pick(recipes, trial.of, f"{where}: of") if trial.of else start
        recipes[trial.name] = _changed(former, trial.change, where)
    return listed, recipes


def _changed(recipe: Recipe, change: Change, where: str) -> Recipe:
    system = change.system if "kind" in change.system else recipe.system | change.system
    system_params("system", system, where)
    train = check(TrainParams, recipe.train.model_dump() | change.train, f"{where}: train")
    hide = check(HideParams, recipe.hide.model_dump() | change.hide, f"{where}: hide")
    augment = check(AugmentParams, recipe.augment.model_dump() | change.augment, f"{where}: augment")
    if augment.hidden and not hide.variants:
        raise MmferError(f"{where}: augment.hidden = {augment.hidden} needs hide.variants: 1 or more")
    return recipe._replace(system=system, train=train, hide=hide, augment=augment)


@app.command()
def run(
    source: Annotated[Path, typer.Argument(help="Folder with the FaceSets raw and clean, or a pack.")],
    out: Out,
    file: List = RESULTS / "trials.yaml",
    minutes: Annotated[float | None, typer.Option(help="After which it pauses, at the end of an epoch.")] = None,
) -> None:
    """Train the trials that OUT does not hold, one seed of all after the other; then write the tables into OUT."""
    listed, recipes = read_trials(file)
    out.mkdir(parents=True, exist_ok=True)
    with claimed(out / "data.lock", wait=True):
        data = {name: data_of(recipe, source, out) for name, recipe in recipes.items()}
    done, jobs = finished(out), []
    for name, recipe in recipes.items():
        left = [seed for seed in listed.seeds if not _model_of(done, recipe, seed)]
        trainings = plan(data[name], (name, recipe.system), recipe.train) if left else []
        jobs += [Job(listed.dataset, name, training) for training in trainings if training.facts["seed"] in left]
    jobs.sort(key=lambda job: listed.seeds.index(job.training.facts["seed"]))
    failed = run_jobs(jobs, Terms(out, minutes, probe=0))
    write_tables(listed, recipes, out, out)
    raise typer.Exit(1 if failed else 0)


def data_of(recipe: Recipe, source: Path, out: Path) -> Path:
    """The folder below `out` with all that a recipe trains on; raw and clean faces stay where they are."""
    pack = source if source.is_file() else None
    if pack:
        opened = out / "data" / "pack"
        if not (opened / "clean").exists():
            read_pack(pack, opened)
        source = opened
    made = (*([recipe.hide] if recipe.augment.hidden else []), recipe.augment, recipe.extract)
    said = json.dumps([block.model_dump() for block in made])
    target = out / "data" / hashlib.sha256(said.encode()).hexdigest()[:12]
    target.mkdir(parents=True, exist_ok=True)
    for link in (target / "raw", target / "clean"):
        if not link.exists():
            link.symlink_to((source / link.name).resolve())
    make_features(target, recipe.hide, recipe.augment, recipe.extract, pack)
    return target


def finished(out: Path) -> list[dict[str, Any]]:
    """The facts of all models in a folder, whatever code trained them."""
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted(out.glob("[!.]*/model.json"))]


def _model_of(done: list[dict[str, Any]], recipe: Recipe, seed: int) -> dict[str, Any] | None:
    """The facts of the model that a recipe and a seed have become: what it was trained with counts, not its name."""
    return next((facts for facts in done if facts["seed"] == seed and _same(facts, recipe)), None)


def _same(facts: dict[str, Any], recipe: Recipe) -> bool:
    """Whether a model is of a recipe; options that were added since it was trained have their defaults."""
    train, made_by = TrainParams(**facts["train"]), facts["made_by"]
    augment, extract = AugmentParams(**params_of(made_by, "augment")), ExtractParams(**params_of(made_by, "extract"))
    hide = HideParams(**params_of(made_by, "hide")) if augment.hidden else recipe.hide
    system, wanted = system_params("system", facts["params"]), system_params("system", recipe.system)
    alike = train.model_dump(exclude=set(ELSEWHERE)) == recipe.train.model_dump(exclude=set(ELSEWHERE))
    return alike and (hide, augment, extract, system) == (recipe.hide, recipe.augment, recipe.extract, wanted)


@app.command()
def table(out: Out, file: List = RESULTS / "trials.yaml", target: Annotated[Path, typer.Option()] = RESULTS) -> None:
    """Write trials.csv and trials.md of the trials that are finished into TARGET."""
    write_tables(*read_trials(file), out, target)


def write_tables(listed: Trials, recipes: dict[str, Recipe], out: Path, target: Path) -> None:
    """trials.csv, a row for each training; trials.md, a row for each trial."""
    data, done = next(iter(sorted(out.glob("data/*/features")))).parent, finished(out)
    labels, seen = validation(data, out)
    rows: list[dict[str, Any]] = []
    right: dict[str, dict[int, np.ndarray]] = {name: {} for name in recipes}
    for trial in listed.trials:
        for seed in listed.seeds:
            facts = _model_of(done, recipes[trial.name], seed)
            if facts:
                probabilities = predicted(seen, out, facts["run"])
                right[trial.name][seed] = probabilities[0].argmax(axis=1) == labels
                rows.append(_row(trial, facts, probabilities, labels))
    write_csv(target / "trials.csv", pd.DataFrame(rows))
    write_text(target / "trials.md", _page(listed, rows, right))


def validation(data: Path, out: Path) -> tuple[np.ndarray, list[Stored]]:
    """The validation faces: labels (n,), and what is stored of them plain, and with a part hidden as in training."""
    faces, values = open_faceset(data / "augmented"), open_faceset(data / "features")
    rows = split_rows(faces, -1, "last").val
    labels, parents = (faces.columns(name)[name].to_numpy()[rows] for name in ("label", "parent"))
    plain = stored_rows(faces, values, rows)
    folder = out / "val" / "hidden"
    if not folder.exists():
        write_hidden(data / "raw", data / "clean", folder, HideParams(variants=1), cores(), parents)
    hidden, extract = open_faceset(folder), ExtractParams(**values.made_by["params"])
    images, transforms = warp(hidden.images, hidden.transforms), np.array(hidden.transforms)
    found = describe(images, np.array(hidden.landmarks), transforms, extract) | {"visible": hidden.visible}
    return labels, [plain, found]


def predicted(seen: list[Stored], out: Path, run: str) -> np.ndarray:
    """What a model says of n faces, each seen in some ways: probabilities (ways, n, C), kept in `out`."""
    kept = out / "val" / f"{run}.npy"
    if not kept.exists():
        model = load_model(out / run)
        with new_file(kept) as temporary:
            np.save(temporary, np.stack([model.predict(stored) for stored in seen]))
    return np.load(kept, allow_pickle=False)


def _row(trial: Trial, facts: dict[str, Any], probabilities: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    plain, hidden = (of_way.argmax(axis=1) == labels for of_way in probabilities)
    of_truth = probabilities[0, np.arange(len(labels)), labels]
    measured = {
        "faces": len(labels),
        "accuracy": round(float(plain.mean()), 4),
        "loss": round(float(-np.log(np.maximum(of_truth, 1e-12)).mean()), 4),
        "hidden": round(float(hidden.mean()), 4),
    }
    ran = ("minutes", "samples_per_second", "processor", "threads", "dtype")
    spent = {key: facts["execution"][key] for key in ran}
    which = {"trial": trial.name, "of": trial.of, "seed": facts["seed"], "run": facts["run"]}
    return which | {"samples": facts["result"]["samples_seen"]} | measured | spent


def _page(listed: Trials, rows: list[dict[str, Any]], right: dict[str, dict[int, np.ndarray]]) -> str:
    hardware = sorted({f"{row['processor']}, {row['dtype']}, threads: {row['threads']}" for row in rows})
    lines = [_line(t, listed, [row for row in rows if row["trial"] == t.name], right) for t in listed.trials]
    return PAGE.format(
        dataset=listed.dataset,
        seeds=len(listed.seeds),
        keep=listed.keep,
        faces=f"{rows[0]['faces']:,}" if rows else "none yet",
        hardware="; ".join(hardware) or "none yet",
        lines="\n".join(lines),
        reasons="\n".join(f"- {trial.name}: {trial.why}" for trial in listed.trials),
    )


def _line(trial: Trial, listed: Trials, rows: list[dict[str, Any]], right: dict[str, dict[int, np.ndarray]]) -> str:
    blocks = {key: value for key, value in trial.change.model_dump().items() if value}
    change = f"of {trial.of}: " * bool(trial.of) + "; ".join(f"{key} `{json.dumps(v)}`" for key, v in blocks.items())
    if not rows:
        return f"| {trial.name} | {change} | | | | | | | | not trained yet |"
    each = ", ".join(f"{100 * row['accuracy']:.2f}" for row in rows)
    measured = ("accuracy", "loss", "hidden", "minutes")
    accuracy, loss, hidden, minutes = (np.mean([row[key] for row in rows]) for key in measured)
    gain, error = difference(right[trial.name], right[trial.of] if trial.of else {})
    shown = "" if gain is None else f"{100 * gain:+.2f} ± {100 * error:.2f}"
    whole = gain is not None and len(rows) == len(listed.seeds) == len(right[trial.of or ""])
    kept = trial.kept if trial.kept is not None else (100 * gain >= listed.keep if whole else None)
    said = {True: "yes", False: "no", None: "" if not trial.of else "open"}[kept]
    samples = f"{rows[0]['samples']:,}"
    means = [f"{100 * accuracy:.2f}", f"{loss:.4f}", f"{100 * hidden:.2f}", f"{minutes:.1f}"]
    return f"| {' | '.join([trial.name, change, samples, each, *means, shown, said])} |"


def difference(right: dict[int, np.ndarray], other: dict[int, np.ndarray]) -> tuple[float, float] | tuple[None, None]:
    """Which faces (n,) a recipe and another one get right, by seed -> difference of accuracy and its standard error.

    Over the seeds that both have, each with each of the same number; None where there is none.
    """
    seeds = sorted(right.keys() & other.keys())
    if not seeds:
        return None, None
    by_face = np.mean([right[seed].astype(float) - other[seed] for seed in seeds], axis=0)
    return float(by_face.mean()), float(by_face.std(ddof=1) / np.sqrt(len(by_face)))


if __name__ == "__main__":
    run_app(app)
