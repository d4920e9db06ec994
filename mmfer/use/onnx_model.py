"""A trained network as one ONNX file, without torch: stored arrays in, probabilities out, the facts in its metadata.

mmfer.use.export writes such files; the preparation of mmfer.face.prepare and the softmax are part of their graph. Each
holds the digest of its own bytes, and of those of the weights beside it, so that no flipped bit is an answer.
"""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmfer.config import check
from mmfer.errors import MmferError
from mmfer.training.facts import Facts

FACTS = "mmfer.facts.1"  # metadata key of the facts; another number where other facts would be expected
PACKAGE = Path(__file__).parents[1]
GRAPH = "model.onnx"  # in a model folder: the graph, its weights in the file beside it
WEIGHTS = "model.safetensors"  # that file
SEAL = "mmfer.sha256"  # metadata key of the digest, which is made with BLANK in its own place
BLANK = "0" * 64
SEALED = re.compile(SEAL.encode() + rb"\x12@([0-9a-f]{64})")  # as protobuf has the key and a value of 64 bytes
OUTPUT = "probabilities"
BATCH = 64  # faces predicted at once; onnxruntime keeps the memory of the largest batch
INPUTS = {"images": "tensor(uint8)", **dict.fromkeys(["landmarks", "hog", "visible"], "tensor(float)")}
DTYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}


@dataclass(frozen=True)
class OnnxModel:
    """The graph in an onnxruntime session, with the facts of the model.json that it was made of."""

    facts: dict[str, Any]
    session: Any  # onnxruntime.InferenceSession
    path: Path  # of the file that it was opened from, with so many threads
    threads: int

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled is where the file is; a file of this package is found wherever the package is installed."""
        path = self.path.relative_to(PACKAGE) if self.path.is_relative_to(PACKAGE) else self.path.absolute()
        return _opened_again, (str(path), self.threads)

    @property
    def classes(self) -> list[str]:
        """Class names in the order of the probabilities."""
        return self.facts["classes"]

    def predict(self, stored: dict[str, np.ndarray]) -> np.ndarray:
        """Rows of images, landmarks and hog as a FaceSet stores them -> probabilities (n, C) float32."""
        dtypes = {node.name: DTYPES[node.type] for node in self.session.get_inputs()}
        n = len(stored[next(iter(dtypes))])
        chunks = []
        for i in range(0, n, BATCH):
            rows = {name: np.ascontiguousarray(stored[name][i : i + BATCH], dtype) for name, dtype in dtypes.items()}
            chunks += self.session.run([OUTPUT], rows)
        return np.concatenate(chunks)


def load_onnx(path: Path, threads: int = 2) -> OnnxModel:
    """Open a file of mmfer.use.export; MmferError if it is missing, not such a file, or not as it was written."""
    import onnxruntime

    if not path.is_file():
        raise MmferError(f"{path}: not there; write it with `mmfer export onnx MODEL_FOLDER {path}`")
    _check_seal(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = min(threads, os.cpu_count() or 1)
    options.log_severity_level = 3  # errors; its warnings are about its own optimisations
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a waiting thread leaves its core alone
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class for each kind of failure, and no public base
        reason = str(error).splitlines()[0]
        raise MmferError(f"{path}: onnxruntime cannot open it ({reason}); export the model again") from None
    metadata = session.get_modelmeta().custom_metadata_map
    if FACTS not in metadata:
        raise MmferError(f"{path}: an ONNX file without {FACTS} in its metadata; take one that this mmfer exported")
    facts = _facts(metadata[FACTS])
    outputs = {node.name: node.shape[-1] for node in session.get_outputs()}
    inputs = {node.name: node.type for node in session.get_inputs()}
    if outputs.get(OUTPUT) != len(facts.get("classes", [])) or not (inputs.items() <= INPUTS.items() and inputs):
        raise MmferError(f"{path}: its graph and what it says of itself do not agree; export the model again")
    check(Facts, facts, str(path))
    return OnnxModel(facts, session, path, threads)


def sealed(content: bytes, folder: Path) -> bytes:
    """The bytes of an ONNX file in `folder` with the digest that belongs into them."""
    blank = SEALED.sub(f"{SEAL}\x12@{BLANK}".encode(), content)
    weights = (folder / WEIGHTS).read_bytes() if WEIGHTS.encode() in content else b""
    digest = hashlib.sha256(blank)
    digest.update(weights)
    return SEALED.sub(f"{SEAL}\x12@{digest.hexdigest()}".encode(), blank)


def _check_seal(path: Path) -> None:
    """MmferError unless a file and its weights are to the bit what was exported; the runtime sees no other."""
    content = path.read_bytes()
    if not SEALED.search(content):
        raise MmferError(f"{path}: not an ONNX file that this mmfer exported, or damaged; export the model again")
    try:
        same = sealed(content, path.parent) == content
    except FileNotFoundError as error:
        raise MmferError(f"{path}: its weights, {error.filename}, are missing; copy them too") from None
    if not same:
        raise MmferError(f"{path}: it or its weights are not as they were exported (sha256); export the model again")


def _facts(text: str) -> dict[str, Any]:
    """The facts in the metadata; empty where they are damaged."""
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        facts = None
    return facts if isinstance(facts, dict) and isinstance(facts.get("classes"), list) else {}


def _opened_again(path: str, threads: int) -> OnnxModel:
    return load_onnx(PACKAGE / path, threads)  # a path from the root stays as it is
