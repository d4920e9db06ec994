"""A model folder -> one ONNX file that any ONNX runtime can use, from the stored arrays to the probabilities.

Preparation (mmfer.face.prepare), network and softmax are traced together, so that nobody has to write them again.
`mmfer export onnx MODEL_FOLDER [FILE.onnx]`: without FILE the graph goes into the folder, and shares
the weights that are there.
"""

import json
import logging
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmfer.config import FACE_PX, ExtractParams, check
from mmfer.errors import MmferError, require
from mmfer.face.hog import hog_length
from mmfer.face.prepare import prepare, stored_names
from mmfer.files import new_file
from mmfer.training.models import NETWORK, Model, load_model
from mmfer.use.onnx_model import BLANK, FACTS, GRAPH, OUTPUT, SEAL, load_onnx, sealed

TOLERANCE = 1e-4  # largest difference to torch in a probability
OPSET = 18


class Whole(nn.Module):
    """A network with what stands before and behind it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *stored: Tensor) -> Tensor:  # rows of the stored arrays that it reads -> probabilities (n, C)
        arrays = dict(zip(stored_names(self.network.inputs), stored, strict=True))
        return self.network(**prepare(arrays, self.network.inputs)).float().softmax(dim=1)


def export_onnx(folder: Path, target: Path | None = None) -> Path:
    """Write the network of a model folder as an ONNX file, with all of model.json in its metadata -> the file.

    Without a target that is model.onnx in the folder: the graph alone, some 100 KiB, which refers to the weights
    beside it; Predictor.load(folder) uses it from then on, for it answers sooner than torch is imported.

    Inputs, of which the file has those that the network reads: images uint8 (n, 48, 48), landmarks float32 (n, 68, 2),
    hog float32 (n, 900), visible float32 (n, 5). Output: probabilities float32 (n, C). MmferError, and no file, where
    onnxruntime finds probabilities other than torch's.
    """
    require("onnx", "onnxscript")
    model = load_model(folder)
    if not isinstance(model.system, nn.Module):
        kind = type(model.system).__name__.lower()
        raise MmferError(f"{folder}: {kind} is a scikit-learn estimator, not a network; use the folder as it is")
    program = _trace(load_model(folder))  # one of its own, for tracing alters it
    if target is None:
        target = folder / GRAPH
        _share_weights(program, folder / NETWORK)
    with new_file(target) as temporary:
        program.save(temporary)
        temporary.write_bytes(sealed(temporary.read_bytes(), target.parent))
        difference = _difference(model, temporary)
        if not difference <= TOLERANCE:
            raise MmferError(f"{target}: {difference:.1e} from torch, {TOLERANCE} allowed; not written; report this")
    return target


def _share_weights(program: Any, weights: Path) -> None:
    """Let the graph refer to the tensors of a safetensors file: that is a header, then the numbers as ONNX has them.

    Those that the file holds as float16 or bfloat16 are cast, once, when the graph is opened: it computes in float32.
    """
    import onnx_ir as ir

    with weights.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    graph = program.model.graph
    for name, value in list(graph.initializers.items()):
        entry = header.get(name.removeprefix("network."))
        if entry:
            start, end = entry["data_offsets"]
            place = (weights.name, 8 + length + start, end - start)
            dtype = {"F16": ir.DataType.FLOAT16, "BF16": ir.DataType.BFLOAT16}.get(entry["dtype"], value.dtype)
            stored = ir.ExternalTensor(*place, dtype, shape=value.shape, name=name, base_dir=weights.parent)
            if dtype == value.dtype:
                value.const_value = stored
            else:
                _cast(graph, value, stored)


def _cast(graph: Any, value: Any, stored: Any) -> None:
    """Make an initializer of a graph the float32 form of a stored tensor."""
    import onnx_ir as ir

    half = ir.Value(name=f"{value.name}.half", type=ir.TensorType(stored.dtype), shape=value.shape, const_value=stored)
    stored.name = half.name
    del graph.initializers[value.name]
    graph.register_initializer(half)
    value.const_value = None
    to = ir.AttrInt64("to", ir.DataType.FLOAT)
    graph.insert_before(graph[0], ir.Node("", "Cast", [half], [to], outputs=[value]))


def _trace(model: Model) -> Any:
    """The torch.onnx.ONNXProgram of a model."""
    names = stored_names(model.system.inputs)
    faces = example_faces(model)
    arrays = tuple(torch.from_numpy(faces[name]) for name in names)
    batch = torch.export.Dim("n")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it reports that torchvision is absent
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", FutureWarning)  # torch's, about its own use of itself
        graph = torch.export.export(Whole(model.system), arrays, dynamic_shapes=(({0: batch},) * len(names),))
        program = torch.onnx.export(
            graph,
            input_names=names,
            output_names=[OUTPUT],
            opset_version=OPSET,
            optimize=False,  # the runtime does; here it would fold norms into weights, which then are others than saved
            custom_translation_table={torch.ops.aten.searchsorted.Tensor: searchsorted},
            verbose=False,
        )
    program.model.metadata_props.update({FACTS: json.dumps(model.facts), SEAL: BLANK})
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # stack traces, with the paths of this computer
    return program


def example_faces(model: Model, n: int = 5) -> dict[str, np.ndarray]:
    """Arrays of n faces as a FaceSet stores them: an even picture with points that coincide, then seeded noise."""
    rng = np.random.default_rng(0)
    extract = check(ExtractParams, model.facts["made_by"]["params"], "model.json")
    faces: dict[str, np.ndarray] = {
        "images": rng.integers(0, 256, (n, FACE_PX, FACE_PX), dtype=np.uint8),
        "landmarks": rng.uniform(0, FACE_PX, (n, 68, 2)).astype(np.float32),
        "hog": rng.random((n, hog_length(extract)), dtype=np.float32),
        "visible": rng.random((n, 5), dtype=np.float32),
    }
    for array in faces.values():
        array[0] = 0
    return faces


def _difference(model: Model, file: Path) -> float:
    """The largest difference between the probabilities of torch and of onnxruntime; NaN where either has one."""
    faces = example_faces(model, 9)
    return float(np.abs(load_onnx(file).predict(faces) - model.predict(faces)).max())


def searchsorted(ordered: Any, values: Any, out_int32: bool = False, right: bool = False) -> Any:
    """torch.searchsorted of rows (n, P), which ONNX lacks, as binary search unrolled: how many are below each value."""
    from onnxscript import opset18 as op

    before: Callable[[Any, Any], Any] = op.LessOrEqual if right else op.Less
    length = ordered.shape[1]
    count = op.Cast(op.Mul(values, 0.0), to=7)  # zeros, int64
    for step in (1 << i for i in reversed(range(length.bit_length()))):
        reached = op.Add(count, step)
        level = op.GatherElements(ordered, op.Sub(op.Min(reached, length), 1), axis=1)
        count = op.Where(op.And(before(level, values), op.LessOrEqual(reached, length)), reached, count)
    return count
