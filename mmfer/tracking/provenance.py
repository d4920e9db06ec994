"""What a run was made of: the data that its stage reads, by DVC's own hashes, and the commit of the code."""

import hashlib
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml


def provenance(stage: str, dataset: str | None, system: str | None) -> dict[str, str]:
    """Tags for the data and the code: dvc_inputs, and MLflow's own for user, source file and git commit."""
    from mlflow.tracking.context.registry import resolve_tags

    tags = {"dvc_inputs": inputs_hash(stage, dataset, system), **resolve_tags()}
    # MLflow looks beside the program, which may be installed elsewhere; what counts is where the stage runs.
    tags["mlflow.source.git.commit"] = _git_commit()
    return {key: value for key, value in tags.items() if value is not None}


def inputs_hash(stage: str, dataset: str | None, system: str | None, folder: Path = Path()) -> str | None:
    """Twelve hexadecimal digits that name the data `stage` reads, from DVC's own MD5s; None without dvc.lock.

    While a stage runs, its own entry in dvc.lock is still that of its previous execution, if any. The entries of the
    stages before it are current, though, for DVC writes them as each ends. So: the stage's deps in dvc.yaml, with
    ${key}, ${item}, ${item.dataset} and ${item.system} filled in; of every output in dvc.lock that is such a dep, lies
    in one or holds one, path and MD5; the SHA-256 of these, sorted. Deps that no stage makes are left out: code stands
    in the git commit, and files of the user's own in no lock. No data are read. None also where nothing is recorded,
    as for the first stage.
    """
    if not ((folder / "dvc.yaml").exists() and (folder / "dvc.lock").exists()):
        return None
    definition, lock = _read_yaml(folder / "dvc.yaml"), _read_yaml(folder / "dvc.lock")
    entry = definition.get("stages", {}).get(stage, {})
    known = {"key": dataset, "item": dataset, "item.dataset": dataset, "item.system": system}
    deps = [
        re.sub(r"\$\{\s*([\w.]+)\s*\}", lambda found: str(known.get(found[1], found[0])), dep)
        for dep in entry.get("do", entry).get("deps", [])
    ]
    outs = [out for locked in lock.get("stages", {}).values() for out in locked.get("outs", [])]
    inputs = [f"{out['path']} {out.get('md5')}" for out in outs if any(_overlap(out["path"], dep) for dep in deps)]
    return digest("\n".join(sorted(inputs))) if inputs else None


def digest(text: str) -> str:
    """Twelve hexadecimal digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _git_commit() -> str | None:
    try:
        return subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _read_yaml(path: Path) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's reads a long dvc.lock ten times faster
    return yaml.load(path.read_text(encoding="utf-8"), loader) or {}


def _overlap(out: str, dep: str) -> bool:
    one, other = Path(out), Path(dep)
    return one == other or one in other.parents or other in one.parents
