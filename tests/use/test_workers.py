"""A Predictor in threads, and sent to other processes."""

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import pytest

import mmfer
from mmfer.training.models import Model
from mmfer.use.predictor import WEIGHTS, Predictor, open_folder, withheld
from tests.use.photos import scene


@pytest.fixture(scope="module")
def photos(rendered):
    """Photos of one to three faces."""
    return [scene([(rendered[0][3 * k + n], 10 + 200 * n, 30, 180) for n in range(k)], 240) for k in (1, 2, 3)]


@pytest.fixture(scope="module")
def predictor():
    return Predictor.load(min_pixels=20)


@pytest.fixture(scope="module")
def expected(predictor, photos):
    found = predictor.predict(photos)
    assert [len(faces) for faces in found] == [1, 2, 3]
    return [[face.as_dict() for face in faces] for faces in found]


def as_dicts(predictor, photo):
    return [face.as_dict() for face in predictor.predict(photo)[0]]


def test_threads_share_a_predictor(predictor, photos, expected):
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda photo: as_dicts(predictor, photo), photos * 4))
    assert found == expected * 4


def test_a_pickled_predictor_answers_alike(predictor, photos, expected):
    again = pickle.loads(pickle.dumps(predictor))
    assert (again.search, again.workers) == (predictor.search, predictor.workers)
    assert [as_dicts(again, photo) for photo in photos] == expected


def test_one_of_torch_is_pickled_with_its_weights(photos):
    predictor = Predictor(open_folder(WEIGHTS))
    again = pickle.loads(pickle.dumps(predictor))
    assert as_dicts(again, photos[1]) == as_dicts(predictor, photos[1])


def test_joblib_sends_a_predictor_to_other_processes(predictor, photos, expected):
    found = joblib.Parallel(2, backend="loky")(joblib.delayed(as_dicts)(predictor, photo) for photo in photos)
    assert found == expected


def test_the_weights_of_the_package_are_found_where_it_is_installed(predictor, tmp_path):
    """As on the computers of a cluster; the copy has no weights, and says where it misses them."""
    content = pickle.dumps(predictor.model)
    assert str(WEIGHTS).encode() not in content
    (tmp_path / "model").write_bytes(content)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    package = Path(mmfer.__file__).parent
    (elsewhere / "mmfer").mkdir()
    for part in package.iterdir():
        if part.name != "weights":
            (elsewhere / "mmfer" / part.name).symlink_to(part)
    code = "import pickle, pathlib; pickle.loads(pathlib.Path('../model').read_bytes())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=elsewhere)
    assert f"MmferError: {elsewhere}/mmfer/weights/fer2013/model.onnx: not there" in done.stderr


def test_while_a_view_is_withheld_others_are_answered_as_ever(rendered, monkeypatch):
    """What another thread would be answered in that moment."""
    model, ask = open_folder(WEIGHTS), Model.predict
    stored = {name: rows[:1] for name, rows in Predictor(model).see(rendered[0][:1]).items()}
    plain, meanwhile = ask(model, stored), []

    def predict(asked, rows):
        meanwhile.append(ask(model, stored))
        return ask(asked, rows)

    monkeypatch.setattr(Model, "predict", predict)
    without = withheld(model, stored)
    assert len(meanwhile) == len(without) == 3
    assert all((answer == plain).all() for answer in meanwhile)
    assert all(abs(row - plain[0]).max() > 1e-4 for row in without.values())
