"""params.yaml and its models: the same keys, the paper's defaults, faults named."""

import copy
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
from mmfer.systems import system_params
from mmfer.systems.ours import OursParams


@pytest.fixture
def content():
    with open("params.yaml", encoding="utf-8") as file:
        return yaml.safe_load(file)


@pytest.mark.parametrize("path", [*Path("metrics").glob("*/params.yaml"), *Path("docs/results").glob("*/params.yaml")])
def test_the_params_beside_committed_results_can_be_run(path):
    for name, block in read_params(path).systems.items():
        system_params(name, block)


TANG = {"kind": "tang", "objective": "l2svm", "dropout": 0.2, "train": {"weight_decay": 0.0}}


def test_a_systems_own_training_replaces_just_the_keys_that_it_names(content):
    content["systems"]["tang"] = TANG
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
    content["systems"]["tang"] = TANG | {"train": train}
    with pytest.raises(MmferError, match=rf"^params\.yaml: {message}"):
        check(Params, content, "params.yaml").train("synthetic", "tang")
    with pytest.raises(MmferError, match=rf"^params\.yaml: {message}"):
        system_params("tang", content["systems"]["tang"])


def test_a_data_set_has_the_defaults_but_for_what_its_own_blocks_say(content):
    content["defaults"]["augment"]["scale"] = 0.2
    content["datasets"]["other"] = copy.deepcopy(content["datasets"]["synthetic"])
    content["datasets"]["other"]["augment"] = {"copies": 7, "mirror": 0.0}
    params = check(Params, content, "params.yaml")
    defaults = content["defaults"]["augment"]
    assert params.dataset("synthetic").augment.model_dump() == defaults | {"copies": 30}
    assert params.dataset("other").augment.model_dump() == defaults | {"copies": 7, "mirror": 0.0}
    assert params.dataset("other/3") == params.dataset("other")  # a shard
    assert content["datasets"]["other"]["augment"] == {"copies": 7, "mirror": 0.0}  # what was read is not changed


def test_a_fault_of_the_defaults_is_named_there_and_once(content):
    content["defaults"]["clean"] |= {"treshold": 1.0, "align": "yes"}
    content["datasets"]["synthetic"]["clean"] = {"align": "no"}
    with pytest.raises(MmferError) as fault:
        check(Params, content, "params.yaml")
    assert str(fault.value) == (
        "params.yaml: defaults.clean.align: input should be a valid boolean, not 'yes'; "
        "defaults.clean.treshold: unknown key; did you mean threshold?; "
        "datasets.synthetic.clean.align: input should be a valid boolean, not 'no'"
    )


def test_values_that_do_not_go_together_are_named_where_they_meet(content):
    content["defaults"]["extract"]["block_cells"] = 3
    content["datasets"]["synthetic"]["extract"] = {"cell_px": 24}
    with pytest.raises(MmferError, match=r"^params\.yaml: datasets\.synthetic\.extract: block_cells = 3 is more"):
        check(Params, content, "params.yaml")
    content["defaults"]["extract"]["cell_px"] = 24
    content["datasets"]["synthetic"]["extract"] = {}
    with pytest.raises(MmferError, match=r"^params\.yaml: defaults\.extract: block_cells = 3 is more[^;]*$"):
        check(Params, content, "params.yaml")


def test_a_block_that_is_left_out_is_asked_for_since_dvc_reads_it(content):
    del content["datasets"]["synthetic"]["clean"]
    with pytest.raises(MmferError, match=r"datasets\.synthetic\.clean: missing; add `clean: {}`, for the defaults$"):
        check(Params, content, "params.yaml")


@pytest.mark.parametrize("name", ["a b", "a;rm", "$(x)", "a/b", "a.b", "a@b", "-a", "", "a\n", "é"])
@pytest.mark.parametrize("part", ["datasets", "systems"])
def test_a_name_that_a_shell_could_misread_is_refused(content, part, name):
    content[part][name] = next(iter(content[part].values()))
    with pytest.raises(MmferError, match=rf"^params\.yaml: {part}: '.*' is no name"):
        check(Params, content, "params.yaml")


@pytest.mark.parametrize(
    ("datasets", "systems", "fault"),
    [
        (["report"], ["ours"], r"datasets\.report: metrics/report holds the pages; take another name"),
        (["study"], ["ours"], r"datasets\.study: metrics/study holds the pages"),
        (["a", "a-b"], ["b-c", "c"], "two pairs of them make the stage name a-b-c; rename one"),
    ],
)
def test_names_that_would_meet_in_one_place_are_refused(content, datasets, systems, fault):
    content["datasets"] = dict.fromkeys(datasets, content["datasets"]["synthetic"])
    content["systems"] = dict.fromkeys(systems, content["systems"]["ours"])
    with pytest.raises(MmferError, match=fault):
        check(Params, content, "params.yaml")


