"""Intact inputs of every kind that mmfer reads, and how each is read: for tools.fuzz.

A kind's `make` writes its files into an empty folder; its `read` gives the answer in parts: digests by the names of the
files that they depend on. What a kind needs is imported where it is read, so that the others start without it.
"""

import asyncio
import atexit
import base64
import hashlib
import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from mmfer.errors import MmferError

ROOT = Path(__file__).resolve().parents[1]
NARROW = {"channels": [2, 2, 2], "image_hidden": [4], "landmarks_hidden": [4], "hog_hidden": [4]}
Answer = dict[str, str]


class Refused(Exception):
    """An answer of a server that says in one line why there is none."""


class Kind(NamedTuple):
    """How inputs are made and read."""

    make: Callable[[Path], Any]
    read: Callable[[Path], Answer]
    free: set[str] | None = None  # sealed but for these files: no other damage changes the answer; None: not sealed


def digest(value: Any) -> str:
    """SHA-256 of an array, bytes or text."""
    if isinstance(value, np.ndarray):
        value = value.tobytes() + str(value.shape).encode()
    return hashlib.sha256(
        value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
    ).hexdigest()


@cache
def _data() -> Path:
    """A data folder of seventy rendered faces: raw, clean, augmented, features."""
    from mmfer.config import AugmentParams, CleanParams, ExtractParams, HideParams, SyntheticSource
    from mmfer.data.download import write_raw
    from mmfer.face.clean import write_clean
    from mmfer.training.sources import make_features

    data = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, data)
    write_raw(data / "raw", "faces", SyntheticSource(faces=70, identities=14), 1)
    write_clean(data / "raw", data / "clean", CleanParams(), 1)
    make_features(data, HideParams(), AugmentParams(copies=1), ExtractParams())
    return data


def make_params(folder: Path) -> None:
    """The ready set of rendered faces."""
    shutil.copy(ROOT / "params.yaml", folder)


def read_params_file(folder: Path) -> Answer:
    """The parameters, with all that a stage checks of them."""
    from mmfer.config import read_params
    from mmfer.systems import system_params

    params = read_params(folder / "params.yaml")
    for name in params.systems:
        system_params(name, params.system(name))
        for dataset in params.datasets:
            params.train(dataset, name)
    return {"params.yaml": digest(params.model_dump_json())}


def make_faceset(folder: Path) -> None:
    """Features of rendered faces."""
    shutil.copytree(_data() / "features", folder, dirs_exist_ok=True)


def read_faceset(folder: Path) -> Answer:
    """Every array, and the index."""
    from mmfer.data.faceset import open_faceset

    faces = open_faceset(folder)
    answer = {f"{name}.npy": digest(np.asarray(array)) for name, array in faces.arrays.items()}
    return answer | {"index.parquet": digest(faces.index.to_csv()), "faceset.json": digest(faces.classes)}


def make_pack(folder: Path) -> None:
    """Seventy rendered faces, and a hidden one of each that trains."""
    from mmfer.config import HideParams
    from mmfer.face.hide import write_hidden
    from mmfer.face.pack import write_pack

    write_hidden(*(_data() / name for name in ("raw", "clean", "hidden")), HideParams(variants=1), 1)
    write_pack(_data(), folder / "faces.pack")


def read_packed(folder: Path) -> Answer:
    """What it unpacks to."""
    from mmfer.data.faceset import open_faceset
    from mmfer.face.pack import read_hidden, read_pack

    with tempfile.TemporaryDirectory() as opened:
        read_pack(folder / "faces.pack", Path(opened))
        hidden = read_hidden(folder / "faces.pack", Path(opened), 1)
        raw, clean = open_faceset(Path(opened, "raw")), open_faceset(Path(opened, "clean"))
        arrays = raw.arrays | clean.arrays | {f"hidden {name}": array for name, array in hidden.arrays.items()}
        indices = {"index": digest(clean.index.to_csv()), "hidden index": digest(hidden.index.to_csv())}
        return indices | {name: digest(np.asarray(array)) for name, array in arrays.items()}


def make_models(folder: Path) -> None:
    """A narrow network with its graph, and a support vector machine."""
    from mmfer.data.faceset import open_faceset
    from mmfer.training.models import build, model_facts, save_model
    from mmfer.use.export import export_onnx

    features = open_faceset(_data() / "features")
    for name, block in {"ours": {"kind": "ours"} | NARROW, "svm": {"kind": "svm", "components": 4}}.items():
        facts = model_facts(name, block, features)
        system = build(facts)
        if name == "svm":
            system.fit({"hog": np.asarray(features.hog, np.float32)}, features.index["label"].to_numpy())
        save_model(folder / name, facts, system)
    export_onnx(folder / "ours")


