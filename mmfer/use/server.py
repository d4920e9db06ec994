"""`mmfer serve`: photos over HTTP. POST /predict, GET /health, and pages at /docs, which load nothing from elsewhere.

What a client may send is bounded: bytes, pixels, photos, seconds, and how many requests are held and answered at once.
No photo is written to the disk.
"""

import asyncio
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import anyio
import numpy as np
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from mmfer import __version__
from mmfer.config import FACE_PX
from mmfer.errors import MmferError
from mmfer.use.answers import answers
from mmfer.use.bodies import BYTES, FORM, JSON, Sent, kind_of, photos_in
from mmfer.use.connections import PatientProtocol
from mmfer.use.inputs import from_text
from mmfer.use.media import Fault
from mmfer.use.output import as_dict
from mmfer.use.photos import Picture, decode
from mmfer.use.predictor import Predictor

LONGEST_S = 3600  # that the end waits for answers
RETRY_S = 2  # after which a client that was turned away may ask again


class Limits(NamedTuple):
    """What a server takes upon itself."""

    mebibytes: int = 32  # of a body
    megapixels: int = 50  # of a photo
    photos: int = 64  # of a request
    seconds: float = 60.0  # to receive a body, and again to answer it
    predicting: int = 2  # requests that are answered at once
    waiting: int = 8  # others that are received, or wait; further ones are turned away


class AnsweredFace(BaseModel):
    """A face, in pixels of the photo as it is displayed."""

    box: list[float] = Field(description="x0 y0 x1 y1")
    score: float = Field(description="of the detector")
    weak: bool = Field(description="whether the detector would rather not call it a face")
    pixels: int = Field(description="height of the box")
    turned: int = Field(description="degrees clockwise by which it lies in the photo")
    expression: str = Field(description="the most probable one")
    candidates: list[str] = Field(description="expressions that it may well show")
    uncertain: bool = Field(description="whether these are several")
    probabilities: dict[str, float]
    visible: dict[str, float] = Field(description="probability that a part can be seen")
    landmarks: list[list[float]] = Field(description="68 points x y, iBUG 300-W order")


class AnsweredPhoto(BaseModel):
    """A photo with its faces, the surest first, or why it cannot be read."""

    source: str = Field(description="name of its file, or its number")
    width: int | None = None
    height: int | None = None
    faces: list[AnsweredFace] | None = None
    error: str | None = None


class Answer(BaseModel):
    """The photos in the order in which they were sent."""

    photos: list[AnsweredPhoto]


class Refusal(BaseModel):
    """Why there is no answer, in one line."""

    error: str


class Health(BaseModel):
    """What answers here."""

    status: str
    version: str
    classes: list[str]
    detector: str


PHOTO = {"schema": {"type": "string", "format": "binary"}}
FILES = {"type": "object", "properties": {"photos": {"type": "array", "items": PHOTO["schema"]}}}
TEXTS = {
    "type": "object",
    "properties": {"photos": {"type": "array", "items": {"type": "string", "description": "base64, or a data URL"}}},
    "required": ["photos"],
}
BODY = {"content": {FORM: {"schema": FILES}, JSON: {"schema": TEXTS}, "image/*": PHOTO, BYTES: PHOTO}, "required": True}
REFUSALS = {
    400: "a form or JSON that cannot be read",
    408: "the body came too slowly",
    413: "too many bytes or photos",
    415: "a Content-Type that is not read",
    422: "no photo of the request can be read",
    503: "too many requests, or too much work; try again after Retry-After seconds",
}
RESPONSES: dict[int | str, dict[str, Any]] = {200: {"model": Answer}}
RESPONSES |= {status: {"model": Refusal, "description": why} for status, why in REFUSALS.items()}


def serve(predictor: Predictor, listening: socket.socket, limits: Limits) -> None:
    """Answer until Ctrl-C or SIGTERM; what is being answered then is ended."""
    warm_up(predictor)
    config = uvicorn.Config(
        application(predictor, limits),
        http=PatientProtocol,
        ws="none",
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=round(min(limits.seconds, LONGEST_S)),
    )
    uvicorn.Server(config).run(sockets=[listening])


def warm_up(predictor: Predictor) -> None:
    """Load and compile what the first photo would wait for."""
    predictor.predict([np.zeros((FACE_PX, FACE_PX, 3), np.uint8)])
    predictor.predict_faces(np.zeros((1, FACE_PX, FACE_PX), np.uint8))


