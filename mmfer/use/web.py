"""A static folder in which a browser does what `mmfer predict` does: `mmfer export web FOLDER`.

Its scripts, mmfer/use/web/*.js, have the names of the modules here, and what they compute is the same to the rounding
of floats. The models come as scripts too, base64 of gzip: a page that was opened from disk may load nothing else.
"""

import base64
import gzip
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mmfer.config import CleanParams, ExtractParams
from mmfer.data.cutting import FRONTAL
from mmfer.data.faceset import params_of
from mmfer.errors import MmferError, require
from mmfer.face.shape_predictor import load_shape_model
from mmfer.face.visibility import WEIGHTS as VISIBILITY
from mmfer.face.yunet import load_model
from mmfer.files import new_folder, write_text
from mmfer.training.calibration import terms_of
from mmfer.use.limits import about
from mmfer.use.onnx_model import GRAPH, load_onnx
from mmfer.use.predictor import WEIGHTS, check_weights

SOURCES = Path(__file__).parent / "web"
NPM_VERSION = "1.30.0"  # of onnxruntime-web, the one that was tried
SCRIPT, GLUE, BINARY = "ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"
LEVEL = 6  # of gzip
PIECE = 6 * 2**20  # bytes of a script of data, so that the page can say how far it is
DETECTORS, PLANES, WINDOW = 5, 31, 10  # of dlib's frontal detector: poses, kinds of gradient, cells
LICENCES = """Everything in this folder, and the licence that it came under:
mmfer, the page and its network: MIT
onnxruntime-web (Microsoft): MIT
YuNet, the face detector: MIT
dlib's frontal face detector: Boost Software License 1.0
dlib's 68-point model: trained on iBUG 300-W, for research use
"""


def export_web(target: Path, weights: Path | None, runtime: Path | None, compact: bool) -> int:
    """Write the folder -> its bytes. `runtime` is a folder that onnxruntime-web is in, else ./node_modules.

    `weights` is a model folder or an .onnx file, else those of the package. `compact` stores the landmark model as
    float16: two thirds of the size, but other landmarks in many faces (docs/browser.md). MmferError where a file is
    missing, or `target` is something else than such a folder.
    """
    require("onnx")
    if target.name in ("", ".."):  # it could not be replaced by another one while somebody is in it
        raise MmferError(f"{target}: name the folder as it is called, such as page")
    dist = _runtime_folder(runtime)
    if target.exists() and any(target.iterdir()) and not (target / "facts.js").exists():
        raise MmferError(f"{target}: holds other files; name a new folder")
    facts, network = _network(WEIGHTS if weights is None else check_weights(weights))
    page = _page_facts(facts)
    if page["clean"]["detector"] != "dlib":
        raise MmferError("clean.detector: yunet found the faces of this network; the page can only use dlib for that")
    contents = {
        "runtime": (dist / BINARY).read_bytes(),
        "glue": (dist / GLUE).read_bytes(),
        "example": _example(),
        "yunet": _yunet(),
        "faces": _arrays(_frontal_model() | _visibility_model()),
        "landmarks": _arrays(_shape_arrays(compact)),
        "network": network,
    }
    with new_folder(target) as folder:
        for source in sorted(SOURCES.iterdir()):
            shutil.copy(source, folder)
        shutil.copy(dist / SCRIPT, folder)
        (folder / "data").mkdir()
        scripts = [script for name, content in contents.items() for script in _write_scripts(folder, name, content)]
        dataset = None if weights is None else facts["dataset"]
        page |= {"about": about(dataset), "scripts": scripts}
        write_text(folder / "facts.js", f"const FACTS = {json.dumps(page)};\n")
        write_text(folder / "LICENCES.txt", LICENCES)
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _runtime_folder(given: Path | None) -> Path:
    """The folder `dist` of onnxruntime-web."""
    within = Path("node_modules", "onnxruntime-web", "dist")
    here = Path.cwd()
    places = [folder / within for folder in (here, *here.parents)]
    if given is not None:
        places = [given, given / "dist", given / within, given / within.relative_to("node_modules")]
    for place in places:
        if all((place / name).is_file() for name in (SCRIPT, GLUE, BINARY)):
            return place
    where = "" if given is None else f"{given}: "
    install = f"run `npm install onnxruntime-web@{NPM_VERSION}`"
    raise MmferError(f"{where}onnxruntime-web is not there; {install}, and name its folder with --runtime")