def read_models(folder: Path) -> Answer:
    """What each answers, and what the graph of the network does."""
    from mmfer.training.models import load_model
    from mmfer.use.export import example_faces
    from mmfer.use.predictor import Predictor

    answer = {}
    for name in ("ours", "svm"):
        model = load_model(folder / name)
        answer[name] = digest(model.predict(example_faces(model)).round(4) + 0.0)
    predictor = Predictor.load(folder / "ours")
    return answer | {"graph": digest(predictor.model.predict(example_faces(model)).round(4) + 0.0)}


def make_bundles(folder: Path) -> None:
    """The narrow network as `mmfer train` brings it home: in zips, its weights in pieces."""
    from mmfer.data.faceset import open_faceset
    from mmfer.training.bundles import bundle
    from mmfer.training.models import build, model_facts, save_model

    run = "0123456789abcdef01234567"
    trained = {"run": run, "fold": -1, "seed": 0, "train": {}}
    facts = model_facts("ours", {"kind": "ours"} | NARROW, open_faceset(_data() / "features"), **trained)
    save_model(folder / run, facts, build(facts))
    bundle([folder / run], folder, 20_000)
    shutil.rmtree(folder / run)


def read_bundles(folder: Path) -> Answer:
    """The weights that they hold."""
    from mmfer.training.bundles import unpack
    from mmfer.training.models import NETWORK

    with tempfile.TemporaryDirectory() as place:
        unpack(sorted(folder.iterdir()), Path(place))
        return {NETWORK: digest(b"".join(file.read_bytes() for file in Path(place).rglob(NETWORK)))}


def make_onnx(folder: Path) -> None:
    """The narrow network in one file."""
    from mmfer.use.export import export_onnx

    make_models(folder / "models")
    export_onnx(folder / "models" / "ours", folder / "model.onnx")
    shutil.rmtree(folder / "models")


def read_onnx(folder: Path) -> Answer:
    """What it answers, and how it names it."""
    from mmfer.use.predictor import Predictor

    model = Predictor.load(folder / "model.onnx").model
    return {"probabilities": digest(model.predict(_faces()).round(4) + 0.0), "classes": digest(model.classes)}


def _faces() -> dict[str, np.ndarray]:
    """Arrays of faces such as networks read."""
    rng = np.random.default_rng(0)
    shapes = {"landmarks": (3, 68, 2), "hog": (3, 900), "visible": (3, 5)}
    images = rng.integers(0, 256, (3, 48, 48), dtype=np.uint8)
    return {"images": images} | {name: rng.random(shape, dtype=np.float32) for name, shape in shapes.items()}


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def make_archive(folder: Path) -> None:
    """FER2013 as a zip of image folders."""
    from mmfer.data.sources.fer2013 import CLASSES

    rng = np.random.default_rng(0)
    with zipfile.ZipFile(folder / "fer2013.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for part in ("train", "test"):
            for number in range(28):
                image = rng.integers(0, 256, (48, 48), dtype=np.uint8)
                archive.writestr(f"{part}/{CLASSES[number % 7]}/{number}.png", _png(image))


def read_archive(folder: Path) -> Answer:
    """By the name of each image and its sum: another image under another sum is another answer."""
    from mmfer.config import Fer2013Source
    from mmfer.data.sources.fer2013 import read_fer2013

    file = folder / "fer2013.zip"
    index, images, _ = read_fer2013(Fer2013Source(path=str(file)), 1)
    with zipfile.ZipFile(file) as archive:
        sums = {info.filename: info.CRC for info in archive.infolist()}
    rows = zip(index["source"], index["label"], images, strict=True)
    return {f"{name} {sums[name]}": f"{label} {digest(image)}" for name, label, image in rows}


def make_table(folder: Path) -> None:
    """FER2013 as a CSV."""
    rng = np.random.default_rng(0)
    lines = ["emotion,pixels,Usage"]
    for number in range(28):
        pixels = " ".join(map(str, rng.integers(0, 256, 2304)))
        lines.append(f"{number % 7},{pixels},{['Training', 'PublicTest', 'PrivateTest'][number % 3]}")
    (folder / "fer2013.csv").write_text("\n".join(lines) + "\n")


def read_table(folder: Path) -> Answer:
    """By the text of each line: a line that is as it was is answered as it was."""
    from mmfer.config import Fer2013Source
    from mmfer.data.sources.fer2013 import read_fer2013

    file = folder / "fer2013.csv"
    index, images, _ = read_fer2013(Fer2013Source(path=str(file)), 1)
    lines = file.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    rows = zip(index["source"], index["label"], index["usage"], images, strict=True)
    return {
        digest(lines[int(source.rsplit(":")[-1]) - 1]): f"{label} {usage} {digest(image)}"
        for source, label, usage, image in rows
    }


def make_images(folder: Path) -> None:
    """A file of each format and kind of pixels that it can hold."""
    from mmfer.use.photos import FORMATS

    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    deep = Image.fromarray(rng.integers(0, 65536, (40, 60), dtype=np.uint16))
    for kind in FORMATS:
        for mode in ("RGB", "L", "1", "P", "RGBA", "CMYK", "I;16"):
            file = io.BytesIO()
            try:
                (deep if mode == "I;16" else noise.convert(mode)).save(file, kind)
            except (OSError, ValueError):
                continue  # this format has no such pixels
            (folder / f"{kind}.{mode.replace(';', '')}".lower()).write_bytes(file.getvalue())


def read_images(folder: Path) -> Answer:
    """By the name of each file."""
    from mmfer.use.photos import decode

    answer, faults = {}, []
    for file in sorted(folder.iterdir()):
        try:
            answer[file.name] = digest(decode(file.read_bytes(), file.name).pixels)
        except MmferError as error:
            faults.append(str(error))
    if faults:
        raise MmferError("".join(faults))
    return answer


def make_videos(folder: Path) -> None:
    """Six frames in each of four containers."""
    rng = np.random.default_rng(0)
    for name, code in {"a.mp4": "mp4v", "b.avi": "MJPG", "c.mkv": "mp4v", "d.mov": "mp4v"}.items():
        video = cv2.VideoWriter(str(folder / name), cv2.VideoWriter_fourcc(*code), 10.0, (64, 48))
        for _ in range(6):
            video.write(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8))
        video.release()


