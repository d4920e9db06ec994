"""The parameters: pydantic models of params.yaml, and the only place that reads it.

The defaults are the paper's values where the paper gives one. params.yaml states every value in its block `defaults`
all the same, for DVC sees only what stands there; each block of a data set holds what differs from them.
"""

import difflib
import reprlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from mmfer.errors import MmferError

FACE_PX = 48  # side of every face image


class Block(BaseModel):
    """A block of parameters: unknown keys, wrong types and infinite numbers are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


_SHOWN = reprlib.Repr()  # of a wrong value: a few aliases of YAML can stand for more than memory holds
_SHOWN.maxlevel, _SHOWN.maxstring, _SHOWN.maxother = 3, 200, 200


def _each_once(values: list) -> list:
    if len(set(values)) < len(values):
        raise ValueError(f"{', '.join(map(str, values))}: name each once")
    return values


each_once = AfterValidator(_each_once)
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Width = Annotated[int, Field(ge=1, le=2**16)]  # of a layer
Depth = Annotated[int, Field(ge=1, le=100)]  # blocks or networks


class SyntheticSource(Block):
    """Rendered faces; see mmfer.data.synthetic.faces."""

    kind: Literal["synthetic"] = "synthetic"
    faces: int = Field(2800, ge=70, le=10_000_000, description="images in all")
    identities: int = Field(200, ge=14, description="people; no person is in two splits")
    val_share: float = Field(0.15, gt=0, lt=0.5, description="share of the people in the validation split")
    test_share: float = Field(0.25, gt=0, lt=0.5, description="share of the people in the test split")
    label_noise: float = Field(0.02, ge=0, le=0.5, description="share of images whose label is drawn at random")
    blends: float = Field(0.15, ge=0, le=1, description="share of faces that mix two expressions")
    occluders: float = Field(0.05, ge=0, le=1, description="share of faces with a hand, scarf or bar before them")
    non_faces: float = Field(0.01, ge=0, le=0.5, description="share of images that show no face")
    seed: Seed = 0

    @model_validator(mode="after")
    def _everybody_has_a_face_and_every_part_people(self) -> "SyntheticSource":
        faces = self.faces - round(self.non_faces * self.faces)
        if self.identities > faces:
            raise ValueError(
                f"identities = {self.identities} is more than the {faces} images that show a face; lower it"
            )
        held_out = round(self.val_share * self.identities) + round(self.test_share * self.identities)
        if held_out >= self.identities:
            raise ValueError(
                f"val_share and test_share leave nobody of {self.identities} to train on; lower one of them"
            )
        return self


class Fer2013Source(Block):
    """FER2013 in any of its public layouts; see mmfer.data.sources.fer2013."""

    kind: Literal["fer2013"] = "fer2013"
    path: str | None = Field(None, description="file or folder on this machine; empty: download from Kaggle")
    kaggle: str = Field("msambare/fer2013", description="Kaggle dataset to download where path is empty")
    holdout: float = Field(
        0.1, gt=0, lt=0.5, description="share of Training that validates where PrivateTest is absent"
    )
    seed: Seed = Field(0, description="draws the held-out part")


class CkplusSource(Block):
    """CK+ in any of its public layouts; see mmfer.data.sources.ckplus."""

    kind: Literal["ckplus"] = "ckplus"
    path: str | None = Field(None, description="file or folder on this machine; empty: download from Kaggle")
    kaggle: str = Field("shawon10/ckplus", description="Kaggle dataset to download where path is empty")
    folds: int = Field(10, ge=3, le=20)
    split: Literal["subject", "random"] = Field(
        "subject", description="or random, where people leak from training to test"
    )
    seed: Seed = Field(0, description="draws the folds")


class FerplusSource(Block):
    """The faces of FER2013 with the votes of FER+; see mmfer.data.sources.ferplus."""

    kind: Literal["ferplus"] = "ferplus"
    path: str | None = Field(None, description="fer2013.csv or icml_face_data.csv, or a folder or zip that holds one")
    votes: str | None = Field(None, description="fer2013new.csv of FER+; empty: in that folder or zip, or beside it")


SOURCES: dict[str, type[Block]] = {
    "synthetic": SyntheticSource,
    "fer2013": Fer2013Source,
    "ckplus": CkplusSource,
    "ferplus": FerplusSource,
}


class CleanParams(Block):
    """Which images hold a face, and where it is (paper, 4.1)."""

    detector: Literal["dlib", "yunet"] = Field("dlib", description="what looks for the face; or yunet")
    threshold: float = Field(
        0.0,
        ge=-3,
        le=3,
        description="detector score below which an image is noise; of yunet between 0 and 1, such as 0.5",
    )
    detect_px: int = Field(96, ge=80, le=320, description="side to which the image is enlarged for the detector")
    border_px: int = Field(12, ge=0, le=80, description="border around the enlarged image")
    keep_rejected: bool = Field(False, description="true: noise stays in training (ablation)")
    align: bool = Field(True, description="move, turn and scale each face to common eye and nose positions")
    eye_distance_px: float = Field(18.0, ge=8, le=36, description="distance of the eyes in the aligned face")
    eye_height_px: float = Field(18.0, ge=4, le=32, description="height of the eyes below the upper edge")

    @model_validator(mode="after")
    def _the_threshold_is_one_of_the_detector(self) -> "CleanParams":
        if self.detector == "yunet" and not 0 < self.threshold < 1:
            raise ValueError(f"threshold = {self.threshold} is no score of yunet, which lie between 0 and 1; take 0.5")
        return self


class HideParams(Block):
    """Variants of training faces in which a part of the face is hidden; see mmfer.face.occlude."""

    variants: int = Field(0, ge=0, le=100, description="of each training face, a part of it hidden; 0: none")
    seed: Seed = 0


class AugmentParams(Block):
    """Random transforms of the training images (paper, 4.1); ranges are symmetric and uniform."""

    mode: Literal["stored", "online"] = Field(
        "stored", description="copies are made once; or online: drawn while networks train, others in each pass"
    )
    copies: int = Field(30, ge=1, le=1000, description="of each training face, the first one plain; the paper's thirty")
    mirror: float = Field(0.5, ge=0, le=1, description="share of mirrored copies")
    rotate_deg: float = Field(15.0, ge=0, le=180, description="turned by up to so much, either way")
    shift_px: float = Field(4.0, ge=0, le=24, description="moved by up to so much, in either direction")
    scale: float = Field(0.12, ge=0, lt=0.9, description="0.1: from 1/1.1 to 1.1 times the size")
    brightness: float = Field(0.15, ge=0, le=1, description="added, as a share of the grey range")
    contrast: float = Field(0.3, ge=0, lt=0.95, description="0.2: from 0.8 to 1.2 times the contrast")
    erase: float = Field(0.25, ge=0, le=1, description="share of copies in which a random box is painted over")
    erase_px: int = Field(20, ge=1, le=48, description="largest side of that box")
    hidden: float = Field(
        0.0, ge=0, le=1, description="share of copies made of a variant with a part of the face hidden (block hide)"
    )
    seed: Seed = 0


class ExtractParams(Block):
    """What is computed from each image: HOG and landmarks."""

    orientations: int = Field(9, ge=2, le=36, description="HOG bins over 180 degrees")
    cell_px: int = Field(8, ge=4, le=24, description="side of a HOG cell")
    block_cells: int = Field(2, ge=1, le=4, description="cells on the side of a normalised block")
    landmarks: Literal["transform", "predict"] = Field(
        "transform",
        description="of copies: the original's, moved; or predict: the predictor runs again, half a millisecond a face",
    )

    @model_validator(mode="after")
    def _cells_fill_the_face(self) -> "ExtractParams":
        if FACE_PX % self.cell_px:
            raise ValueError(f"cell_px = {self.cell_px} does not divide {FACE_PX}: take 4, 6, 8, 12, 16 or 24")
        if self.block_cells > FACE_PX // self.cell_px:
            raise ValueError(
                f"block_cells = {self.block_cells} is more than the {FACE_PX // self.cell_px} cells of a side"
            )
        return self


class TrainParams(Block):
    """The training loop; the defaults are the paper's setting (4.1)."""

    epochs: int = Field(500, ge=1, le=1_000_000, description="the paper's '500 iterations'")
    copies: int | None = Field(None, ge=1, description="copies of each face that it sees, the first ones; empty: all")
    samples_per_epoch: int | None = Field(None, ge=1, description="rows drawn per epoch; empty: every row")
    max_minutes: float | None = Field(
        None, gt=0, description="after which training pauses till the next call; empty: off"
    )
    batch_size: int = Field(128, ge=2, le=2**20)
    optimizer: Literal["adam", "sgd"] = Field("adam", description="or sgd, with Nesterov's momentum beta1")
    learning_rate: float = Field(0.001, gt=0, lt=10)
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1, description="of adam")
    epsilon: float = Field(1e-7, gt=0, description="of adam; the paper's '10E-8'")
    weight_decay: float = Field(
        0.0, ge=0, description="adam: decoupled (AdamW); sgd: of the gradient, not of norms and biases; the paper: none"
    )
    warmup: float = Field(0.0, ge=0, lt=1, description="share of the training in which the learning rate rises from 0")
    schedule: Literal["constant", "cosine", "linear"] = Field(
        "constant", description="of the learning rate after that; or cosine or linear, to 0"
    )
    loss: Literal["softmax", "binary"] = Field("softmax", description="cross entropy; or binary, the paper's eq. 10")
    labels: Literal["label", "votes"] = Field(
        "label", description="what networks are trained towards; or votes: the shares of each face's raters, as in FER+"
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    start: str | None = Field(
        None, description="folder of a trained network, or of a system's models, that training starts from; empty: none"
    )
    teachers: list[str] = Field(
        [], description="folders of trained networks, or of a system's models, whose answers networks learn from, too"
    )
    teaching: float = Field(0.7, gt=0, le=1, description="share of the teachers' answers in what is trained towards")
    mixup: float = Field(0.0, ge=0, description="alpha of the Beta distribution; 0: off")
    mixup_by: Literal["batch", "sample"] = Field("batch", description="what has a share of its own; or sample")
    mixup_until: float = Field(1.0, gt=0, le=1, description="share of the training after which mixup is off; 1: never")
    ema: float = Field(0.0, ge=0, lt=1, description="decay of averaged weights, per step; 0: off")
    select: Literal["last", "best"] = Field("last", description="epoch that is kept; or best, by validation accuracy")
    patience: int | None = Field(None, ge=1, description="epochs without gain on validation, then it stops; empty: off")
    seeds: Annotated[list[Seed], each_once] = Field([0], min_length=1, description="one training each")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="or cpu, cuda, mps")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="bfloat16 on CUDA and on CPUs that multiply in it, else float32; or name one"
    )
    compile: bool | None = Field(
        None, description="true: torch.compile, a minute once, then faster; empty: on CUDA alone"
    )


