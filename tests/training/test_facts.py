"""What model.json says is checked field by field before anything is computed with it."""

import json
from math import inf, nan
from pathlib import Path
from types import SimpleNamespace

import pytest

import mmfer
from mmfer.errors import MmferError
from mmfer.training.facts import read_facts
from mmfer.use.predictor import Predictor

MODEL = Path(mmfer.__file__).parent / "weights" / "fer2013"


@pytest.fixture
def facts():
    return json.loads((MODEL / "model.json").read_text())


def test_the_facts_of_the_package_are_whole(facts):
    assert read_facts(MODEL) == facts


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        *(({"temperature": value}, "result.temperature") for value in (nan, inf, 0, -1, 1e-9, "1", None)),
        *(({f"temperature_{of}": value}, of) for of in ("rise", "bend") for value in (nan, -1e3, 1e3, [])),
        *(({"sets": {"least": value}}, "result.sets.least") for value in (nan, -0.1, 1.1, "x")),
        ({"sets": {}}, "result.sets.least"),
        ({"sets": "x"}, "result.sets"),
    ],
)
def test_terms_that_would_make_no_probabilities_are_refused_by_name(facts, tmp_path, changed, named):
    facts["result"] |= changed
    (tmp_path / "model.json").write_text(json.dumps(facts))
    with pytest.raises(MmferError, match=f"{named}: "):
        read_facts(tmp_path)


@pytest.mark.parametrize("result", [None, [1], "x"])
def test_a_result_that_is_no_block_is_refused(facts, tmp_path, result):
    (tmp_path / "model.json").write_text(json.dumps(facts | {"result": result}))
    with pytest.raises(MmferError, match="result: "):
        read_facts(tmp_path)


@pytest.mark.parametrize(
    ("made_by", "message"),
    [
        ({"stage": "extract", "params": {}}, "the stage clean is not named there"),
        ({"params": {}}, "the stage extract is not named there"),
        ({"stage": "extract", "params": {}, "from": []}, "the stage clean is not named there"),
        ({"stage": "extract", "params": {"cell_px": "x"}}, "model.json: extract: cell_px"),
        ({"stage": "extract", "params": []}, "model.json: extract: a block of keys is expected"),
        (
            {"stage": "extract", "params": {}, "from": {"stage": "clean", "params": {"align": 3}}},
            "model.json: clean: align",
        ),
    ],
)
def test_a_model_that_does_not_say_how_faces_are_prepared_predicts_nothing(facts, made_by, message):
    with pytest.raises(MmferError, match=message.replace(".", r"\.")):
        Predictor(SimpleNamespace(facts=facts | {"made_by": made_by}))
