"""The figures of MODEL_CARD.md: prints them as JSON and draws the reliability diagram.

`python tools/model_card.py data/fer2013 [MODEL]`, with the FaceSets that docs/results/fer2013/params.yaml makes
(download to extract), for a model folder, else the network that the package takes by itself. First fits the temperature
and the bound of the sets on the validation faces, without copies of test faces, and writes them to model.json and to
the ONNX graph; then predicts PublicTest once, through the public API: its images as faces.
"""

import json
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mmfer.data.faceset import open_faceset
from mmfer.face.prepare import stored_rows
from mmfer.files import write_json
from mmfer.testing.evaluate import calibration
from mmfer.testing.statistics import class_recalls, expected_calibration_error, macro_accuracy
from mmfer.training.calibration import COVERAGE, fit_temperature, least_probability, reliability, tempered
from mmfer.training.models import load_model
from mmfer.use.export import export_onnx
from mmfer.use.predictor import WEIGHTS, Predictor


def rows_of(data: Path, split: str) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """The plain faces of a split but copies of test faces: arrays as stored, labels, rows of the raw FaceSet."""
    faces = open_faceset(data / "augmented", needs=("images",))
    values = open_faceset(data / "features", needs=("landmarks", "hog", "visible"))
    wanted = (faces.index["copy"] == 0) & (faces.index["split"] == split) & ~faces.index["duplicate_of_test"]
    rows = np.flatnonzero(wanted)
    stored = stored_rows(faces, values, rows)
    index = faces.index.iloc[rows]
    return stored, index["label"].to_numpy(np.int64), index["parent"].to_numpy()


def draw(plain: np.ndarray, calibrated: np.ndarray, labels: np.ndarray, path: Path) -> None:
    """Reliability diagrams side by side."""
    figure = Figure(figsize=(8, 4), layout="constrained", dpi=130)
    for axes, (title, values) in zip(
        figure.subplots(1, 2, sharey=True), {"plain": plain, "with temperature": calibrated}.items(), strict=True
    ):
        table = reliability(values, labels)
        axes.plot([0, 1], [0, 1], color="#666666", linestyle=":", linewidth=1)
        sizes = [row["images"] / len(labels) * 900 for row in table]
        points = [(row["confidence"], row["accuracy"]) for row in table]
        axes.plot(*zip(*points, strict=True), color="#0072B2")
        axes.scatter(*zip(*points, strict=True), s=sizes, color="#0072B2", alpha=0.5, linewidth=0)
        axes.set_title(f"{title}: ECE {expected_calibration_error(values, labels):.1%}", fontsize=11)
        axes.set(xlabel="confidence", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    figure.axes[0].set_ylabel("accuracy")
    figure.suptitle(
        f"FER2013 PublicTest, {len(labels)} images, one run; area of a dot: share of the images", fontsize=10
    )
    figure.savefig(path)


def main() -> None:
    """Fit the temperature, predict the test set, print."""
    data, folder = Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else WEIGHTS
    model = load_model(folder)
    stored, labels, _ = rows_of(data, "val")
    val = model.predict(stored)
    terms = fit_temperature(val, labels)
    sets = {"coverage": COVERAGE, "faces": len(labels), "least": least_probability(val, labels)}
    facts = model.facts | {"result": model.facts["result"] | terms | {"sets": sets}}
    write_json(folder / "model.json", facts)
    export_onnx(folder)
    fitted = {
        "images": len(labels),
        "accuracy": float((val.argmax(1) == labels).mean()),
        "ece": expected_calibration_error(val, labels),
        "ece_calibrated": expected_calibration_error(tempered(val, **terms), labels),
    }
    stored, labels, parents = rows_of(data, "test")
    stage_path = model.predict(stored)
    calibrated = Predictor.load(folder).predict_faces(open_faceset(data / "raw", needs=("images",)).images[parents])
    kept = open_faceset(data / "clean").index["kept"].to_numpy(bool)[parents]
    draw(stage_path, calibrated, labels, folder / "reliability.png")
    predicted, n = calibrated.argmax(1), len(model.classes)
    test = {
        "images": len(labels),
        "accuracy_stage_path": float((stage_path.argmax(1) == labels).mean()),
        "accuracy_predict_faces": float((predicted == labels).mean()),
        "other_class": int((predicted != stage_path.argmax(1)).sum()),
        "largest_difference": float(np.abs(calibrated - tempered(stage_path, **terms)).max()),
        "kept": {"coverage": float(kept.mean()), "accuracy": float((predicted == labels)[kept].mean())},
        "macro": macro_accuracy(labels, predicted, n),
        "recall": dict(zip(model.classes, class_recalls(labels, predicted, n).tolist(), strict=True)),
        "precision": {c: float((labels == k)[predicted == k].mean()) for k, c in enumerate(model.classes)},
        "ece": expected_calibration_error(stage_path, labels),
        "ece_calibrated": expected_calibration_error(calibrated, labels),
        "reliability": reliability(calibrated, labels),
        **calibration(stage_path, labels, facts),
    }
    print(json.dumps({**terms, "val": fitted, "public_test": test}, indent=1))


if __name__ == "__main__":
    main()
