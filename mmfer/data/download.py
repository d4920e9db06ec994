"""From a data set's source to its raw FaceSet: the first stage. All sources give the same table and array."""

import importlib
from pathlib import Path

import pandas as pd

from mmfer.config import CkplusSource, Fer2013Source, FerplusSource, SyntheticSource
from mmfer.data.duplicates import MARKS, copies_of_held_out, mark_duplicates
from mmfer.data.faceset import count_splits, new_faceset, write_array

READERS = {  # kind of source: the module whose read_<kind>(source, workers) gives index, images and classes
    "synthetic": "mmfer.data.synthetic.faces",
    "fer2013": "mmfer.data.sources.fer2013",
    "ckplus": "mmfer.data.sources.ckplus",
    "ferplus": "mmfer.data.sources.ferplus",
}


def write_raw(
    target: Path, dataset: str, source: SyntheticSource | Fer2013Source | CkplusSource | FerplusSource, workers: int
) -> tuple[dict[str, int], pd.DataFrame]:
    """Read or render a data set -> raw FaceSet (index, images); return its counts, in all and by split and class.

    What is to be known about the source stands in faceset.json, made_by.notes, and is printed. The index gains
    `duplicate`, `duplicate_of_test` and `duplicate_of_val` (see mmfer.data.duplicates).
    """
    # Imported by name, so that one source's module is all that is loaded.
    read = getattr(importlib.import_module(READERS[source.kind]), f"read_{source.kind}")
    index, images, classes = read(source, workers)
    notes = list(index.attrs.get("notes", []))
    index = mark_duplicates(index)
    index.attrs = {}
    left_out = index["split"][copies_of_held_out(index)].value_counts()
    if "val" in left_out:
        validating = int((index["split"] == "val").sum())
        notes.append(
            f"{left_out['val']:,} of {validating:,} validation images are exact copies of test images: left out"
        )
    made_by = {"stage": "download", "params": source.model_dump(), "notes": notes}
    with new_faceset(target, dataset, classes, index, made_by) as folder:
        write_array(folder, "images", images)
    for note in notes:
        print(f"note: {note}", flush=True)
    counts = {"images": len(index)} | {name: int(index[name].sum()) for name in MARKS}
    counts |= {f"left_out_of_{split}": int(left_out.get(split, 0)) for split in ("train", "val")}
    if index["subject"].notna().any():
        counts["people"] = int(index["subject"].nunique())
    return counts, count_splits(index, classes)
