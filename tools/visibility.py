"""The weights of mmfer.face.visibility and how good they are: writes mmfer/weights/visibility, prints a Markdown table.

`python -m tools.visibility data/fer2013 ckplus48.zip`, with the FaceSets raw and clean of FER2013 as
docs/results/fer2013/params.yaml makes them. Fitted to training faces that are hidden by mmfer.face.occlude, made dim
or bright, and found again; its choices and its calibration are made on a tenth of them. Measured on validation faces,
on CK+ and on rendered faces, all of them never seen, under occluders that training never draws, and in several lights.
No face of PublicTest is read.
"""

import copy
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import cv2
import numba
import numpy as np
from numpy.random import Generator
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from mmfer.config import FACE_PX, CkplusSource, CleanParams
from mmfer.data.faceset import open_faceset
from mmfer.data.sources.ckplus import read_ckplus
from mmfer.data.synthetic import faces as synthetic
from mmfer.data.synthetic.scenery import OCCLUDERS
from mmfer.data.synthetic.scenery import occlude as put_before
from mmfer.face.detection import find_faces, find_faces_and_leaves
from mmfer.face.occlude import hidden_shares, occlude
from mmfer.face.points import EYES, MOUTH, PARTS
from mmfer.face.visibility import ROUNDS, WEIGHTS, add_weights
from mmfer.files import new_file, write_json
from mmfer.testing.perturb import hide, lighten, wear_glasses, wear_mask

SEED, WORKERS = 0, 2
COPIES = 8  # of each training face, each hidden anew
PLAIN = 0.4  # share of them of which nothing is hidden
TONED = 0.75  # share of them in another light
GAINS, SHIFT = (0.25, 1.5), 0.4  # of a tone: times the contrast about the middle grey, then up or down (1: grey range)
LEAVES, STEPS = 16, 40  # of a tree; of L-BFGS
PENALTIES = (0.001, 0.003)  # of squared weights, the better of which is taken
CLEAN = CleanParams(threshold=-1.0)  # as FER2013 is cleaned
PEOPLE = 400  # rendered ones
# Black and white by turns: what is painted over it differs from it everywhere, and so shows what is hidden.
CHECKS = np.where(np.indices((FACE_PX, FACE_PX)).sum(axis=0) % 2, 255, 0).astype(np.uint8)

Model = tuple[np.ndarray, np.ndarray]  # weights (trees, LEAVES, 5), bias (5,), float32
Change = Callable[[np.ndarray, np.ndarray], np.ndarray]  # face, its landmarks -> face


class Seen(NamedTuple):
    """Faces as the shape predictor saw them, and what is true of them."""

    leaves: np.ndarray  # (n, ROUNDS * T) uint8
    seen: np.ndarray  # (n, 5) bool, whether less than half of a part is hidden
    found: float  # share that the detector found

    def join(self, other: "Seen") -> "Seen":
        """Both, one after the other."""
        return Seen(*(np.concatenate(pair) for pair in zip(self[:2], other[:2], strict=True)), self.found)


def look(faces: np.ndarray, shares: np.ndarray) -> Seen:
    """Faces (n, 48, 48) uint8, the hidden shares (n, 5) of their parts -> what is seen of them, found anew."""
    scores, _, leaves = find_faces_and_leaves(faces, CLEAN, WORKERS, ROUNDS)
    return Seen(leaves.reshape(len(faces), -1), shares < 0.5, float(np.mean(~np.isnan(scores))))


# --- hidden faces -----------------------------------------------------------------------------------------------------


def training_faces(faces: np.ndarray, points: np.ndarray, rows: np.ndarray, others: np.ndarray) -> Seen:
    """Copies of rows of faces, most hidden as mmfer.face.occlude does it, some by patches of `others`; then toned."""
    drawn, shares = [], []
    for row, draw in itertools.product(rows, range(COPIES)):
        rng = np.random.default_rng([SEED, row, draw])
        hidden = np.zeros((FACE_PX, FACE_PX))
        face = faces[row]
        if rng.random() >= PLAIN:
            face, hidden = occlude(face, points[row], faces[rng.choice(others)], rng)
        drawn.append(toned(face, rng) if rng.random() < TONED else face)
        shares.append(hidden_shares(hidden, points[row]))
    return look(np.stack(drawn), np.stack(shares))


