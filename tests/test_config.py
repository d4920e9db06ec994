"""params.yaml and its models: the same keys, the paper's defaults, faults named."""

import pytest
import yaml

from mmfer.config import AugmentParams, EvaluateParams, Params, TrainParams, check, read_params
from mmfer.errors import MmferError
from mmfer.systems import system_params


@pytest.fixture
def content():
    with open("params.yaml", encoding="utf-8") as file:
        return yaml.safe_load(file)


def test_params_yaml_states_every_value(content):
    params = read_params()
    assert params.model_dump() == content
    for name, block in content["systems"].items():
        system, checked = system_params(name, block)
        assert set(type(checked).model_fields) == set(block) - {"kind"}
        assert system.kind == block["kind"]


def test_defaults_are_the_papers():
    train = TrainParams()
    assert (train.epochs, train.learning_rate, train.beta1, train.beta2, train.epsilon) == (500, 1e-3, 0.9, 0.999, 1e-7)
    assert (train.loss, train.schedule, AugmentParams().copies, EvaluateParams().runs) == (
        "softmax",
        "constant",
        30,
        10,
    )


FAULTS = [
    (("clean", "treshold"), 0.0, r"datasets\.synthetic\.clean\.treshold: unknown key; did you mean threshold\?"),
    (("source", "facs"), 9, r"datasets\.synthetic\.source\.facs: unknown key; did you mean faces\?"),
    (("source", "kind"), "imagenet", r"source\.kind: take one of synthetic, fer2013, ckplus"),
    (("train", "epochs"), 0, r"train\.epochs: input should be greater than or equal to 1, not 0"),
    (("train", "epochs"), "many", r"train\.epochs: input should be a valid integer, not 'many'"),
    (("extract", "cell_px"), 7, "cell_px = 7 does not divide 48: take 4, 6, 8, 12, 16 or 24"),
    (("extract", "block_cells"), 4, None),
]


@pytest.mark.parametrize(("key", "value", "message"), FAULTS)
def test_a_wrong_key_or_value_is_named(content, key, value, message):
    content["datasets"]["synthetic"][key[0]][key[1]] = value
    if message is None:
        check(Params, content, "params.yaml")
        return
    with pytest.raises(MmferError, match=message):
        check(Params, content, "params.yaml")


def test_all_faults_are_told_at_once(content):
    content["datasets"]["synthetic"]["clean"]["treshold"] = 1.0
    del content["report"]
    with pytest.raises(MmferError, match=r"treshold.*report: missing"):
        check(Params, content, "params.yaml")


def test_an_unknown_data_set_or_system_is_named():
    with pytest.raises(MmferError, match=r"datasets\.synthetc: not there; did you mean synthetic\?"):
        read_params().dataset("synthetc")
    with pytest.raises(MmferError, match=r"systems\.vgg: not there; known: ours, svm"):
        read_params().system("vgg")


@pytest.mark.parametrize(("text", "message"), [("a: [", "not YAML"), ("- 1", "a block of keys is expected")])
def test_what_is_no_parameter_file_is_refused(tmp_path, text, message):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(MmferError, match=message):
        read_params(tmp_path / "params.yaml")
    with pytest.raises(MmferError, match="not found"):
        read_params(tmp_path / "absent.yaml")