class EvaluateParams(Block):
    """Ten predictions averaged (paper, 4.2): run 0 is plain, the others see slightly moved faces."""

    runs: int = Field(10, ge=1, le=1000, description="the paper's ten")
    mirror: float = Field(0.5, ge=0, le=1)
    rotate_deg: float = Field(5.0, ge=0, le=180)
    shift_px: float = Field(2.0, ge=0, le=24)
    scale: float = Field(0.05, ge=0, lt=0.9)
    bootstrap: int = Field(1000, ge=100, le=100_000, description="resamples for confidence intervals")
    seed: Seed = 0


class PerturbParams(Block):
    """Test faces made harder (paper, figure 7; its strengths are not stated) and the common corruptions."""

    images: int | None = Field(300, ge=10, description="test faces drawn; empty: all")
    brightness: float = Field(0.3, ge=0, le=1, description="added or taken away, as a share of the grey range")
    gamma: float = Field(
        2.0, ge=1, le=5, description="colour distortion: each channel's gamma is within 1/gamma and gamma"
    )
    rotate_deg: float = Field(20.0, ge=0, le=90)
    shift_px: float = Field(6.0, ge=0, le=24)
    severities: Annotated[list[Annotated[int, Field(ge=1, le=5)]], each_once] = Field(
        [1, 2, 3, 4, 5], description="of each corruption"
    )
    seed: Seed = 0


