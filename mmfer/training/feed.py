"""Where the batches of a training come from: copies that were stored, or copies drawn anew for every pass.

A pass is once over all training copies. A sample is a training row and the number of a copy. Of stored copies each is a
row of its own, the same in every pass. Where they are drawn online a row is a face: the first pass sees the copies that
would have been stored, the same samples in the same order, and each further pass the plain face and new copies.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmfer.config import AugmentParams, ExtractParams
from mmfer.data.faceset import FaceSet, check_made_of, open_faceset, read_index
from mmfer.data.votes import vote_columns, votes_of
from mmfer.errors import MmferError
from mmfer.face.augment import draw_key, draw_variants
from mmfer.face.hide import open_hidden, places
from mmfer.face.online import copies_on_cpu, copies_on_device, tables_for
from mmfer.face.prepare import stored_names, stored_rows

Arrays = dict[str, Any]  # by name: arrays, memmapped or not, or tensors in a device's memory
TARGETS = ("labels", "votes")  # in place of what is drawn of a face, what is known of it
SHARE = 0.6  # of a device's free memory that data may take; the rest is for the network


@dataclass(frozen=True)
class Faces:
    """Raw faces and how copies of them are drawn."""

    raw: Arrays  # images, landmarks, transforms and visibility of all raw faces
    hidden: Arrays  # the same of their variants, with a part of the face hidden; empty where no copy is made of them
    first: Tensor  # (raw faces,) int64: the first of a face's variants among those
    counts: Tensor  # (raw faces,) int64: how many there are
    parents: Tensor  # (N,) int64: the raw face of each row
    augment: AugmentParams
    extract: ExtractParams
    key: int  # of the draws


@dataclass(frozen=True)
class Feed:
    """Rows of augmented and features FaceSets, and where copies are not stored the faces to draw them of."""

    arrays: Arrays  # those that hold a system's inputs, and labels (N,) int64; where asked for, votes (N, C) float32
    faces: Faces | None = None
    device: str = "cpu"
    resident: bool = False  # whether the data lie in the device's memory
    compiled: bool = False

    @property
    def copies(self) -> int:
        """Samples of each training row in a pass."""
        return self.faces.augment.copies if self.faces else 1

    @property
    def rows_on(self) -> str:
        """The device on which numbers of rows are wanted: where the data lie."""
        return self.device if self.resident else "cpu"

    def on(self, device: str, compiled: bool = False) -> "Feed":
        """The same for networks on a device, in its memory where there is room; where there is not, that is printed."""
        moved = replace(self, device=device, compiled=compiled)
        if device == "cpu":
            return moved
        if self.faces and self.faces.extract.landmarks == "predict":
            raise MmferError(
                "params.yaml: extract.landmarks: predict needs dlib, which does not run on a GPU; with augment.mode: "
                "online take transform"
            )
        raw, hidden = (self.faces.raw, self.faces.hidden) if self.faces else ({}, {})
        arrays = [*self.arrays.values(), *raw.values(), *hidden.values()]
        needed, free = sum(array.nbytes for array in arrays), _free_memory(device)
        if needed > SHARE * free:
            print(f"{needed >> 20} MiB of data beside {free >> 20} MiB free: batches are sent to {device}", flush=True)
            return moved
        if self.faces:
            tensors = {name: getattr(self.faces, name).to(device) for name in ("first", "counts", "parents")}
            there = replace(self.faces, raw=_there(raw, device), hidden=_there(hidden, device), **tensors)
            moved = replace(moved, faces=there)
        return replace(moved, arrays=_there(self.arrays, device), resident=True)

    def fetch(self, rows: Tensor) -> dict[str, Tensor]:
        """Rows (n,) int64 of every array, on the device."""
        return _fetch(self.arrays, rows, self.device)

    def samples(self, rows: Tensor, copies: Tensor) -> dict[str, Tensor]:
        """Training samples: rows (n,) and numbers of copies (n,), int64; of stored rows the number says nothing."""
        if self.faces is None:
            return self.fetch(rows)
        parents = self.faces.parents[rows]
        raw = _originals(self.faces, parents, copies.to(parents.device), self.device)
        draw = _drawn_by(self.device, self.compiled, self.faces.extract)
        parents, copies = parents.to(self.device), copies.to(self.device)
        made = draw(raw, parents, copies, self.faces.augment, self.faces.extract, self.faces.key)
        made["visible"] = raw["visible"]
        targets = {name: array for name, array in self.arrays.items() if name in TARGETS}
        return {name: made[name] for name in self.arrays if name not in TARGETS} | _fetch(targets, rows, self.device)


def open_feed(seen: FaceSet, values: FaceSet, inputs: tuple[str, ...], labels: str = "label") -> Feed:
    """Augmented and features FaceSets -> the feed of systems with these inputs; `labels` as in TrainParams.

    Where copies are drawn online, the FaceSets raw and clean are read beside them. MmferError where votes are asked for
    and the data set has none.
    """
    stored = stored_rows(seen, values, slice(None))
    feed = Feed({name: stored[name] for name in stored_names(inputs)} | _targets(seen, labels))
    if seen.made_by["params"].get("mode") != "online":
        return feed
    augment, extract = AugmentParams(**seen.made_by["params"]), ExtractParams(**values.made_by["params"])
    raw, clean = (open_faceset(seen.folder.with_name(name)) for name in ("raw", "clean"))
    arrays = {"images": raw.images, **{name: clean.array(name) for name in ("landmarks", "transforms", "visible")}}
    hidden = open_hidden(clean.folder, augment)
    if hidden is not None:
        check_made_of(seen, hidden)
    first, counts = (torch.from_numpy(of_each) for of_each in places(hidden, len(raw)))
    variants = {name: hidden.array(name) for name in arrays} if hidden else {}  # none where none of a shard trains
    parents = torch.from_numpy(seen.columns("parent")["parent"].to_numpy(dtype=np.int64))
    key = draw_key(augment, raw.dataset)
    return replace(feed, faces=Faces(arrays, variants, first, counts, parents, augment, extract, key))


def _targets(seen: FaceSet, labels: str) -> Arrays:
    targets = {"labels": seen.columns("label")["label"].to_numpy(dtype=np.int64)}
    if labels == "label":
        return targets
    votes = votes_of(read_index(seen.folder, vote_columns(seen.classes)), seen.classes)
    if votes is None:
        raise MmferError(
            f"params.yaml: train.labels: votes: {seen.dataset} has none; take label, or a source of kind ferplus"
        )
    return targets | {"votes": votes}


def all_arrays(feed: Feed) -> list[np.ndarray]:
    """Every array that a training reads, before it is on a device."""
    faces = [*feed.faces.raw.values(), *feed.faces.hidden.values()] if feed.faces else []
    return [*feed.arrays.values(), *faces]


def _originals(faces: Faces, parents: Tensor, copies: Tensor, device: str) -> dict[str, Tensor]:
    """What copies (n,) of raw faces (n,) are made of: the arrays of the face or of a variant."""
    raw = _fetch(faces.raw, parents, device)
    if not faces.hidden:
        return raw
    variants = draw_variants(parents, copies, faces.counts[parents], faces.augment, faces.key)
    some = (variants >= 0).to(device)
    # Rows of faces without variants may end behind the last one.
    rows = (faces.first[parents] + variants.clamp(min=0)).clamp(max=len(next(iter(faces.hidden.values()))) - 1)
    hidden = _fetch(faces.hidden, rows, device)
    return {
        name: torch.where(some.view(-1, *[1] * (array.ndim - 1)), hidden[name], array) for name, array in raw.items()
    }


def _fetch(arrays: Arrays, rows: Tensor, device: str) -> dict[str, Tensor]:
    if isinstance(next(iter(arrays.values())), Tensor):
        return {name: tensor[rows] for name, tensor in arrays.items()}
    numbers, pinned = rows.numpy(), device == "cuda"
    batch = {name: torch.from_numpy(array[numbers]) for name, array in arrays.items()}
    return {name: (t.pin_memory() if pinned else t).to(device, non_blocking=pinned) for name, t in batch.items()}


def _there(arrays: Arrays, device: str) -> Arrays:
    return {name: torch.from_numpy(np.array(array)).to(device) for name, array in arrays.items()}


def _free_memory(device: str) -> int:
    return torch.cuda.mem_get_info()[0] if device == "cuda" else torch.mps.recommended_max_memory()


@cache
def _drawn_by(device: str, compiled: bool, extract: ExtractParams) -> Callable[..., dict[str, Tensor]]:
    if device == "cpu":
        return copies_on_cpu
    draw = torch.compile(copies_on_device, dynamic=False) if compiled else copies_on_device
    return partial(draw, tables=tables_for(extract, device))
