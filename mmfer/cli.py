"""The command `mmfer`: what one does with a trained network, and training away from the pipeline."""

import warnings
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from mmfer import __version__
from mmfer.errors import require, run_app


class Detector(str, Enum):
    """What looks for faces in photos."""

    yunet = "yunet"
    dlib = "dlib"


class Weights(str, Enum):
    """Types of number in which weights are written."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


# Of commands that look for faces in photos.
WeightsOption = Annotated[
    Path | None, typer.Option(help="Model folder, .onnx file, or fer2013_wide: the package's larger network.")
]
DetectorOption = Annotated[
    Detector | None, typer.Option(help="What looks for faces; else yunet, or dlib where that is missing.")
]
MinScoreOption = Annotated[
    float | None, typer.Option(help="Least score of the detector; else weak faces are left out.")
]
MinPixelsOption = Annotated[int, typer.Option(min=0, help="Least height of a face in pixels of the photo.")]

app = typer.Typer(no_args_is_help=True)
export = typer.Typer(add_completion=False, no_args_is_help=True, help="Write a trained network for use elsewhere.")
app.add_typer(export, name="export")


def print_version(wanted: bool) -> None:
    """Print the version and end, if it is wanted."""
    if wanted:
        typer.echo(f"mmfer {__version__}")
        raise typer.Exit


@app.callback()
def mmfer(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Facial expression recognition from the grey face, 68 landmarks and a histogram of oriented gradients."""


@app.command(epilog="Exit code: 0 all was read, 1 something could not be read (named on stderr), 2 nothing, or misuse.")
def predict(
    paths: Annotated[
        list[str] | None, typer.Argument(help="Photos, videos, folders, patterns; - is a photo on standard input.")
    ] = None,
    camera: Annotated[
        str | None, typer.Option(help="Camera: a number, or an RTSP or HTTP address; Ctrl-C ends it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list of all pictures.")] = False,
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="A line of JSON for each picture, as it comes.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="A row for each face; one without a box where none is.")
    ] = False,
    draw: Annotated[Path | None, typer.Option(file_okay=False, help="Folder for annotated copies.")] = None,
    timeline: Annotated[
        Path | None, typer.Option(dir_okay=False, help="File, .png or .svg: a video's expressions over time.")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Show faces in a window; q ends it.")] = False,
    weights: WeightsOption = None,
    detector: DetectorOption = None,
    min_score: MinScoreOption = None,
    min_pixels: MinPixelsOption = 0,
    workers: Annotated[int, typer.Option(min=1, help="Threads that look for faces.")] = 2,
    every: Annotated[int, typer.Option(min=1, help="Of videos and the camera, one frame in so many.")] = 1,
    smooth: Annotated[
        float, typer.Option(min=0, help="Seconds over which a video's probabilities are averaged; 0: not at all.")
    ] = 0.3,
) -> None:
    """Find the faces in PATHS and name what they express."""
    forms = [form for form, wanted in (("json", as_json), ("jsonl", as_jsonl), ("csv", as_csv)) if wanted]
    if len(forms) > 1:
        raise typer.BadParameter("--json, --jsonl and --csv exclude each other; choose one")
    if not paths and camera is None:
        raise typer.BadParameter("name a photo, folder or video, - for standard input, or a camera with --camera 0")
    from mmfer.use.live import camera_of
    from mmfer.use.predictor import Predictor
    from mmfer.use.run import Wanted, run, timeline_file

    source = None if camera is None else camera_of(camera)
    picture = timeline and timeline_file(timeline)
    predictor = Predictor.load(weights, workers, min_score, detector and detector.value, min_pixels)
    form = forms[0] if forms else "table"
    raise typer.Exit(run(predictor, Wanted(paths or [], source, every, form, smooth, draw, picture, show)))


@app.command(epilog="Ends with Ctrl-C. Needs the package streamlit: pip install 'mmfer[demo]'.")
def demo(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1, for this computer alone.")] = 8501,
    weights: WeightsOption = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
) -> None:
    """Open a local page: drop a photo, see its faces, why they were classified so, and what hiding parts changes."""
    require("streamlit")
    from mmfer.use.demo import serve

    serve(weights, port, browser)


