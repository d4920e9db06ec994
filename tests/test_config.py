"""params.yaml and its models: the same keys, the paper's defaults, faults named."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from mmfer.config import (
    AugmentParams,
    CkplusSource,
    CleanParams,
    EvaluateParams,
    ExtractParams,
    Params,
    SyntheticSource,
    TrainParams,
    check,
    read_params,
)
from mmfer.errors import MmferError
from mmfer.systems import system_params, systems
from mmfer.systems.ours import OursParams


@pytest.fixture
def content():
    with open("params.yaml", encoding="utf-8") as file:
        return yaml.safe_load(file)


def keys(block, prefix=""):
    """The dotted names of all keys of a block, those of its sub-blocks included."""
    names = set()
    for key, value in block.items():
        names |= {prefix + key} | (keys(value, f"{prefix}{key}.") if isinstance(value, dict) else set())
    return names


def test_params_yaml_states_every_value(content):
    params = read_params()
    assert keys(params.model_dump()) == keys(content)
    assert params.model_dump() == content
    for name, block in content["systems"].items():
        system, checked = system_params(name, block)
        assert set(type(checked).model_fields) == set(block) - {"kind", "train"}
        assert system.kind == block["kind"]


@pytest.mark.parametrize("path", sorted(Path("metrics").glob("*/params.yaml")))
def test_the_params_beside_committed_results_can_be_run(path):
    for name, block in read_params(path).systems.items():
        system_params(name, block)


OFFERED = yaml.safe_load(Path("docs/systems.yaml").read_text())["systems"]


@pytest.mark.parametrize("name", OFFERED)
def test_the_blocks_of_other_systems_state_every_value(name):
    _, checked = system_params(name, OFFERED[name])
    assert set(type(checked).model_fields) == set(OFFERED[name]) - {"kind", "train"}


def test_a_systems_own_training_replaces_just_the_keys_that_it_names(content):
    content["systems"]["tang"] = OFFERED["tang"]
    content["datasets"]["synthetic"]["train"]["weight_decay"] = 0.05
    params = check(Params, content, "params.yaml")
    general = params.dataset("synthetic").train
    assert (params.train("synthetic", "ours"), general.weight_decay) == (general, 0.05)
    own = params.train("synthetic", "tang")
    assert own.model_dump() == general.model_dump() | {"weight_decay": 0.0}
    assert params.system("tang") == {"kind": "tang", "objective": "l2svm", "dropout": 0.2}


OWN_FAULTS = [
    ({"lerning_rate": 0.1}, r"systems\.tang\.train: lerning_rate: unknown key; did you mean learning_rate\?"),
    ({"loss": "hinge"}, r"systems\.tang\.train: loss: input should be 'softmax' or 'binary', not 'hinge'"),
    ({"copies": 0}, r"systems\.tang\.train: copies: input should be greater than or equal to 1, not 0"),
    (None, r"systems\.tang\.train: a block of keys is expected, not None"),
]


@pytest.mark.parametrize(("train", "message"), OWN_FAULTS)
def test_a_wrong_key_or_value_of_a_systems_own_training_is_named(content, train, message):
    content["systems"]["tang"] = OFFERED["tang"] | {"train": train}
    with pytest.raises(MmferError, match=rf"^params\.yaml: {message}"):
        check(Params, content, "params.yaml").train("synthetic", "tang")
    with pytest.raises(MmferError, match=rf"^params\.yaml: {message}"):
        system_params("tang", content["systems"]["tang"])


def test_the_papers_setting_is_the_defaults():
    path = Path("docs/params.paper.yaml")
    params = read_params(path)
    assert keys(params.model_dump()) == keys(yaml.safe_load(path.read_text()))
    for dataset in params.datasets.values():
        assert dataset.train == TrainParams(seeds=list(range(10)))
        assert (dataset.augment.copies, dataset.evaluate.runs) == (30, 10)
    _, ours = system_params("ours", params.systems["ours"])
    assert ours == OursParams()


@pytest.mark.parametrize("name", ["comparison", "settings"])
def test_the_parameters_of_the_comparison_state_every_value(name):
    path = Path(f"docs/params.{name}.yaml")
    params = read_params(path)
    stated = keys(yaml.safe_load(path.read_text()))
    assert keys(params.model_dump()) == stated
    for system in params.systems:
        _, checked = system_params(system, params.systems[system])
        assert set(type(checked).model_fields) == set(params.system(system)) - {"kind"}


def test_the_comparison_has_every_system_and_ablation():
    params = read_params("docs/params.comparison.yaml")
    assert set(systems()) - {"compact"} == {block["kind"] for block in params.systems.values()}
    assert set(params.systems) >= {name for name in OFFERED if name.startswith("ours_")}
    widths = ("channels", "image_hidden", "landmarks_hidden", "hog_hidden")
    base = params.systems["ours"]
    for name in (name for name in OFFERED if name.startswith("ours_")):
        block = dict(params.systems[name])
        if set(block.get("train", {})) == {"seeds"}:  # says how often it is trained, not what
            del block["train"]
        assert block == OFFERED[name] | {key: base[key] for key in widths}


def test_a_value_left_out_of_params_yaml_is_seen_by_that_comparison(content):
    del content["datasets"]["synthetic"]["clean"]["align"]
    assert keys(check(Params, content, "params.yaml").model_dump()) - keys(content) == {
        "datasets.synthetic.clean.align"
    }


def test_defaults_are_the_papers():
    train = TrainParams()
    assert (train.epochs, train.learning_rate, train.beta1, train.beta2, train.epsilon) == (500, 1e-3, 0.9, 0.999, 1e-7)
    assert (train.loss, train.schedule, train.select, train.patience) == ("softmax", "constant", "last", None)
    assert (train.weight_decay, train.label_smoothing, train.mixup, train.ema) == (0, 0, 0, 0)
    assert (AugmentParams().copies, EvaluateParams().runs) == (30, 10)
    assert (CkplusSource().folds, CkplusSource().split) == (10, "subject")


def test_our_networks_default_widths_are_the_papers():
    ours = OursParams()
    assert (ours.image_hidden, ours.landmarks_hidden, ours.hog_hidden) == (
        [4096, 1024, 128],
        [1024, 128],
        [4096, 1024, 128],
    )
    assert (len(ours.channels), ours.attention) == (3, "cbam")
    assert ours.branches == ["image", "landmarks", "hog"]


FAULTS = [
    ("clean.treshold", 0.0, r"synthetic\.clean\.treshold: unknown key; did you mean threshold\?"),
    ("source.facs", 9, r"synthetic\.source\.facs: unknown key; did you mean faces\?"),
    ("cleen", {}, r"datasets\.synthetic\.cleen: unknown key; did you mean clean\?"),
    ("train.zzz", 1, r"train\.zzz: unknown key; known: epochs, "),
    ("source.kind", "imagenet", r"source\.kind: take one of synthetic, fer2013, ckplus"),
    ("source", {}, r"source\.kind: take one of synthetic, fer2013, ckplus"),
    ("train.epochs", "many", r"train\.epochs: input should be a valid integer, not 'many'"),
    ("train.epochs", 2.5, r"train\.epochs: input should be a valid integer, not 2\.5"),
    ("train.epochs", True, r"train\.epochs: input should be a valid integer, not True"),
    ("train.learning_rate", "1e-3", r"train\.learning_rate: input should be a valid number, not '1e-3'"),
    ("train.loss", "hinge", r"train\.loss: input should be 'softmax' or 'binary', not 'hinge'"),
    ("train.seeds", ["a"], r"train\.seeds\.0: input should be a valid integer, not 'a'"),
    ("clean.align", "yes", r"clean\.align: input should be a valid boolean, not 'yes'"),
    ("extract.cell_px", 7, "cell_px = 7 does not divide 48: take 4, 6, 8, 12, 16 or 24"),
]


def replaced(content, key, value):
    """The parameters with one value of the synthetic data set replaced."""
    *blocks, last = key.split(".")
    block = content["datasets"]["synthetic"]
    for name in blocks:
        block = block[name]
    block[last] = value
    return content


@pytest.mark.parametrize(("key", "value", "message"), FAULTS)
def test_a_wrong_key_or_value_is_named(content, key, value, message):
    with pytest.raises(MmferError, match=message):
        check(Params, replaced(content, key, value), "params.yaml")


IMPOSSIBLE = [
    ("source.faces", 69),
    ("source.identities", 13),
    ("source.val_share", 0),
    ("source.test_share", 0.5),
    ("source.label_noise", 0.51),
    ("source.blends", 1.01),
    ("source.seed", -1),
    ("clean.threshold", 3.5),
    ("clean.detect_px", 79),  # dlib's window has 80 px
    ("clean.border_px", -1),
    ("clean.eye_distance_px", 7.9),
    ("clean.eye_height_px", 33.0),
    ("augment.copies", 0),
    ("augment.mirror", 1.1),
    ("augment.rotate_deg", 181),
    ("augment.shift_px", -1),
    ("augment.scale", 0.9),
    ("augment.contrast", 1.0),
    ("augment.erase", -0.1),
    ("augment.erase_px", 49),  # wider than the face
    ("extract.orientations", 1),
    ("extract.block_cells", 0),
    ("train.epochs", 0),
    ("train.copies", 0),
    ("train.samples_per_epoch", 0),
    ("train.max_minutes", 0),
    ("train.batch_size", 1),  # batch norm needs two
    ("train.learning_rate", 0),
    ("train.learning_rate", float("nan")),
    ("train.beta1", 1),
    ("train.beta2", 1.0),
    ("train.epsilon", 0.0),
    ("train.weight_decay", -0.1),
    ("train.label_smoothing", 1.0),
    ("train.mixup", -1),
    ("train.ema", 1.0),
    ("train.patience", 0),
    ("train.seeds", []),
    ("evaluate.runs", 0),
    ("evaluate.bootstrap", 99),
]


@pytest.mark.parametrize(("key", "value"), IMPOSSIBLE)
def test_an_impossible_value_is_refused_by_its_key(content, key, value):
    with pytest.raises(MmferError, match=rf"^params\.yaml: datasets\.synthetic\.{key}: .+, not "):
        check(Params, replaced(content, key, value), "params.yaml")


def test_a_block_of_more_cells_than_the_face_has_is_refused():
    both = ExtractParams().model_dump() | {"cell_px": 24, "block_cells": 3}
    with pytest.raises(MmferError, match="block_cells = 3 is more than the 2 cells of a side"):
        check(ExtractParams, both, "params.yaml")
    assert check(ExtractParams, both | {"block_cells": 2}, "params.yaml").block_cells == 2


def test_whole_numbers_stand_for_shares_and_null_for_no_bound(content):
    replaced(replaced(content, "augment.mirror", 1), "train.max_minutes", None)
    checked = check(Params, content, "params.yaml").dataset("synthetic")
    assert (checked.augment.mirror, checked.train.max_minutes) == (1.0, None)


def test_all_faults_are_told_at_once(content):
    replaced(replaced(content, "clean.treshold", 1.0), "train.epochs", 0)
    del content["study"]
    with pytest.raises(MmferError, match=r"treshold.*train\.epochs.*study: missing; add it") as fault:
        check(Params, content, "params.yaml")
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize("block", ["datasets", "systems"])
def test_no_data_set_or_no_system_is_refused(content, block):
    with pytest.raises(MmferError, match=f"{block}: dictionary should have at least 1 item"):
        check(Params, content | {block: {}}, "params.yaml")


def test_an_unknown_data_set_or_system_is_named():
    with pytest.raises(MmferError, match=r"datasets\.synthetc: not there; did you mean synthetic\?"):
        read_params().dataset("synthetc")
    with pytest.raises(MmferError, match=r"systems\.vgg: not there; known: ours, "):
        read_params().system("vgg")


def test_an_unknown_kind_or_key_of_a_system_is_named(content):
    ours = content["systems"]["ours"]
    with pytest.raises(MmferError, match=r"systems\.mine\.kind\.our: not there; did you mean ours\?"):
        system_params("mine", {"kind": "our"})
    with pytest.raises(MmferError, match=r"systems\.ours: chanels: unknown key; did you mean channels\?"):
        system_params("ours", ours | {"chanels": [1]})
    with pytest.raises(MmferError, match=r"systems\.ours: dropout: input should be less than 1, not 1\.0"):
        system_params("ours", ours | {"dropout": 1.0})


def test_a_system_is_of_the_kind_of_its_name_unless_it_says_otherwise():
    assert system_params("svm", {})[0].kind == "svm"
    assert system_params("linear", {"kind": "svm"})[0].kind == "svm"


def test_values_do_not_change_once_they_are_read():
    params = CleanParams()
    with pytest.raises(ValidationError, match="frozen"):
        params.threshold = 1.0
    with pytest.raises(ValidationError, match="frozen"):
        SyntheticSource().seed = 1


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"a: [", "not YAML"),
        (b"- 1", "a block of keys is expected"),
        (b"", "a block of keys is expected, not None"),
        (b"a: \xff\xfe", "not YAML"),
    ],
)
def test_what_is_no_parameter_file_is_refused(tmp_path, raw, message):
    (tmp_path / "params.yaml").write_bytes(raw)
    with pytest.raises(MmferError, match=message):
        read_params(tmp_path / "params.yaml")


def test_a_missing_parameter_file_is_named_with_a_remedy(tmp_path):
    with pytest.raises(MmferError, match=r"absent\.yaml: not found; run from the folder that holds dvc\.yaml"):
        read_params(tmp_path / "absent.yaml")