class StudyParams(Block):
    """The page that puts everything beside the paper."""

    reference: str = Field("ours", description="system that is compared with each other one")
    baseline: str = Field("svm", description="system by whose errors under corruption the others' are divided")
    faces_per_class: int = Field(3, ge=1, le=10, description="example faces in figure 2")
    seed: Seed = Field(0, description="draws the example faces")


class Defaults(Block):
    """How every data set is processed, but for what its own blocks say."""

    clean: CleanParams
    hide: HideParams
    augment: AugmentParams
    extract: ExtractParams
    train: TrainParams
    evaluate: EvaluateParams
    perturb: PerturbParams


class DatasetParams(Defaults):
    """One data set and how it is processed; in params.yaml its blocks hold only what differs from the defaults."""

    source: Annotated[SyntheticSource | Fer2013Source | CkplusSource | FerplusSource, Field(discriminator="kind")]

    @model_validator(mode="after")
    def _there_are_variants(self) -> "DatasetParams":
        if self.augment.hidden and not self.hide.variants:
            raise ValueError(f"augment.hidden = {self.augment.hidden} needs hide.variants: 1 or more")
        return self


# Names become folders, parts of stage names, and words of the commands in dvc.yaml.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$")]


class Params(Block):
    """params.yaml as a whole. A system's block is checked by its own model, in mmfer.systems, and its `train` here."""

    defaults: Defaults
    datasets: dict[Name, DatasetParams] = Field(min_length=1)
    systems: dict[Name, dict[str, Any]] = Field(min_length=1)
    study: StudyParams

    @model_validator(mode="before")
    @classmethod
    def _merge_defaults(cls, content: dict[str, Any]) -> dict[str, Any]:
        defaults, datasets = content.get("defaults"), content.get("datasets")
        if not (isinstance(defaults, dict) and isinstance(datasets, dict)):
            return content
        return content | {"datasets": {name: _merged(own, defaults) for name, own in datasets.items()}}

    @model_validator(mode="after")
    def _names_stay_apart(self) -> "Params":
        taken = {"report", "study"} & set(self.datasets)
        if taken:
            raise ValueError(f"datasets.{min(taken)}: metrics/{min(taken)} holds the pages; take another name")
        pairs = Counter(f"{dataset}-{system}" for dataset in self.datasets for system in self.systems)
        twice = [name for name, times in pairs.items() if times > 1]
        if twice:
            raise ValueError(f"datasets and systems: two pairs of them make the stage name {twice[0]}; rename one")
        return self

    def dataset(self, name: str) -> DatasetParams:
        """The parameters of one dataset, or of a shard of it such as big/3; MmferError if params.yaml lacks it."""
        return pick(self.datasets, name.split("/", maxsplit=1)[0], "params.yaml: datasets")

    def system(self, name: str) -> dict[str, Any]:
        """The raw block of one system, without its `train`; MmferError if params.yaml does not name it."""
        return {key: value for key, value in pick(self.systems, name, "params.yaml: systems").items() if key != "train"}

    def train(self, dataset: str, system: str) -> TrainParams:
        """How a system is trained on a data set: as the data set's `train` says, or the system's own where it has one.

        MmferError names a wrong key or value of either.
        """
        own = own_train(system, pick(self.systems, system, "params.yaml: systems"))
        return self.dataset(dataset).train.model_copy(update=own.model_dump(exclude_unset=True))


