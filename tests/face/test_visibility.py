"""Which parts can be seen: the linear model against scikit-learn's, and faces of which a part is hidden."""

import json

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from mmfer.config import CleanParams, ExtractParams
from mmfer.face.detection import find_faces, find_faces_and_leaves
from mmfer.face.points import EYES, MOUTH, PARTS
from mmfer.face.prepare import see
from mmfer.face.visibility import ROUNDS, WEIGHTS, visible
from mmfer.testing.perturb import hide, lighten

CLEAN = CleanParams(threshold=-1.0)
PLACES = {"mouth": MOUTH, "eyes": EYES}
LIGHTS = {
    "half the grey levels": lambda face: face // 2,
    "contrast x 0.3": lambda face: (0.3 * face + 0.7 * face.mean()).astype(np.uint8),
    "darker": lambda face: lighten(face, -0.3),
}


def parts_seen(faces):
    return see(faces, CLEAN, ExtractParams(), 2)[0]["visible"]


@pytest.fixture(scope="module")
def faces_with(rendered):
    """Rendered faces as they are, with hidden mouths and with hidden eyes."""
    faces = rendered[0]
    _, points, _ = find_faces(faces, CLEAN, 2)
    changed = {
        part: np.stack([hide(*pair) for pair in zip(faces, points[:, rows], strict=True)])
        for part, rows in PLACES.items()
    }
    return {"nothing": faces} | changed


@pytest.fixture(scope="module")
def hidden(faces_with):
    """What is seen of them."""
    return {part: parts_seen(faces) for part, faces in faces_with.items()}


def test_probabilities_are_those_of_scikit_learn(rng):
    leaves = rng.integers(0, 16, (40, ROUNDS, 500)).astype(np.uint8)
    with np.load(WEIGHTS / "weights.npz", allow_pickle=False) as file:
        weights, bias = file["weights"], file["bias"]
    assert weights.shape == (ROUNDS * 500, 16, len(PARTS))
    places = np.arange(ROUNDS * 500) * 16 + leaves.reshape(40, -1)
    one_hot = csr_array((np.ones(places.size), (np.repeat(np.arange(40), ROUNDS * 500), places.ravel())), (40, 24000))
    found = visible(leaves)
    assert (found.dtype, found.shape) == (np.float32, (40, 5))
    for part in range(len(PARTS)):
        model = LogisticRegression()
        model.classes_, model.intercept_ = np.array([0, 1]), bias[[part]]
        model.coef_ = weights[..., part].reshape(1, -1).astype(float)
        np.testing.assert_allclose(found[:, part], model.predict_proba(one_hot)[:, 1], atol=1e-5)


def test_nothing_of_no_face_is_seen():
    assert visible(np.empty((0, ROUNDS, 500), np.uint8)).shape == (0, 5)


def test_faces_and_landmarks_are_the_same_whether_leaves_are_asked_for_or_not(rendered):
    scores, landmarks, _ = find_faces_and_leaves(rendered[0][:9], CLEAN, 1, ROUNDS)
    for asked, plain in zip((scores, landmarks), find_faces(rendered[0][:9], CLEAN, 2)[:2], strict=True):
        np.testing.assert_array_equal(asked, plain)


def test_what_is_seen_is_told_from_the_leaves_of_the_last_rounds_for_any_number_of_workers(rendered):
    *_, leaves = find_faces_and_leaves(rendered[0][:9], CLEAN, 3, 15)
    np.testing.assert_array_equal(parts_seen(rendered[0][:9]), visible(leaves[:, -ROUNDS:]))


@pytest.mark.parametrize("part", PLACES)
def test_a_hidden_part_is_told_from_a_seen_one(hidden, part):
    at = list(PARTS).index(part)
    seen, unseen = hidden["nothing"][:, at], hidden[part][:, at]
    truth = np.repeat([1, 0], [len(seen), len(unseen)])
    assert roc_auc_score(truth, np.concatenate([seen, unseen])) > 0.97
    assert np.mean(seen > 0.5) > 0.9
    assert np.mean(unseen < 0.5) > 0.8


@pytest.mark.parametrize("light", LIGHTS)
def test_in_another_light_hidden_parts_are_told_and_others_are_not_called_hidden(faces_with, light):
    plain, mouth, eyes = (
        parts_seen(np.stack([LIGHTS[light](face) for face in faces_with[part]]))
        for part in ("nothing", "mouth", "eyes")
    )
    assert np.mean(plain < 0.5) < 0.1
    assert np.mean(mouth[:, 3] < 0.5) > 0.8
    assert np.mean(eyes[:, 1] < 0.5) > 0.8


def test_the_other_part_is_still_seen(hidden):
    assert np.mean(hidden["mouth"][:, 1] > 0.5) > 0.8
    assert np.mean(hidden["eyes"][:, 3] > 0.5) > 0.8


def test_the_weights_are_small_and_their_facts_beside_them_are_complete():
    assert (WEIGHTS / "weights.npz").stat().st_size < 300_000
    facts = json.loads((WEIGHTS / "facts.json").read_text(encoding="utf-8"))
    assert {row["data"] for row in facts["measured"]} == {"FER2013 validation", "CK+ frames", "rendered"}
    assert all(list(row["parts"]) == list(PARTS) for row in facts["measured"])
    assert {row["data"] for row in facts["tones"]} == {row["data"] for row in facts["measured"]}