def read_videos(folder: Path) -> Answer:
    """By the name of each file."""
    from mmfer.use.videos import read_video

    return {
        file.name: digest(np.stack([frame.pixels for frame in read_video(str(file), file.name)]))
        for file in sorted(folder.iterdir())
    }


def make_bodies(folder: Path) -> None:
    """A photo with a face, sent in each of the ways of docs/serve.md."""
    from mmfer.data.synthetic.faces import render_face

    face, _ = render_face("happy", seed=3, size=96, frontal=True)
    photo = _png(face)
    text = base64.b64encode(photo).decode()
    part = b'--xx\r\nContent-Disposition: form-data; name="photos"; filename="a.png"\r\n\r\n' + photo + b"\r\n"
    (folder / "photo.image").write_bytes(photo)
    (folder / "form.multipart").write_bytes(part + part + b"--xx--\r\n")
    (folder / "photos.json").write_text(json.dumps({"photos": [text, f"data:image/png;base64,{text}"]}))
    kinds = {"photo.image": "image/png", "form.multipart": "multipart/form-data; boundary=xx"}
    for name, kind in (kinds | {"photos.json": "application/json"}).items():
        (folder / f"{name}.type").write_text(kind)


@cache
def _app() -> Any:
    from mmfer.use.predictor import Predictor
    from mmfer.use.server import Limits, application, warm_up

    warm_up(predictor := Predictor.load(workers=1))
    return application(predictor, Limits(mebibytes=1, megapixels=1, photos=3, seconds=600))  # others may have the cores


def read_bodies(folder: Path) -> Answer:
    """Each body is posted to the application itself, without a network."""
    answer, refused = {}, []
    for file in sorted(folder.glob("*.type")):
        body = file.with_suffix("")
        content = body.read_bytes() if body.exists() else b""
        status, said = asyncio.run(_post(content, file.read_bytes()))
        (line,) = said.decode("ascii").splitlines()
        told = json.loads(line)
        if status >= 500 or (status != 200 and list(told) != ["error"]):
            raise RuntimeError(f"{body.name}: {status} {line}")
        if status != 200:
            refused.append(line)
        else:
            answer[body.name] = digest(line)
    if refused:
        raise Refused(" ".join(refused))
    return answer


async def _post(body: bytes, kind: bytes) -> tuple[int, bytes]:
    """Status and body of what the application answers to a POST of /predict."""
    sent: list[Any] = []
    headers = [(b"content-type", kind.strip()), (b"content-length", str(len(body)).encode())]
    scope = {"type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "path": "/predict"}
    scope |= {"raw_path": b"/predict", "query_string": b"", "root_path": "", "headers": headers}
    scope |= {"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "asgi": {"version": "3.0"}}
    requests = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Any:
        return next(requests, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        sent.append(message)

    await _app()(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


KINDS = {
    "params": Kind(make_params, read_params_file),
    "facesets": Kind(make_faceset, read_faceset),
    "packs": Kind(make_pack, read_packed, set()),
    "models": Kind(make_models, read_models, {"model.json"}),
    "bundles": Kind(make_bundles, read_bundles, set()),
    "onnx": Kind(make_onnx, read_onnx, set()),
    "archives": Kind(make_archive, read_archive),
    "tables": Kind(make_table, read_table),
    "images": Kind(make_images, read_images),
    "videos": Kind(make_videos, read_videos),
    "bodies": Kind(make_bodies, read_bodies),
}