@app.command(epilog="Ends with Ctrl-C. Needs FastAPI and uvicorn: pip install 'mmfer[serve]'.")
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is every one.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8080,
    weights: WeightsOption = None,
    detector: DetectorOption = None,
    min_score: MinScoreOption = None,
    min_pixels: MinPixelsOption = 0,
    workers: Annotated[int, typer.Option(min=1, help="Threads that look for faces, of each request.")] = 2,
    max_mib: Annotated[int, typer.Option(min=1, help="Largest body of a request, MiB.")] = 32,
    max_megapixels: Annotated[int, typer.Option(min=1, help="Largest photo.")] = 50,
    max_photos: Annotated[int, typer.Option(min=1, help="Most photos of a request.")] = 64,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to receive a body, and again to answer it.")] = 60,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests that are answered at once.")] = 2,
    waiting: Annotated[int, typer.Option(min=0, help="Requests that may wait; further ones get status 503.")] = 8,
) -> None:
    """Answer photos over HTTP: POST /predict, GET /health; the page /docs describes both, and tries them."""
    require("fastapi", "fastapi_offline", "python_multipart", "uvicorn")
    from mmfer.use.connections import listen

    with listen(host, port) as listening:  # refused, if it cannot, before anything slow is imported
        from mmfer.use.predictor import Predictor
        from mmfer.use.server import Limits
        from mmfer.use.server import serve as answer

        limits = Limits(max_mib, max_megapixels, max_photos, timeout, concurrency, waiting)
        predictor = Predictor.load(weights, workers, min_score, detector and detector.value, min_pixels)
        place = f"[{host}]" if ":" in host else host
        typer.echo(f"http://{place}:{listening.getsockname()[1]}: POST /predict, GET /health, pages at /docs")
        with suppress(KeyboardInterrupt):  # the way to end it
            answer(predictor, listening, limits)


@app.command()
def params(
    name: Annotated[str | None, typer.Argument(metavar="[SET]", help="Ready set; without it all are listed.")] = None,
    path: Annotated[
        list[str] | None, typer.Option(help="File or folder of faces; of one data set of several: NAME=PATH.")
    ] = None,
    system: Annotated[list[str] | None, typer.Option(help="A further system of docs/params/systems.yaml.")] = None,
) -> None:
    """Write params.yaml: what `dvc repro` will build. A params.yaml with edits of your own is kept beside it."""
    from mmfer.params import as_yaml, compose, remarks, set_names, write_params

    if name is None:
        for ready in set_names():
            typer.echo(f"{ready}\n" + "\n".join(line.replace("#", " ", 1) for line in remarks(ready)))
        return
    kept = write_params(as_yaml(compose(name, path or [], system or []), remarks(name)))
    typer.echo("params.yaml written; run `dvc repro`" + (f" (your former one is now {kept})" if kept else ""))


@app.command()
def pack(
    dataset: Annotated[str, typer.Argument(help="A data set that params.yaml names, cleaned: `dvc repro clean`.")],
    target: Annotated[Path | None, typer.Argument(dir_okay=False, help="File to write; else DATASET.pack.")] = None,
) -> None:
    """Write DATASET's faces, landmarks, alignments, splits and hidden faces as one file, to train elsewhere."""
    from mmfer.config import read_params

    read_params().dataset(dataset)  # refused, if wrong, before anything slow is imported
    from mmfer.face.pack import write_pack

    file = target or Path(f"{dataset}.pack")
    head = write_pack(Path("data", dataset), file)
    splits = ", ".join(f"{rows:,} {split}" for split, rows in head.splits.items() if rows)
    size = file.stat().st_size / 2**20
    more = f", and {head.hidden.rows:,} hidden ones" if head.hidden else ""
    typer.echo(f"{file}: {head.rows:,} faces ({splits}) with landmarks and alignments{more}, {size:.1f} MiB")


