"""Where faces come from: one module for each source, all of which give the same table and array."""

import importlib
from pathlib import Path

import pandas as pd

from mmfer.config import CkplusSource, Fer2013Source, SyntheticSource
from mmfer.data.duplicates import mark_duplicates
from mmfer.data.faceset import count_splits, new_faceset, write_array

READERS = {  # kind of source: the module whose read_<kind>(source, workers) gives index, images and classes
    "synthetic": "mmfer.data.synthetic.faces",
    "fer2013": "mmfer.data.sources.fer2013",
    "ckplus": "mmfer.data.sources.ckplus",
}


def write_raw(
    target: Path, dataset: str, source: SyntheticSource | Fer2013Source | CkplusSource, workers: int
) -> tuple[dict[str, int], pd.DataFrame]:
    """Read or render a data set -> raw FaceSet (index, images); return its counts, in all and by split and class.

    What is to be known about the source stands in faceset.json, made_by.notes. The index gains `duplicate`,
    `duplicate_of_test` and `duplicate_of_val` (see mmfer.data.duplicates).
    """
    # Imported by name, so that one source's module is all that is loaded.
    read = getattr(importlib.import_module(READERS[source.kind]), f"read_{source.kind}")
    index, images, classes = read(source, workers)
    notes = list(index.attrs.get("notes", []))
    index = mark_duplicates(index)
    index.attrs = {}
    made_by = {"stage": "download", "params": source.model_dump(), "notes": notes}
    with new_faceset(target, dataset, classes, index, made_by) as folder:
        write_array(folder, "images", images)
    for note in notes:
        print(f"note: {note}", flush=True)
    marks = ("duplicate", "duplicate_of_test", "duplicate_of_val")
    counts = {"images": len(index)} | {name: int(index[name].sum()) for name in marks}
    people = {"people": int(index["subject"].nunique())} if index["subject"].notna().any() else {}
    return counts | people, count_splits(index, classes)