def _merged(own: Any, defaults: dict[str, Any]) -> Any:
    """A data set's blocks with the defaults of what they leave out; what is no block of keys stays for the check."""
    if not isinstance(own, dict):
        return own
    blocks = {key: own[key] for key in defaults if isinstance(own.get(key), dict) and isinstance(defaults[key], dict)}
    return own | {key: defaults[key] | block for key, block in blocks.items()}


def own_train(name: str, block: dict[str, Any], file: str = "params.yaml") -> TrainParams:
    """The `train` of a system's block, in which just those keys are set that replace the data set's."""
    return check(TrainParams, block.get("train", {}), f"{file}: systems.{name}.train")


def pick(entries: dict[str, Any], name: Any, where: str) -> Any:
    """entries[name]; MmferError with the nearest known name where there is none, or the name is no text."""
    if not isinstance(name, str) or name not in entries:
        raise MmferError(f"{where}.{name}: not there; {suggest(str(name), entries)}")
    return entries[name]


def read_params(path: str | Path = "params.yaml") -> Params:
    """Read and check params.yaml; MmferError names every key that is wrong."""
    return check(Params, read_yaml(path), str(path))


def read_yaml(path: str | Path) -> Any:
    """What a file of parameters holds, not checked yet."""
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MmferError(f"{path}: not found; run from the folder that holds dvc.yaml") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date of month 99, bytes, 20,000 brackets
        raise MmferError(f"{path}: not YAML: {' '.join(str(error).split())}") from None


