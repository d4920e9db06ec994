"""Class names: the paper's order, the names that public copies give them, and the official numbers of images."""

import difflib

import numpy as np

from mmfer.errors import MmferError

SYNONYMS = [
    {"angry", "anger"},
    {"contempt", "contemptuous"},
    {"disgust", "disgusted"},
    {"fear", "fearful", "afraid", "scared"},
    {"happy", "happiness", "joy"},
    {"sad", "sadness"},
    {"surprise", "surprised"},
    {"neutral", "neutrality"},
]


def class_numbers(classes: list[str]) -> dict[str, int]:
    """{every known name of a class: its number}; the names are lower case."""
    return {
        name: label for label, known in enumerate(classes) for names in SYNONYMS if known in names for name in names
    }


def class_number(folder: str, classes: list[str], where: str) -> int:
    """The number of the class that a folder's name means; MmferError with the nearest name where it means none."""
    numbers = class_numbers(classes)
    if folder.lower() not in numbers:
        near = difflib.get_close_matches(folder.lower(), list(numbers), n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(classes)}"
        raise MmferError(f"{where}: unknown class folder {folder!r}; {hint}")
    return numbers[folder.lower()]


def check_counts(labels: np.ndarray, classes: list[str], official: list[int], part: str) -> list[str]:
    """A note where the images per class are not the official ones; MmferError where a class has none."""
    counts = np.bincount(labels, minlength=len(classes))
    empty = [name for name, count in zip(classes, counts, strict=True) if not count]
    if empty:
        raise MmferError(f"{part}: no images of {', '.join(empty)}; download the dataset again")
    if counts.tolist() == official:
        return []
    wrong = [
        f"{name} {count:,} for {expected:,}"
        for name, count, expected in zip(classes, counts, official, strict=True)
        if count != expected
    ]
    return [
        f"{part}: counts differ from the official ones: {len(labels):,} images for {sum(official):,} "
        f"({', '.join(wrong)}); results do not compare with published ones"
    ]
