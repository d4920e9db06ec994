"""What each detector finds of a data set, and what a cheap system makes of it: `python -m tools.detectors RAW OUT`.

RAW is a raw FaceSet, such as data/fer2013/raw. OUT gets a clean FaceSet for each setting, and models; what is there is
not made again. Printed are tables in Markdown: coverage by split and class, false faces in what shows none, agreement
of landmarks, and accuracy on validation faces. No test face's expression is predicted.
"""

from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from mmfer.config import FACE_PX, AugmentParams, CleanParams, ExtractParams, HideParams, TrainParams
from mmfer.data.faceset import FaceSet, open_faceset
from mmfer.data.splits import split_rows
from mmfer.data.synthetic.faces import render_face
from mmfer.data.synthetic.scenery import background, render_non_face, to_bytes
from mmfer.errors import run_app
from mmfer.face.clean import kept_shares, write_clean
from mmfer.face.detection import find_faces
from mmfer.face.points import EYES, LEFT_EYE, NOSE, RIGHT_EYE
from mmfer.face.prepare import stored_rows
from mmfer.parallel import cores
from mmfer.training.campaign import Job, Terms, run_jobs
from mmfer.training.models import load_model
from mmfer.training.sources import make_features
from mmfer.training.train import plan

YUNET = {"detector": "yunet", "threshold": 0.5}
SETTINGS = {
    "dlib, 0": CleanParams(),
    "dlib, -1": CleanParams(threshold=-1.0),
    "yunet, 0.5": CleanParams(**YUNET),
    "yunet, 0.5, of 144 px": CleanParams(**YUNET, detect_px=144, border_px=24),
}
REFERENCE = "dlib, -1"
EACH, FACES = 500, 400  # windows of a kind that show no face; rendered faces
APART = 0.1  # of the distance of the eyes, from which on two fits of a face differ
app = typer.Typer(add_completion=False)


@app.command()
def detectors(
    raw: Annotated[Path, typer.Argument(help="A raw FaceSet, which is only read.")],
    out: Annotated[Path, typer.Argument(help="Folder for clean FaceSets and models, made if need be.")],
) -> None:
    """Compare the settings of the detector on RAW."""
    folders = {name: out / name.replace(",", "").replace(" ", "_") for name in SETTINGS}
    cleaned = {name: cleaned_by(raw, folders[name], params) for name, params in SETTINGS.items()}
    print(coverage(cleaned), false_faces(open_faceset(raw, needs=("images",))), agreement(cleaned), sep="\n\n")
    print("\n" + accuracy(folders, out))


def cleaned_by(raw: Path, data: Path, params: CleanParams) -> FaceSet:
    """The clean FaceSet of a setting in the folder `data`."""
    data.mkdir(parents=True, exist_ok=True)
    if not (data / "raw").exists():
        (data / "raw").symlink_to(raw.resolve())
    if not (data / "clean").exists():
        write_clean(raw, data / "clean", params, cores())
    return open_faceset(data / "clean")