@app.command(epilog="Exit code: 0 all is trained, 1 some trainings failed, 2 the time is over, or misuse.")
def train(
    sources: Annotated[list[Path], typer.Argument(exists=True, help="Packs, or folders such as data/fer2013.")],
    params: Annotated[str, typer.Option(help="A file, or a ready set of `mmfer params`.")] = "params.yaml",
    order: Annotated[Path | None, typer.Option(exists=True, help="YAML list of trainings in order of value.")] = None,
    system: Annotated[list[str] | None, typer.Option(help="Of all trainings those of this system; repeatable.")] = None,
    change: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE in params; repeatable.")] = None,
    out: Annotated[Path, typer.Option(file_okay=False, help="For models and checkpoints.")] = Path(".checkpoints"),
    minutes: Annotated[float | None, typer.Option(min=0, help="After so many it pauses; 0: trains nothing.")] = None,
    probe: Annotated[float, typer.Option(min=0, help="Seconds for which each system's rate is measured before.")] = 1.0,
    weights: Annotated[Weights, typer.Option(help="How weights are written.")] = Weights.float32,
    zips: Annotated[Path | None, typer.Option(file_okay=False, help="Folder for zips of all models.")] = None,
    zip_mib: Annotated[int, typer.Option(min=1, help="Largest size of such a zip.")] = 16,
    zip_count: Annotated[int | None, typer.Option(min=1, help="How many such zips at most.")] = None,
    zip_first: Annotated[int, typer.Option(min=0, help="Number of the first: those before are at home.")] = 0,
) -> None:
    """Train systems without the pipeline, on any computer; the same command goes on where it stopped.

    Into .checkpoints, as without --out, `dvc repro` finds the models; from elsewhere `mmfer unpack` brings them there.
    """
    from mmfer.params import read_changed
    from mmfer.training import campaign

    everything = read_changed(params, change or [])
    entries = campaign.read_order(order, everything, system or [])
    terms = campaign.Terms(out, minutes, probe, weights.value, zips, zip_mib, zip_count, zip_first)
    failed = campaign.train_list(sources, everything, entries, terms)
    raise typer.Exit(1 if failed else 0)


@app.command()
def unpack(
    sources: Annotated[
        list[Path], typer.Argument(exists=True, help="Folders of `mmfer train --out`, or all its zips.")
    ],
) -> None:
    """Bring models that were trained elsewhere into the pipeline: `dvc repro` takes them as its own."""
    from mmfer.config import read_params
    from mmfer.training.bundles import unpack as unpack_models
    from mmfer.training.bundles import verdicts
    from mmfer.training.train import CHECKPOINTS

    params = read_params()
    found = unpack_models(sources, CHECKPOINTS)
    for facts, verdict in zip(found, verdicts(found, params, Path("data")), strict=True):
        which = " ".join(f"{key} {facts[key]}" for key in ("dataset", "system", "fold", "seed", "run"))
        typer.echo(f"{which}: {verdict}")
    typer.echo("`dvc repro` takes those that fit, and trains what is wanted beside them")


@app.command()
def doctor() -> None:
    """Check what mmfer needs: packages, model files, device, MLflow, DVC; a line each; exit code 1 if one fails."""
    from mmfer.use.doctor import lines

    well = True
    for line, good in lines():
        typer.echo(line)
        well = well and good
    raise typer.Exit(0 if well else 1)


@export.command()
def onnx(
    model: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="The folder of a trained network.")],
    target: Annotated[
        Path | None, typer.Argument(dir_okay=False, help="The ONNX file to write; else model.onnx within MODEL.")
    ] = None,
) -> None:
    """Write the network in MODEL as an ONNX file, and check it against torch.

    Without TARGET the file holds the graph alone and shares the weights of the folder, which `mmfer predict` then
    opens without torch.
    """
    require("onnx", "onnxscript")
    from mmfer.use.export import TOLERANCE, export_onnx

    file = export_onnx(model, target)
    typer.echo(f"{file}: {file.stat().st_size / 2**20:.1f} MiB, within {TOLERANCE} of torch")


@export.command()
def web(
    target: Annotated[Path, typer.Argument(file_okay=False, help="The folder to write.")],
    weights: WeightsOption = None,
    runtime: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Folder of onnxruntime-web; else node_modules here or above."),
    ] = None,
    compact: Annotated[
        bool, typer.Option("--compact", help="Two thirds of the size; landmarks, and so answers, are a little others.")
    ] = False,
) -> None:
    """Write TARGET, a page that answers photos in the browser itself, from disk or any web server.

    Its WebAssembly comes from npm: run `npm install onnxruntime-web` first.
    """
    require("onnx")
    from mmfer.use.web import export_web

    size = export_web(target, weights, runtime, compact)
    typer.echo(f"{target / 'index.html'}: open it in a browser; the folder has {size / 1e6:.0f} MB")


def one_line(message: Warning | str, *place: object, **more: object) -> str:
    """A warning without the place in the code that it came from, which tells the user of a command nothing."""
    return f"warning: {' '.join(str(message).split())}\n"


def main() -> None:
    """Entry point of the console script."""
    warnings.formatwarning = one_line
    run_app(app)
