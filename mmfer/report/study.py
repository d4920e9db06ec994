"""All that was measured on one data set, gathered in one file, and the page that is made of it.

The file (study.zip) holds the results of evaluate and robustness as mmfer.report.results describes them, without the
probabilities, and facts.json: what the page says of the data. The page can be made again of it without data or models,
on any computer: nothing in such a file is trusted.
"""

import json
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
import pandas as pd

from mmfer.config import Block, StudyParams, check
from mmfer.data.duplicates import copies_of_held_out
from mmfer.data.faceset import FaceSet, open_faceset
from mmfer.data.sources.archives import open_archive
from mmfer.errors import MmferError
from mmfer.files import new_file, new_folder, write_csv, write_json
from mmfer.report import charts, tables
from mmfer.report.claims import NAMES, PAPER, claim_blocks
from mmfer.report.page import Folded, Picture, Section, write_page
from mmfer.report.paper import CLAIMS
from mmfer.report.results import Study, read_study
from mmfer.report.robustness_tables import robustness_blocks, single_faces
from mmfer.report.sheets import ON_THE_PAGE, four_faces
from mmfer.report.verdicts import verdicts

MEMBER = re.compile(
    r"facts\.json|(evaluate|robustness)/[A-Za-z0-9_][A-Za-z0-9_-]*/(details\.json|faces\.parquet|conditions\.csv)"
)
MAX_MEMBERS = 2_000  # five of each system
MAX_BYTES = 256 << 20  # unpacked; one system on FER2013 has 0.6 MB
MAX_CELLS = 50_000_000  # of a table, which may be larger than its file by any factor


class Facts(Block):
    """What facts.json has to hold: see `facts`."""

    study: StudyParams
    notes: list[str]
    settings: dict[str, Any]
    audit: dict[str, int]
    four_faces: list[int]


def gather(data: Path, params: StudyParams) -> Path:
    """Write `data`/study.zip from the FaceSets and results in `data`; return it."""
    file, results = data / "study.zip", data / "results"
    members = {"facts.json": json.dumps(facts(data, params), indent=1).encode()}
    for path in sorted(results.rglob("*")):
        name = path.relative_to(results).as_posix()
        if MEMBER.fullmatch(name):
            members[name] = path.read_bytes()
    with new_file(file) as temporary, ZipFile(temporary, "w") as archive:
        for name, content in members.items():
            archive.writestr(ZipInfo(name), content, ZIP_DEFLATED)  # without a time: the same results, the same bytes
    return file


def facts(data: Path, params: StudyParams) -> dict[str, Any]:
    """What a page says of the data: where they came from, how they were cleaned and copied, what is on two sides."""
    raw, clean, augmented, perturbed = (open_faceset(data / n) for n in ("raw", "clean", "augmented", "perturbed"))
    faces = perturbed.index["parent"].to_numpy()[four_faces(perturbed, params.seed)]
    return {
        "study": params.model_dump(),
        "notes": raw.made_by["notes"],
        "settings": {"clean": clean.made_by["params"], "augment": augmented.made_by["params"]},
        "audit": audit(clean),
        "four_faces": faces.tolist(),
    }


def audit(clean: FaceSet) -> dict[str, int]:
    """Counts of images, of those without a face, of exact copies of held-out images, and of people."""
    index = clean.index
    left_out = index["split"][copies_of_held_out(index)]
    people = index.dropna(subset="subject")
    sides = people.groupby("subject")[["split", "fold"]].nunique().max(axis=1)
    counts = {
        "images": len(index),
        "no_face": (~index["kept"]).sum(),
        "copies_in_training": (left_out == "train").sum(),
        "copies_in_validation": (left_out == "val").sum(),
        "people": len(sides),
        "people_on_two_sides": (sides > 1).sum(),
    }
    return {name: int(count) for name, count in counts.items()}


