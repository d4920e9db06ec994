"""The body of a request to `mmfer serve` -> the photos in it: a photo as it is, the files of a form, or JSON."""

import json
from collections.abc import AsyncGenerator, Mapping

from starlette.datastructures import Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

JSON, FORM, BYTES = "application/json", "multipart/form-data", "application/octet-stream"
KINDS = f"image/* or {BYTES} (one photo), {FORM} (files), or {JSON}"
SHAPE = '{"photos": [...]} with a photo or more, each as base64 or as a data URL'
MARKS = 4  # braces, brackets and commas of JSON for each photo that may be sent: enough, and nothing grows in memory
NAME = 200  # characters of a file's name
Sent = tuple[str, bytes | str]  # a name, and the bytes of a photo, or their base64 or data URL


def kind_of(headers: Mapping[str, str]) -> str:
    """What the body is said to be; HTTPException 415 if that is not known here."""
    kind = headers.get("content-type", BYTES).partition(";")[0].strip().lower()
    if kind not in (JSON, FORM, BYTES) and not kind.startswith("image/"):
        raise HTTPException(415, f"Content-Type {kind!r} is not read; send {KINDS}")
    return kind


async def photos_in(body: bytes, headers: Headers, most: int) -> list[Sent]:
    """The photos of a body, `most` at most; HTTPException 400 or 413 if it holds none or too many."""
    kind = kind_of(headers)
    if kind == FORM:
        sent = await _in_form(body, headers, most)
    else:
        sent = _in_json(body, most) if kind == JSON else [("photo 0", body)]
    if len(sent) > most:
        raise HTTPException(413, f"{len(sent)} photos, at most {most}; send them in several requests")
    return sent


def _in_json(body: bytes, most: int) -> list[Sent]:
    if sum(map(body.count, (b"{", b"[", b","))) > MARKS * most:
        raise HTTPException(400, f"JSON of too many parts; send {SHAPE}")
    try:
        given = json.loads(body)
    except ValueError as error:
        raise HTTPException(400, f"not JSON ({error}); send {SHAPE}") from None
    photos = given.get("photos") if isinstance(given, dict) and len(given) == 1 else None
    if not photos or not isinstance(photos, list) or not all(isinstance(photo, str) for photo in photos):
        raise HTTPException(400, f"JSON without photos; send {SHAPE}")
    return [(f"photo {number}", photo) for number, photo in enumerate(photos)]


async def _in_form(body: bytes, headers: Headers, most: int) -> list[Sent]:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(headers, stream(), max_files=most, max_fields=most, max_part_size=len(body))
    parser.spool_max_size = len(body) + 1  # larger files would be written to the disk
    try:
        form = await parser.parse()
    except (MultiPartException, UnicodeError) as error:  # the latter: a charset that names cannot be read by
        reason = getattr(error, "message", error)
        raise HTTPException(400, f"a form that cannot be read ({reason}); send files as {FORM}") from None
    sent: list[Sent] = []
    for number, (_, value) in enumerate(form.multi_items()):
        named = value.filename if isinstance(value, UploadFile) else None
        name = named[:NAME] if named else f"photo {number}"
        sent.append((name, await value.read() if isinstance(value, UploadFile) else value))
    if not sent:
        raise HTTPException(400, f"a form without files; send them as {FORM}")
    return sent
