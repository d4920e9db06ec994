"""Damage to inputs, drawn by a generator: bytes, values of JSON and YAML, columns of tables, members of zips."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from numpy.random import Generator

HEADER = 120  # bytes at the start of a file, where most of the damage to bytes is done
HOSTILE: list[Any] = [
    *(None, True, -1, 0, 3, 10**18, -(2**63), 1e308, -1e-300, float("inf"), float("nan"), "", "x", "x" * 5000),
    *("../../x", "/etc/passwd", "x; touch x", "${x}", "ä\ud83d\ude00\0", [], {}, [[]], {"x": {}}, ["x"] * 300),
    "2024-99-99",
]


def damaged(content: bytes, suffix: str, rng: Generator) -> bytes:
    """The bytes of a file with one to three damages, half of them such as its format offers."""
    for _ in range(rng.integers(1, 4)):
        ways = [_bytes, *BY_FORMAT.get(suffix, [])]
        content = ways[rng.integers(len(ways))](content, rng)
    return content


def damage_folder(folder: Path, rng: Generator) -> set[str]:
    """Damage one file of a folder, or take it away, or let it change places with another; the names of these."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    file, other = (files[i] for i in rng.integers(len(files), size=2))
    act = rng.random()
    if act < 0.05 and len(files) > 1:
        file.unlink()
        return {file.name}
    if act < 0.1 and len(files) > 1:
        first, second = file.read_bytes(), other.read_bytes()
        file.write_bytes(second)
        other.write_bytes(first)
        return {file.name, other.name}
    file.write_bytes(damaged(file.read_bytes(), file.suffix, rng))
    return {file.name}


def _bytes(content: bytes, rng: Generator) -> bytes:
    """Bits turned, bytes drawn anew, cut out, doubled, or cut off."""
    changed = bytearray(content)
    end = len(changed) if rng.random() < 0.5 else min(len(changed), HEADER)
    place, length, act = int(rng.integers(max(end, 1))), int(rng.integers(1, 9)), rng.integers(6)
    if act == 0 and changed:
        changed[min(place, len(changed) - 1)] ^= 1 << int(rng.integers(8))
    elif act <= 2:
        changed[place : place + length] = rng.bytes(length)
    elif act == 3:
        del changed[place : place + length]
    elif act == 4:
        changed[place:place] = changed[place : place + int(rng.integers(1, 2000))]
    else:
        del changed[place:]
    return bytes(changed)


def _structure(load: Callable[[bytes], Any], dump: Callable[[Any], str]) -> Callable[[bytes, Generator], bytes]:
    """How to damage one value of what a text holds."""

    def change(content: bytes, rng: Generator) -> bytes:
        try:
            value = load(content)
        except Exception:  # damaged before
            return content
        places = list(_places(value))
        if not places:
            return content
        (owner, key), (other, name) = (places[i] for i in rng.integers(len(places), size=2))
        act = rng.integers(4)
        if act == 0:
            del owner[key]
        elif act == 1 and not (_within(owner[key], other) or _within(other[name], owner)):
            owner[key], other[name] = other[name], owner[key]
        elif act == 2 and isinstance(owner, dict):
            owner[f"{key}x"] = owner[key]
        else:
            owner[key] = HOSTILE[rng.integers(len(HOSTILE))]
        try:
            return dump(value).encode("utf-8", "surrogatepass")
        except (ValueError, RecursionError, yaml.YAMLError):  # of what holds itself
            return content

    return change


def _places(value: Any) -> Any:
    """(owner, key) of each value within one."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])


def _within(value: Any, other: Any) -> bool:
    """Whether a value is or holds the other one, which it then cannot change places with."""
    return value is other or any(owner[key] is other for owner, key in _places(value))


def _columns(content: bytes, rng: Generator) -> bytes:
    """Two cells of a line change places, or a line is doubled or taken away."""
    lines = content.split(b"\n")
    number, act = int(rng.integers(len(lines))), rng.integers(3)
    cells = lines[number].split(b",")
    if act == 0 and len(cells) > 1:
        one, two = rng.integers(len(cells), size=2)
        cells[one], cells[two] = cells[two], cells[one]
        lines[number] = b",".join(cells)
    elif act == 1:
        lines.insert(number, lines[number])
    else:
        del lines[number]
    return b"\n".join(lines)


def _member(content: bytes, rng: Generator) -> bytes:
    """A member of a zip is damaged, under a sum that is right; or left out, doubled, or given another name."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(info, archive.read(info)) for info in archive.infolist()]
    except Exception:  # damaged before
        return content
    number, act = int(rng.integers(max(len(members), 1))), rng.integers(6)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for place, (info, member) in enumerate(members):
            name, body = info.filename, member
            if place == number and act == 0:
                continue
            if place == number and act == 1:
                name = str(rng.choice(["../x", "/x", "x", "a/" * 200 + "x", members[-1][0].filename, "C:x", "x\n.csv"]))
            elif place == number and act > 2:
                body = damaged(body, Path(name).suffix, rng)
            for _ in range(2 if place == number and act == 2 else 1):
                archive.writestr(zipfile.ZipInfo(name), body, info.compress_type)
    return made.getvalue()


BY_FORMAT: dict[str, list[Callable[[bytes, Generator], bytes]]] = {
    ".json": [_structure(json.loads, json.dumps)],
    ".yaml": [_structure(yaml.safe_load, lambda value: yaml.safe_dump(value, sort_keys=False))],
    ".csv": [_columns],
    **{suffix: [_member] for suffix in (".zip", ".pack", ".skops")},
}