def write_study(file: Path, target: Path, sheets: Path | None = None) -> Path:
    """Write the page of the results in `file` into `target`: study.md, .html, .json, systems.csv and figures.

    Pictures of rendered faces are taken from `sheets`, the folder that stage sheets drew, or stay as they are in
    `target`. Returns the HTML.
    """
    with TemporaryDirectory() as folder:
        unpack(file, Path(folder))
        known = json.loads(Path(folder, "facts.json").read_text(encoding="utf-8"))
        study = read_study(Path(folder), check(Facts, known, f"{file}: facts.json").study)
    pictures = target / "figures"
    pictures.mkdir(parents=True, exist_ok=True)
    if sheets and study.kind == "synthetic":
        for name in ON_THE_PAGE:
            shutil.copy(sheets / name, pictures / name)
    write_json(target / "study.json", summary(study, known))
    write_csv(target / "systems.csv", systems_table(study))
    draw(study, pictures)
    return write_page(target, "study", f"mmfer on {study.dataset}", page(study, known, target))


def write_foreign(file: Path, target: Path) -> Path:
    """Write the page of a file from elsewhere; MmferError, and `target` as it was, if its results make no page."""
    with new_folder(target) as made:
        if target.exists():  # its pictures of faces stay
            shutil.copytree(target, made, dirs_exist_ok=True)
        try:
            name = write_study(file, made).name
        except (MmferError, OSError):
            raise
        except Exception as error:  # what a value of another kind leads to, anywhere on the page
            told = f"{type(error).__name__}: {error}"
            raise MmferError(f"{file}: not results of this version ({told}); gather them again: stage study") from error
    return target / name


def unpack(file: Path, target: Path) -> None:
    """Write the members of a study.zip below `target`; MmferError for what no such file holds, or holds so much of."""
    if not file.is_file():
        raise MmferError(f"{file}: not a file; name a study.zip")
    with open_archive(file) as archive:
        total = sum(archive.sizes.values())
        if len(archive.sizes) > MAX_MEMBERS or total > MAX_BYTES:
            raise MmferError(
                f"{file}: {len(archive.sizes):,} files, {total:,} bytes: too much for results; do not use it"
            )
        foreign = [name for name in archive.sizes if not MEMBER.fullmatch(name)]
        if foreign:
            raise MmferError(f"{file}: {foreign[0]!r} is in it; name a file that stage study has written")
        if "facts.json" not in archive.sizes:
            raise MmferError(f"{file}: no facts.json is in it; name a file that stage study has written")
        for name in archive.sizes:
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(archive.read(name, MAX_BYTES))
            if place.suffix == ".parquet":
                _check_size(place, f"{file}: {name}")