def test_names_of_letters_digits_lines_and_underscores_are_taken(content):
    content["systems"] |= {name: {"kind": "svm"} for name in ("A-1", "_x", "9", "a_b-c")}
    assert "A-1" in check(Params, content, "params.yaml").systems


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
    ("source.kind", "imagenet", r"source\.kind: take one of synthetic, fer2013, ckplus, ferplus"),
    ("source", {}, r"source\.kind: take one of synthetic, fer2013, ckplus, ferplus"),
    ("train.labels", "raters", r"train\.labels: input should be 'label' or 'votes', not 'raters'"),
    ("train.epochs", "many", r"train\.epochs: input should be a valid integer, not 'many'"),
    ("train.epochs", 2.5, r"train\.epochs: input should be a valid integer, not 2\.5"),
    ("train.epochs", True, r"train\.epochs: input should be a valid integer, not True"),
    ("train.learning_rate", "1e-3", r"train\.learning_rate: input should be a valid number, not '1e-3'"),
    ("train.loss", "hinge", r"train\.loss: input should be 'softmax' or 'binary', not 'hinge'"),
    ("train.seeds", ["a"], r"train\.seeds\.0: input should be a valid integer, not 'a'"),
    ("perturb.severities", [1, 1], r"perturb\.severities: 1, 1: name each once"),
    ("train.seeds", [0, 0], r"train\.seeds: 0, 0: name each once"),
    ("train.seeds", [-1], r"train\.seeds\.0: input should be greater than or equal to 0, not -1"),
    ("clean.align", "yes", r"clean\.align: input should be a valid boolean, not 'yes'"),
    ("clean.detector", "haar", r"clean\.detector: input should be 'dlib' or 'yunet', not 'haar'"),
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


def test_a_threshold_that_is_no_score_of_the_detector_is_refused(content):
    own = content["datasets"]["synthetic"]["clean"] = {"detector": "yunet"}
    for threshold in (0.0, -1.0, 1.0):
        content["defaults"]["clean"]["threshold"] = threshold
        with pytest.raises(MmferError) as fault:
            check(Params, content, "params.yaml")
        assert str(fault.value) == (
            f"params.yaml: datasets.synthetic.clean: threshold = {threshold} is no score of yunet, "
            "which lie between 0 and 1; take 0.5"
        )
        own["threshold"] = 0.5
        assert check(Params, content, "params.yaml").dataset("synthetic").clean.detector == "yunet"
        del own["threshold"]


def test_a_model_that_does_not_say_which_detector_found_its_faces_was_made_with_dlib():
    assert CleanParams(threshold=-1.0).detector == "dlib"


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
    ("evaluate.bootstrap", 10**7),  # 3 GB
    ("evaluate.seed", 2**32),
    ("train.epochs", 10**30),
    ("train.batch_size", 2**21),
    ("train.epsilon", float("inf")),
    ("train.weight_decay", float("inf")),
    ("train.max_minutes", float("inf")),
    ("augment.seed", 2**70),
    ("source.faces", 10**12),
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
    with pytest.raises(MmferError, match=r"params\.yaml: systems\.vgg: not there; known: ours, "):
        read_params().system("vgg")


def test_an_unknown_kind_or_key_of_a_system_is_named(content):
    ours = content["systems"]["ours"]
    with pytest.raises(MmferError, match=r"systems\.mine\.kind\.our: not there; did you mean ours\?"):
        system_params("mine", {"kind": "our"})
    with pytest.raises(MmferError, match=r"systems\.ours: chanels: unknown key; did you mean channels\?"):
        system_params("ours", ours | {"chanels": [1]})
    with pytest.raises(MmferError, match=r"systems\.ours: dropout: input should be less than 1, not 1\.0"):
        system_params("ours", ours | {"dropout": 1.0})


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        *[("ours", key, [value]) for key in ("channels", "image_hidden") for value in (0, -8, 10**12)],
        *[(kind, "hog_hidden", [8, 0]) for kind in ("ours", "compact", "se_fusion")],
        ("agrawal", "filters", [0]),
        *[("se_fusion", "blocks", [1, 2, 2, value]) for value in (0, 10**12)],
        *[("compact", "blocks", 10**12), ("pramerdorfer", "members", {"vgg": 10**12}), ("ours", "reduction", 10**12)],
        *[("lenet", "joined", ["p1", "p1"])],
        ("svm", "c", float("inf")),
        ("se_fusion", "heads", float("inf")),
    ],
)
def test_a_system_of_no_width_or_without_bound_is_refused(kind, key, value):
    with pytest.raises(MmferError, match=rf"systems\.{kind}: {key}"):
        system_params(kind, {key: value})


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
        (b"a: 2024-99-99", "not YAML: month must be in 1..12"),
        (b"a: !!int abc", "not YAML"),
        (b"[" * 20_000, "not YAML"),
    ],
)
def test_what_is_no_parameter_file_is_refused(tmp_path, raw, message):
    (tmp_path / "params.yaml").write_bytes(raw)
    with pytest.raises(MmferError, match=message):
        read_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("place", ["- {bomb}", "defaults: {bomb}", "study: {{seed: {bomb}}}"])
def test_aliases_that_stand_for_more_than_memory_holds_are_told_in_a_short_line(tmp_path, place):
    bomb = "&a0 [x]"
    for depth in range(30):  # each level ten times as much: 10^30 in all
        bomb = f"&a{depth + 1} [{bomb}{f', *a{depth}' * 9}]"
    (tmp_path / "params.yaml").write_text(place.format(bomb=bomb))
    with pytest.raises(MmferError) as error:
        read_params(tmp_path / "params.yaml")
    assert len(str(error.value)) < 10_000


def test_a_missing_parameter_file_is_named_with_a_remedy(tmp_path):
    with pytest.raises(MmferError, match=r"absent\.yaml: not found; run from the folder that holds dvc\.yaml"):
        read_params(tmp_path / "absent.yaml")