def toned(face: np.ndarray, rng: Generator) -> np.ndarray:
    """A face in another light: of less contrast or of more, darker or lighter, even so far that nothing is left."""
    gain, shift = np.exp(rng.uniform(*np.log(GAINS))), rng.uniform(-SHIFT, SHIFT)
    return np.clip(gain * (face - 127.5) + 127.5 + 255 * shift, 0, 255).astype(np.uint8)


UNSEEN: dict[str, Change] = {
    "mouth hidden": lambda face, points: hide(face, points[MOUTH]),
    "eyes hidden": lambda face, points: hide(face, points[EYES]),
    "dark glasses": wear_glasses,
    "surgical mask": wear_mask,
}


def unseen_occluders(faces: np.ndarray, points: np.ndarray) -> Iterator[tuple[str, Seen]]:
    """Each occluder that training never draws, with all the faces (n, 48, 48) hidden by it, after `plain`."""
    yield "plain", look(faces, np.zeros((len(faces), len(PARTS))))
    for name, change in UNSEEN.items():
        drawn = np.stack([change(*pair) for pair in zip(faces, points, strict=True)])
        yield name, look(drawn, np.stack([hidden_shares(change(CHECKS, at) != CHECKS, at) for at in points]))


TONES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda face: face,
    "half the grey levels": lambda face: face // 2,
    "a third of them": lambda face: face // 3,
    "contrast x 0.3": lambda face: (0.3 * face + 0.7 * face.mean()).astype(np.uint8),
    "darker by 0.3": lambda face: lighten(face, -0.3),
    "lighter by 0.3": lambda face: lighten(face, 0.3),
}


def rendered_faces() -> Iterator[tuple[str, Seen]]:
    """Rendered people: plain, then each with one of the renderer's own occluders, hidden at true landmarks."""
    rows = [[_rendered(seed, occluder) for seed in range(PEOPLE)] for occluder in (False, True)]
    for name, some in zip(("plain", "its own occluders"), rows, strict=True):
        yield name, look(np.stack([face for face, _ in some]), np.stack([shares for _, shares in some]))


def _rendered(seed: int, occluded: bool) -> tuple[np.ndarray, np.ndarray]:
    """A rendered face, plain or with an occluder, and the hidden shares of its parts."""
    covers = []

    def noted(image, view, points, kind, light, rng):  # type: ignore[no-untyped-def]  # of mmfer.data.synthetic
        black, white = (
            put_before(np.full_like(image, grey), view, points, kind, light, copy.deepcopy(rng)) for grey in (0, 1)
        )
        covers.append((np.abs(white - black) < 0.3).astype(np.float32))  # a shadow leaves 0.6 of it
        return put_before(image, view, points, kind, light, rng)

    expression = synthetic.EXPRESSIONS[seed % len(synthetic.EXPRESSIONS)]
    with mock.patch.object(synthetic, "occlude", noted):
        kind = OCCLUDERS[seed % len(OCCLUDERS)] if occluded else None
        face, points = synthetic.render_face(expression, seed, occluder=kind)
    hidden = cv2.resize(covers[0], face.shape, interpolation=cv2.INTER_AREA) if covers else np.zeros(face.shape)
    return face, hidden_shares(hidden, points)


# --- the model --------------------------------------------------------------------------------------------------------


def fit(known: Seen, penalty: float) -> Model:
    """Logistic regression on the leaves, all five parts at once, with a penalty of squared weights."""
    n, trees = known.leaves.shape
    shape, seen = (trees, LEAVES, len(PARTS)), known.seen.astype(np.float64)

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        model = _model(values, shape)
        logits = logits_of(model, known.leaves).astype(np.float64)
        gradient, rest = np.zeros(shape, np.float32), (expit(logits) - seen) / n
        _gather(known.leaves, rest.astype(np.float32), gradient)
        total = np.logaddexp(0, np.where(known.seen, -logits, logits)).sum() / n
        total += penalty * np.square(model[0], dtype=np.float64).sum()
        return total, np.concatenate([rest.sum(axis=0), (gradient + 2 * penalty * model[0]).ravel()], dtype=np.float64)

    start = np.zeros(len(PARTS) + np.prod(shape))
    return _model(minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS}).x, shape)