def table(columns: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown, its first column of words."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def coverage(cleaned: dict[str, FaceSet]) -> str:
    """Share of images in which a face was found, in %: of each split, and of each class of all."""
    rows: list[list[str]] = []
    for name, clean in cleaned.items():
        index, shares = clean.columns("split", "kept"), kept_shares(clean)
        splits = index.groupby("split", sort=False)["kept"].mean()
        shares["found"] = shares["kept"] * shares["images"]
        classes = shares.groupby("class", sort=False)[["found", "images"]].sum()
        values = [index["kept"].mean(), *splits, *(classes["found"] / classes["images"])]
        columns = ["all", *splits.index, *classes.index]
        rows.append([name, *(f"{100 * value:.1f}" for value in values)])
    return table(["found, %", *columns], rows)


def non_faces(faces: np.ndarray) -> dict[str, np.ndarray]:
    """Images (n, 48, 48) uint8 that show no face, by their kind; blank ones are those of `faces` (N, 48, 48)."""
    from sklearn.datasets import load_sample_images

    rng, photos = np.random.default_rng(0), [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in load_sample_images().images]
    windows = []
    for k in range(EACH):
        photo, side = photos[k % len(photos)], int(rng.integers(FACE_PX, 201))
        top, left = (int(rng.integers(0, edge - side)) for edge in photo.shape)
        windows.append(small(photo[top : top + side, left : left + side]))
    drawn = faces[rng.choice(len(faces), EACH, replace=False)]
    return {
        "windows of two photos": np.stack(windows),
        "rendered walls": np.stack([small(to_bytes(background(rng, 2 * FACE_PX))) for _ in range(EACH)]),
        "rendered things": np.stack([render_non_face(rng, FACE_PX) for _ in range(EACH)]).astype(np.uint8),
        "faces, their pixels permuted": rng.permuted(drawn.reshape(EACH, -1), axis=1).reshape(drawn.shape),
        "blank images of the data set": faces[faces.reshape(len(faces), -1).std(axis=1) < 1],
    }


def small(window: np.ndarray) -> np.ndarray:
    """A square window brought to the size of a face."""
    return cv2.resize(window, (FACE_PX, FACE_PX), interpolation=cv2.INTER_AREA)


def false_faces(raw: FaceSet) -> str:
    """How many faces each setting finds where there is none."""
    kinds = non_faces(np.array(raw.images))
    rows = []
    for name, params in SETTINGS.items():
        counts = [np.isfinite(find_faces(images, params, cores())[0]).sum() for images in kinds.values()]
        rows.append([name, *map(str, counts)])
    return table(["faces found in", *(f"{len(images):,} {kind}" for kind, images in kinds.items())], rows)


def agreement(cleaned: dict[str, FaceSet]) -> str:
    """Landmarks beside the reference's where both found the face, and beside the renderer's, in pixels of 48."""
    drawn = [render_face(seed=seed) for seed in range(FACES)]
    images, truth = np.stack([image for image, _ in drawn]), np.stack([points for _, points in drawn])
    other, inner, rows = cleaned[REFERENCE], np.r_[NOSE, EYES], []
    for name, clean in cleaned.items():
        both = np.flatnonzero(clean.columns("kept")["kept"] & other.columns("kept")["kept"])
        ours, theirs = clean.landmarks[both], other.landmarks[both]
        apart = np.linalg.norm(ours - theirs, axis=2).mean(axis=1)
        eyes = np.linalg.norm(theirs[:, RIGHT_EYE].mean(axis=1) - theirs[:, LEFT_EYE].mean(axis=1), axis=1)
        scores, points, _ = find_faces(images, SETTINGS[name], cores())
        found = np.isfinite(scores)
        errors = np.linalg.norm(points[found] - truth[found], axis=2)
        hidden, far = (clean.visible[both] < 0.5).any(axis=1).mean(), (apart > APART * eyes).mean()
        of_real = [f"{len(both):,}", f"{np.median(apart):.2f}", f"{100 * far:.1f}", f"{100 * hidden:.1f}"]
        of_rendered = [f"{100 * found.mean():.1f}", f"{errors.mean():.2f}", f"{errors[:, inner].mean():.2f}"]
        rows.append([name, *of_real, *of_rendered])
    columns = [
        "landmarks",
        f"found by {REFERENCE} too",
        "median px apart",
        "more than a tenth of the eyes' distance, %",
    ]
    columns += ["a part called hidden, %", f"found of {FACES} rendered, %", "px from the truth", "eyes and nose, px"]
    return table(columns, rows)


def accuracy(data: dict[str, Path], out: Path) -> str:
    """Share of validation faces that an SVM on HOG gets right, in %: of all, of those that were found, or by all."""
    jobs = []
    for name, folder in data.items():
        make_features(folder, HideParams(), AugmentParams(mode="online"), ExtractParams())
        jobs += [Job(name, "svm", training) for training in plan(folder, ("svm", {}), TrainParams())]
    run_jobs(jobs, Terms(out / "models", probe=0))
    seen = {name: _validation(folder) for name, folder in data.items()}
    common = np.logical_and.reduce([kept for _, _, kept in seen.values()])
    rows: list[list[str]] = []
    for job in jobs:
        stored, labels, kept = seen[job.dataset]
        right = load_model(out / "models" / job.run).predict(stored).argmax(axis=1) == labels
        shares = [right.mean(), right[kept].mean(), right[common].mean(), kept.mean()]
        rows.append([job.dataset, *(f"{100 * share:.1f}" for share in shares)])
    return table(
        [
            "svm on HOG",
            f"all {len(common):,}, %",
            "those found, %",
            f"the {common.sum():,} found by all, %",
            "found, %",
        ],
        rows,
    )


def _validation(data: Path) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """What is stored of the validation faces, their labels, and which were found."""
    faces, values, clean = (open_faceset(data / name) for name in ("augmented", "features", "clean"))
    rows = split_rows(faces, -1, "last").val
    labels, parents = (faces.columns(name)[name].to_numpy()[rows] for name in ("label", "parent"))
    return stored_rows(faces, values, rows), labels, clean.columns("kept")["kept"].to_numpy()[parents]


if __name__ == "__main__":
    run_app(app)
