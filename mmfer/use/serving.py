"""A trained model that answers on photos through MLflow: in process by `mlflow.pyfunc.load_model`, over HTTP by
`mlflow models serve`. docs/serving.md says how.

MLflow stores this file with the model and runs it to load the model ("models from code"), so that nothing is pickled.
Imported by name only where mlflow is at hand: by mmfer.tracking, inside a function.
"""

import json
import shutil
import tempfile
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

import cv2
import pandas as pd
from mlflow.models import Model, ModelSignature, set_model
from mlflow.pyfunc import PythonModel, PythonModelContext, save_model
from mlflow.types.schema import Array, ColSpec, DataType, Object, Property, Schema
from packaging.requirements import Requirement

from mmfer.errors import MmferError
from mmfer.face.points import PARTS
from mmfer.use.inputs import from_text
from mmfer.use.photos import Picture, decode
from mmfer.use.predictor import Predictor

NOT_SERVED = {"dvc", "kagglehub", "matplotlib", "scikit-image"}  # requirements of the pipeline alone


class PhotoModel(PythonModel):
    """A column `image` of photos (the bytes of JPEG, PNG, ... files) -> for each `faces`, or `error` in one line."""

    def load_context(self, context: PythonModelContext) -> None:
        """Open the model folder; MLflow calls this once."""
        self.predictor = Predictor.load(context.artifacts["model"])

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Answer the photos one by one: of large ones no two are in memory."""
        return [self._answer(content, f"photo {row}") for row, content in enumerate(model_input["image"])]

    def _answer(self, sent: Any, name: str) -> dict[str, Any]:
        try:
            (faces,) = self.predictor.predict([_opened(sent, name)])
        except MmferError as error:
            return {"error": str(error)}
        return {"faces": [face.as_dict() for face in faces]}


def _opened(sent: Any, name: str) -> Picture:
    """A photo as its bytes; or as base64, which MLflow decodes in some of its JSON forms and leaves in others."""
    sent = sent[0] if isinstance(sent, list) and len(sent) == 1 else sent  # a row of one column
    if isinstance(sent, str):
        return decode(from_text(sent, name), name)
    if not isinstance(sent, bytes):
        raise MmferError(f"{name}: {type(sent).__name__}, expected the bytes of a photo; read its file")
    try:
        return decode(sent, name)
    except MmferError:
        try:
            content = from_text(sent.decode("ascii"), name)
        except (MmferError, UnicodeDecodeError):
            content = b""
        if not content:
            raise
        return decode(content, name)


def signature(classes: list[str]) -> ModelSignature:
    """What goes in and comes out: `faces` as Face.as_dict has them, or `error`."""
    number, numbers = DataType.double, Array(DataType.double)
    face = Object(
        [
            Property("box", numbers),
            Property("score", number),
            Property("weak", DataType.boolean),
            Property("pixels", DataType.long),
            Property("turned", DataType.long),
            Property("expression", DataType.string),
            Property("candidates", Array(DataType.string)),
            Property("uncertain", DataType.boolean),
            Property("probabilities", Object([Property(name, number) for name in classes])),
            Property("visible", Object([Property(part, number) for part in PARTS])),
            Property("landmarks", Array(numbers)),
        ]
    )
    answer = [
        ColSpec(Array(face), "faces", required=False),
        ColSpec(DataType.string, "error", required=False),
    ]
    return ModelSignature(Schema([ColSpec(DataType.binary, "image")]), Schema(answer))


def example() -> pd.DataFrame:
    """The photo of a rendered face, a PNG file of some 5 kB: input as the model takes it."""
    from mmfer.data.synthetic.faces import render_face

    photo, _ = render_face("happy", size=96, frontal=True)
    return pd.DataFrame({"image": [cv2.imencode(".png", photo)[1].tobytes()]})


def write_served(folder: Path, model: Path, run_id: str | None = None) -> None:
    """Write a model folder of the pipeline as an MLflow model, with this package's code beside it.

    With its code it is served wherever MLflow installs its requirements, and answers as it did when it was evaluated.
    """
    package, facts = Path(__file__).parents[1], json.loads((model / "model.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as temporary:
        code = Path(temporary) / package.name
        shutil.copytree(package, code, ignore=_not_served)
        save_model(
            folder,
            python_model=__file__,
            artifacts={"model": str(model)},
            code_paths=[str(code)],
            signature=signature(facts["classes"]),
            input_example=example(),
            pip_requirements=requirements(),
            mlflow_model=Model(run_id=run_id),
        )


def _not_served(folder: str, names: list[str]) -> list[str]:
    """Of the names in a folder those that a served model needs no copy of: the networks of the package, and caches."""
    return [name for name in names if name == "__pycache__" or Path(folder, name, "model.json").exists()]


def requirements() -> list[str]:
    """What the code needs, at the versions in use. Given to MLflow, which would else load the model to find out."""
    names = [Requirement(line).name for line in requires("mmfer") or [] if "extra ==" not in line]
    public = {name: version(name).split("+")[0] for name in names if name not in NOT_SERVED}  # 2.6.0+cpu -> 2.6.0
    return [f"{name}=={number}" for name, number in public.items()]


set_model(PhotoModel())  # what MLflow looks for when it runs this file