def _model(values: np.ndarray, shape: tuple[int, ...]) -> Model:
    bias, weights = np.split(values.astype(np.float32), [len(PARTS)])
    return weights.reshape(shape), bias


@numba.njit(nogil=True)
def _gather(leaves: np.ndarray, rest: np.ndarray, gradient: np.ndarray) -> None:  # (n, trees), (n, 5), (trees, 16, 5)
    for i in range(len(leaves)):
        for t in range(leaves.shape[1]):
            for part in range(rest.shape[1]):
                gradient[t, leaves[i, t], part] += rest[i, part]


def logits_of(model: Model, leaves: np.ndarray) -> np.ndarray:
    """Leaves (n, trees) -> logits (n, 5) of parts that can be seen."""
    logits = np.tile(model[1], (len(leaves), 1))
    add_weights(leaves, model[0], logits)
    return logits


def calibrated(model: Model, held: Seen) -> Model:
    """The model with each part's logit stretched and shifted as suits the held-out faces (Platt, 1999)."""
    logits, weights, bias = logits_of(model, held.leaves), model[0].copy(), model[1].copy()
    for part in range(len(PARTS)):
        platt = LogisticRegression(C=1e6).fit(logits[:, [part]], held.seen[:, part])
        weights[..., part] *= platt.coef_[0, 0]
        bias[part] = bias[part] * platt.coef_[0, 0] + platt.intercept_[0]
    return weights.astype(np.float16).astype(np.float32), bias


def log_loss(model: Model, faces: Seen) -> float:
    """Mean over faces and parts."""
    return float(np.logaddexp(0, np.where(faces.seen, -1, 1) * logits_of(model, faces.leaves)).mean())


# --- how good it is ---------------------------------------------------------------------------------------------------


def calibration_error(truth: np.ndarray, probability: np.ndarray) -> float:
    """Expected calibration error of (n,) probabilities over ten bins of equal width."""
    bins = np.minimum((probability * 10).astype(int), 9)
    gaps = [abs((truth[bins == b] - probability[bins == b]).sum()) for b in range(10)]
    return float(np.sum(gaps) / len(truth))


def measure(model: Model, faces: Seen) -> dict[str, dict[str, float | None]]:
    """For each part: AUC (null where under 2 % or over 98 % are hidden), ECE, shares hidden and taken for hidden."""
    probabilities = 1 / (1 + np.exp(-logits_of(model, faces.leaves)))
    rows = {}
    for name, truth, probability in zip(PARTS, faces.seen.T, probabilities.T, strict=True):
        auc = float(roc_auc_score(truth, probability)) if 0.02 <= truth.mean() <= 0.98 else None
        row = {"auc": auc, "ece": calibration_error(truth, probability)}
        row |= {"hidden": float((~truth).mean()), "said_hidden": float((probability < 0.5).mean())}
        rows[name] = {key: None if value is None else round(value, 4) for key, value in row.items()}
    return rows


def measured(model: Model, name: str, sets: Iterator[tuple[str, Seen]]) -> list[dict]:
    """A row for the plain faces, and one for each occluder with the plain ones beside."""
    rows, plain = [], None
    for occluder, faces in sets:
        plain, both = (faces, faces) if plain is None else (plain, faces.join(plain))
        facts = {"data": name, "faces": len(faces.seen), "occluder": occluder, "found": round(faces.found, 4)}
        rows.append(facts | {"parts": measure(model, both)})
        print_row(rows[-1])
    return rows


def print_row(row: dict) -> None:
    """A line of the table: AUC and ECE in percent of each part."""
    cells = ["-" if p["auc"] is None else f"{100 * p['auc']:.1f}" for p in row["parts"].values()]
    cells += [f"{100 * p['ece']:.1f}" for p in row["parts"].values()]
    head = f"{row['data']}, {row['faces']:,} | {row['occluder']}"
    print(f"| {head} | {row['found']:.0%} | {' | '.join(cells)} |", flush=True)


