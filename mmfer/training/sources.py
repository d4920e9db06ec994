"""What trainings read, wherever they run: folders of FaceSets, and packs (mmfer.face.pack) that become such folders."""

import hashlib
import json
from pathlib import Path

from mmfer.config import AugmentParams, ExtractParams, HideParams, Params, pick
from mmfer.data.faceset import open_faceset
from mmfer.errors import MmferError
from mmfer.face.augment import write_augmented
from mmfer.face.extract import write_features
from mmfer.face.hide import write_hidden
from mmfer.face.pack import read_head, read_hidden, read_pack
from mmfer.parallel import cores


def open_data(sources: list[Path], out: Path, params: Params) -> dict[str, Path]:
    """Folders with FaceSets, and packs -> the folder with all that training reads, by the name of the data set.

    MmferError where two are of one data set.
    """
    data: dict[str, Path] = {}
    for source in sources:
        if source.is_dir():
            dataset, folder = open_faceset(source / "features").dataset, source
        else:
            dataset, folder = _open_pack(source, out, params)
        if dataset in data:
            raise MmferError(f"{source}: of the data set {dataset}, as {data[dataset]} is; name one of them")
        data[dataset] = folder
    return data


def _open_pack(pack: Path, out: Path, params: Params) -> tuple[str, Path]:
    """Open a pack below `out` and make its copies and features there, unless that has been done.

    The folder bears a digest of pack and parameters, so that none takes the place of another that is being read.
    """
    head = read_head(pack)
    blocks = pick(params.datasets, head.dataset, f"{pack}: params: datasets")
    made = (head, *([blocks.hide] if blocks.augment.hidden else []), blocks.augment, blocks.extract)
    said = json.dumps([block.model_dump() for block in made])
    target = out / "data" / f"{pack.stem}-{hashlib.sha256(said.encode()).hexdigest()[:12]}"
    if not (target / "clean").exists():  # the last that a pack becomes
        read_pack(pack, target)
    make_features(target, blocks.hide, blocks.augment, blocks.extract, pack)
    return head.dataset, target


def make_features(
    data: Path, hide: HideParams, augment: AugmentParams, extract: ExtractParams, pack: Path | None = None
) -> None:
    """Make copies and features of the FaceSets raw and clean in the folder `data`, those that are not there yet.

    Hidden faces come from the pack, if that has those of the parameters; else they are looked for, which needs dlib.
    """
    raw, clean, hidden, augmented, features = (
        data / name for name in ("raw", "clean", "hidden", "augmented", "features")
    )
    if augment.hidden and not hidden.exists():
        packed = read_head(pack).hidden if pack else None
        if pack and packed and packed.params == hide:
            read_hidden(pack, data, cores())
        else:
            write_hidden(raw, clean, hidden, hide, cores())
    if not augmented.exists():
        write_augmented(raw, clean, augmented, augment, cores())
    if not features.exists():
        write_features(augmented, clean, features, extract, cores())