def _network(path: Path) -> tuple[dict[str, Any], bytes]:
    """The facts of a network, and its ONNX graph with all weights in it."""
    import onnx

    with tempfile.TemporaryDirectory() as place:
        if path.is_dir():
            file = path / GRAPH
            if not file.exists():
                from mmfer.use.export import export_onnx

                file = export_onnx(path, Path(place, GRAPH))
        else:
            file = path
        facts, model = load_onnx(file).facts, onnx.load(str(file))
    return facts, model.SerializeToString()


def _yunet() -> bytes:
    """YuNet's graph for pictures of any size, without the five points that it finds beside each box."""
    import onnx

    model = onnx.load_model_from_string(load_model().tobytes())
    for place, side in ((2, "height"), (3, "width")):
        model.graph.input[0].type.tensor_type.shape.dim[place].dim_param = side
    for output in list(model.graph.output):
        if output.name.startswith("kps"):
            model.graph.output.remove(output)
        else:
            output.type.tensor_type.shape.dim[1].dim_param = output.name
    del model.graph.value_info[:]  # shapes in between, of pictures of 640 x 640
    return model.SerializeToString()


def _shape_arrays(compact: bool) -> dict[str, np.ndarray]:
    """The landmark model; its moves as float16, or to the bit as four planes of bytes, of which gzip makes most."""
    model = load_shape_model()._asdict()
    moves = model.pop("moves")
    if compact:
        return model | {"moves": moves.astype(np.float16).reshape(1, -1)}
    return model | {"planes": moves.view(np.uint8).reshape(-1, 4).T}


def _frontal_model() -> dict[str, np.ndarray]:
    """Filters (5, 31, 10, 10) and thresholds (5,) float32 of dlib's frontal face detector, as it applies them.

    dlib writes integers (see mmfer.face.shape_predictor): at the end the five vectors, each after its two lengths.
    """
    integers = list(_integers(FRONTAL.read_bytes()))
    length = PLANES * WINDOW * WINDOW + 1
    rows = np.array(integers[-DETECTORS * (2 + 2 * length) :]).reshape(DETECTORS, -1)
    values = np.ldexp(rows[:, 2::2].astype(np.float64), rows[:, 3::2])
    u, s, v = np.linalg.svd(values[:, :-1].reshape(DETECTORS, PLANES, WINDOW, WINDOW))
    s[s < np.maximum(1e-4, 1e-3 * s.max(axis=2, keepdims=True))] = 0  # dlib leaves these out
    return {"filters": ((u * s[:, :, None]) @ v).astype(np.float32), "thresholds": values[:, -1].astype(np.float32)}


def _visibility_model() -> dict[str, np.ndarray]:
    """Weights (trees, leaves, 5) and bias (5,) float32."""
    with np.load(VISIBILITY / "weights.npz", allow_pickle=False) as file:
        return {name: file[name].astype(np.float32) for name in ("weights", "bias")}


def _integers(content: bytes) -> Iterator[int]:
    at = 0
    while at < len(content):
        head = content[at]
        value = int.from_bytes(content[at + 1 : at + 1 + (head & 15)], "little")
        yield -value if head & 128 else value
        at += 1 + (head & 15)


def _example() -> bytes:
    """The demo's rendered people as PNG."""
    import cv2

    from mmfer.use.demo_pictures import example_photo

    return cv2.imencode(".png", example_photo())[1].tobytes()


def _arrays(arrays: dict[str, np.ndarray]) -> bytes:
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def _write_scripts(folder: Path, name: str, content: bytes) -> list[tuple[str, int]]:
    """Write bytes as scripts of base64 of gzip -> their names and bytes."""
    packed, scripts = gzip.compress(content, LEVEL, mtime=0), []
    for start in range(0, len(packed), PIECE):
        script = f"data/{name}{start // PIECE}.js"
        text = base64.b64encode(packed[start : start + PIECE]).decode()
        write_text(folder / script, f'parts.add("{name}", "{text}");\n')
        scripts.append((script, (folder / script).stat().st_size))
    return scripts


def _page_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """What the page needs of a model.json."""
    result, made_by = facts.get("result", {}), facts["made_by"]
    return {
        "classes": facts["classes"],
        "clean": CleanParams(**params_of(made_by, "clean")).model_dump(),
        "extract": ExtractParams(**params_of(made_by, "extract")).model_dump(),
        "terms": {"temperature": 1.0, "temperature_rise": 0.0, "temperature_bend": 0.0} | terms_of(result),
        "least": (result.get("sets") or {}).get("least"),
    }