def _check_size(table: Path, where: str) -> None:
    import pyarrow.parquet as pq

    try:
        found = pq.read_metadata(table)
    except (ValueError, OSError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise MmferError(f"{where}: damaged ({error}); gather the results again: stage study") from None
    if found.num_rows * found.num_columns > MAX_CELLS:
        raise MmferError(f"{where}: {found.num_rows:,} rows of {found.num_columns:,} columns: too much; do not use it")


def summary(study: Study, known: dict[str, Any]) -> dict[str, Any]:
    """What the report over all data sets needs of this one."""
    whole = study.details[study.reference]["whole"]
    return {
        "dataset": study.dataset,
        "kind": study.kind,
        "images": whole["images"],
        "rows": study.details[study.reference]["rows"],
        "above_chance": study.above_chance(study.reference),
        "systems": len(study.details),
        "reference": study.reference,
        "trainings": len(study.training(study.reference)["seeds"]),
        "accuracy": {key: whole["averaged"][key] for key in ("accuracy", "accuracy_low", "accuracy_high", "macro")},
        "one_run": whole["plain"]["accuracy"],
        "samples": study.samples(study.reference),
        "settings": known["settings"],
        "verdicts": [verdict.to_json() for verdict in verdicts(study)],
    }


def systems_table(study: Study) -> pd.DataFrame:
    """A row for each ranked system: accuracy with its interval and mean of classes, shares of the whole test set."""
    rows = []
    for name in tables.ranked(study):
        averaged = study.details[name]["whole"]["averaged"]
        figures = [*tables.interval(averaged), averaged["macro"]]
        rows.append([study.dataset, name, *(round(value, 4) for value in figures)])
    return pd.DataFrame(rows, columns=["dataset", "system", "accuracy", "low", "high", "macro"])


def draw(study: Study, folder: Path) -> None:
    """Accuracy of all systems; of the reference the paper's figures 5 and 6."""
    details = study.details[study.reference]
    share = CLAIMS.get(study.kind, {}).get("ours", {}).get("overall")
    kept = details["kept"]
    found = f"{study.reference}, faces found ({kept['coverage']:.0%})"
    ours = [(found, *tables.interval(kept["averaged"]), share and share / 100)]
    rows = ours if study.above_chance(study.reference) else []
    rows += [(name, *tables.interval(study.details[name]["whole"]["averaged"]), None) for name in tables.ranked(study)]
    if rows:
        charts.interval_bars(rows, f"{study.dataset}: accuracy, runs averaged", folder / "accuracy.png")
    title = f"{study.reference} on {study.dataset}: whole test set, runs averaged"
    curves = {
        name: (np.array(of["false_positive_rate"]), np.array(of["true_positive_rate"]), of["auc"])
        for name, of in details["roc"].items()
    }
    charts.roc_curves(curves, title, folder / "roc.png")
    charts.confusion(np.array(details["confusion"]), study.classes, title, folder / "confusion.png")


def page(study: Study, known: dict[str, Any], target: Path) -> list[Any]:
    """The blocks of the page."""
    found = {study.dataset: [verdict.to_json() for verdict in verdicts(study)]}
    shown = {name: Picture(text, f"figures/{name}") for name, text in ON_THE_PAGE.items() if _is_in(target, name)}
    figure_7 = [picture for name, picture in shown.items() if name == "conditions.png"]
    figures_5_6 = [Picture(f"{kind} of {study.reference}", f"figures/{file}") for kind, file in OF_REFERENCE.items()]
    parts = {
        "What the paper claims": claim_blocks(found, target),
        "Accuracy": [
            Picture("Accuracy of each system with its interval", "figures/accuracy.png"),
            *tables.accuracy_blocks(study),
            *tables.class_blocks(study),
            *tables.vote_blocks(study),
            Folded(f"ROC curves and confusion matrix of {study.reference} (figures 5 and 6)", figures_5_6),
            *tables.paired_blocks(study),
        ],
        "Ablations": tables.ablation_blocks(study),
        "Robustness": [*robustness_blocks(study), *single_faces(study, known["four_faces"], figure_7)],
        "Data and leaks": [*data_blocks(study, known), *(p for p in shown.values() if p not in figure_7)],
        "Cost": [*tables.cost_blocks(study), *tables.run_blocks(study)],
    }
    return [f"{PAPER}: its claims, tested on {study.dataset}. {NAMES}", *(Section(*p) for p in parts.items() if p[1])]


OF_REFERENCE = {"Figure 5: ROC curves": "roc.png", "Figure 6: confusion matrix": "confusion.png"}


def _is_in(target: Path, name: str) -> bool:
    return (target / "figures" / name).exists()


def data_blocks(study: Study, known: dict[str, Any]) -> list[Any]:
    """Where the data came from, and what of them could leak from one side to another."""
    counts = {name: f"{count:,}" for name, count in known["audit"].items()}
    points = [
        *known["notes"],
        f"{counts['no_face']} of {counts['images']} images hold no face that the detector finds.",
        f"{counts['copies_in_training']} training images are exact copies of a test or validation image, "
        f"{counts['copies_in_validation']} validation images of a test image; all were left out.",
    ]
    if known["audit"]["people"]:
        points.append(f"{counts['people']} people are known, {counts['people_on_two_sides']} of them on two sides.")
    if study.kind != "synthetic":
        points.append(f"Pictures of real people stay in data/{study.dataset}/sheets and are not published.")
    return [points]