def check(model: type[Block], content: Any, where: str) -> Any:
    """Validate `content` against `model`; MmferError with one line that names all faults, each with its key."""
    if not isinstance(content, dict):
        raise MmferError(f"{where}: a block of keys is expected, not {_SHOWN.repr(content)}")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        faults = [_fault(fault, model) for fault in error.errors() if not _inherited(fault, content)]
        raise MmferError(f"{where}: " + "; ".join(dict.fromkeys(faults))) from None


def _inherited(fault: Any, content: dict[str, Any]) -> bool:
    """Whether a data set has this fault from the defaults, where it is named already."""
    match fault["loc"]:
        case ("datasets", name, block, *keys) if block in Defaults.model_fields:
            own = content["datasets"][name].get(block)
            return isinstance(own, dict) and (keys[0] not in own if keys else own == {})
    return False


def _fault(fault: Any, model: type[Block]) -> str:
    owner, keys = _owner(model, [str(part) for part in fault["loc"]])
    where = ".".join(keys)
    if keys[-1:] == ["[key]"]:
        return f"{keys[0]}: {_SHOWN.repr(fault['input'])} is no name; take letters, digits, _ and - (not first)"
    if fault["type"] == "extra_forbidden":
        return f"{where}: unknown key; {suggest(keys[-1], owner.model_fields)}"
    if fault["type"] == "missing":
        block = (keys[0], len(keys)) in (("datasets", 3), ("defaults", 2))
        what = f"`{keys[-1]}: {{}}`, for the defaults" if block else "it"
        return f"{where}: missing; add {what}"
    if fault["type"].startswith("union_tag"):
        return f"{where}.kind: take one of {', '.join(SOURCES)}"
    message = fault["msg"].removeprefix("Value error, ")
    shown = "" if fault["type"] == "value_error" else f", not {_SHOWN.repr(fault['input'])}"
    return f"{where}: {message[0].lower()}{message[1:]}{shown}"


def _owner(model: type[Block], keys: list[str]) -> tuple[type[Block], list[str]]:
    """The block that the last key stands in, and the keys as params.yaml has them (without pydantic's union tag)."""
    path = keys[:-1]
    if model is Params and path[:1] == ["datasets"]:
        model, path = DatasetParams, path[2:]
        if path[:1] == ["source"] and len(path) > 1:
            return SOURCES[path[1]], [*keys[:3], *keys[4:]]
    for key in path:
        annotation = model.model_fields[key].annotation if key in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, Block)):
            break
        model = annotation
    return model, keys


def suggest(name: str, known: Iterable[str]) -> str:
    """What a name that is not known may mean: the nearest of the known ones, or all of them."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