def said_hidden(model: Model, name: str, faces: np.ndarray, points: np.ndarray) -> list[dict]:
    """A row for each tone: the shares of faces of which any part, and each, is called hidden; and of hidden parts."""
    mouths, eyes = (np.stack([hide(*pair) for pair in zip(faces, points[:, at], strict=True)]) for at in (MOUTH, EYES))
    rows, no_truth = [], np.zeros((len(faces), len(PARTS)))
    for tone, light in TONES.items():
        looks = [look(np.stack([light(face) for face in some]), no_truth) for some in (faces, mouths, eyes)]
        plain, no_mouth, no_eyes = (logits_of(model, seen.leaves) < 0 for seen in looks)
        said = {"any": plain.any(axis=1)} | dict(zip(PARTS, plain.T, strict=True))
        said |= {"hidden mouth": no_mouth[:, list(PARTS).index("mouth")]}
        said |= {"hidden eyes": no_eyes[:, list(PARTS).index("eyes")]}
        shares = {key: round(float(np.mean(value)), 4) for key, value in said.items()}
        found = looks[0].found
        rows.append({"data": name, "faces": len(faces), "tone": tone, "found": round(found, 4), "said_hidden": shares})
        cells = " | ".join(f"{100 * share:.1f}" for share in shares.values())
        print(f"| {name}, {len(faces):,} | {tone} | {found:.0%} | {cells} |", flush=True)
    return rows


def main() -> None:
    """Fit, calibrate, write, measure."""
    data, ckplus = Path(sys.argv[1]), sys.argv[2]
    faces, clean = open_faceset(data / "raw", needs=("images",)).images, open_faceset(data / "clean")
    index, points = clean.index, clean.landmarks
    usable = index["face_score"].notna() & ~index["duplicate_of_test"] & ~index["duplicate_of_val"]
    training = np.flatnonzero(usable & (index["split"] == "train"))
    tenth = np.array([int(digest, 16) % 10 == 0 for digest in index["digest"].iloc[training]])  # copies stay together
    known, held = (training_faces(faces, points, rows, training) for rows in (training[~tenth], training[tenth]))
    models = {penalty: fit(known, penalty) for penalty in PENALTIES}
    losses = {penalty: log_loss(model, held) for penalty, model in models.items()}
    model = calibrated(models[min(losses, key=losses.__getitem__)], held)
    WEIGHTS.mkdir(exist_ok=True)
    with new_file(WEIGHTS / "weights.npz") as path:
        np.savez_compressed(path.open("wb"), weights=model[0].astype(np.float16), bias=model[1])
    validation = np.flatnonzero(usable & (index["split"] == "val"))
    drawn = training_faces(faces, points, validation, training)
    rows = measured(model, "FER2013 validation", iter([("as in training", drawn)]))
    rows += measured(model, "FER2013 validation", unseen_occluders(faces[validation], points[validation]))
    _, frames, _ = read_ckplus(CkplusSource(path=ckplus), WORKERS)
    people = np.stack([_rendered(seed, False)[0] for seed in range(PEOPLE)])
    at, people_at = (find_faces(some, CLEAN, WORKERS)[1] for some in (frames, people))
    rows += measured(model, "CK+ frames", unseen_occluders(frames, at))
    rows += measured(model, "rendered", rendered_faces())
    some = validation[::4]
    tones = said_hidden(model, "FER2013 validation", faces[some], points[some])
    tones += said_hidden(model, "CK+ frames", frames, at) + said_hidden(model, "rendered", people, people_at)
    fitted = {"faces": int((~tenth).sum()), "held_out": int(tenth.sum()), "copies": COPIES, "plain": PLAIN}
    fitted |= {"toned": TONED, "gains": GAINS, "shift": SHIFT, "seed": SEED}
    fitted["log_loss"] = {str(penalty): round(loss, 4) for penalty, loss in losses.items()}
    write_json(WEIGHTS / "facts.json", {"fitted": fitted, "measured": rows, "tones": tones})


if __name__ == "__main__":
    main()