def application(predictor: Predictor, limits: Limits) -> FastAPI:
    """The ASGI application, for any server of one process."""
    app = FastAPIOffline(redoc_url=None, title="mmfer", version=__version__, description="Expressions of faces.")
    pool, places = ThreadPoolExecutor(limits.predicting), asyncio.Semaphore(limits.predicting + limits.waiting)

    @app.post("/predict", responses=RESPONSES, openapi_extra={"requestBody": BODY})
    async def predict(request: Request) -> Response:
        """Faces of a photo or of several, and what they express."""
        kind_of(request.headers)
        if places.locked():
            raise HTTPException(503, "too many requests at once; try again", {"Retry-After": str(RETRY_S)})
        async with places:
            body = await received(request, limits)
            sent = await photos_in(body, request.headers, limits.photos)
            return reply(200, {"photos": await in_time(pool, partial(answer, predictor, sent, limits), limits.seconds)})

    @app.get("/health", response_model=Health)
    async def health() -> Response:
        """Whether it answers, and with what."""
        facts = {"version": __version__, "classes": predictor.classes, "detector": predictor.search.detector}
        return reply(200, {"status": "ok", **facts})

    @app.get("/", include_in_schema=False)
    async def pages() -> Response:
        return RedirectResponse("/docs")

    for fault in (HTTPException, MmferError, ClientDisconnect, Exception):
        app.add_exception_handler(fault, refused)
    return app


async def received(request: Request, limits: Limits) -> bytes:
    """The body of a request; HTTPException where it is too large or too slow."""
    most, body = limits.mebibytes * 2**20, bytearray()
    too_large = HTTPException(413, f"body of more than {limits.mebibytes} MiB; send fewer or smaller photos")
    if int(request.headers.get("content-length", 0)) > most:
        raise too_large
    try:
        with anyio.fail_after(limits.seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise too_large
    except TimeoutError:
        raise HTTPException(408, f"no whole body within {limits.seconds:g} s; send less, or faster") from None
    return bytes(body)


async def in_time(pool: ThreadPoolExecutor, work: Callable[[float], Any], seconds: float) -> Any:
    """What `work`, given its deadline, returns in a thread of the pool; HTTPException 503 where that takes too long."""
    try:
        with anyio.fail_after(seconds):
            return await asyncio.wrap_future(pool.submit(work, time.monotonic() + seconds))
    except TimeoutError:
        busy = f"no answer within {seconds:g} s; send fewer photos, or try again"
        raise HTTPException(503, busy, {"Retry-After": str(RETRY_S)}) from None


def answer(predictor: Predictor, sent: list[Sent], limits: Limits, deadline: float) -> list[dict[str, Any]]:
    """Photos -> each with its faces, or why it cannot be read; few of them are decoded at once.

    MmferError if none can be read, TimeoutError after the deadline.
    """
    rows = [as_dict(item, faces) for item, faces in answers(_decoded(sent, limits, deadline), predictor)]
    if all("error" in row for row in rows):
        several = f"none of {len(rows)} photos can be read; " if len(rows) > 1 else ""
        raise MmferError(f"{several}{rows[0]['error']}")
    return rows


def _decoded(sent: list[Sent], limits: Limits, deadline: float) -> Iterator[Picture | Fault]:
    for name, content in sent:
        if time.monotonic() > deadline:  # nobody waits any more
            raise TimeoutError
        try:
            photo = from_text(content, name) if isinstance(content, str) else content
            yield decode(photo, name, limits.megapixels * 1_000_000)
        except MmferError as error:
            yield Fault(name, str(error))


async def refused(request: Request, error: Exception) -> Response:
    """Why there is no answer, in one line; of a bug the log of the server says more."""
    if isinstance(error, HTTPException):
        return reply(error.status_code, {"error": " ".join(error.detail.split())}, error.headers)
    if isinstance(error, MmferError):
        return reply(422, {"error": str(error)})
    if isinstance(error, ClientDisconnect):
        return reply(400, {"error": "the connection ended before the body"})
    return reply(500, {"error": "a fault of the server; its log says more"})


def reply(status: int, content: Any, headers: Mapping[str, str] | None = None) -> Response:
    """A line of JSON, in ASCII: names of files may hold what UTF-8 cannot."""
    return Response(json.dumps(content) + "\n", status, headers, "application/json")
