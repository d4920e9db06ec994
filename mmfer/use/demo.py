"""The page of `mmfer demo`: a photo, its faces, what each was taken for and why, and what changes of it do to that.

`serve` runs Streamlit on this file, on this computer alone. Photos live in the memory of the session that brought them.
"""

import errno
import functools
import html
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from mmfer.config import ExtractParams
from mmfer.errors import MmferError
from mmfer.use.demo_pictures import (
    change_photo,
    draw_hog,
    draw_landmarks,
    draw_saliency,
    example_photo,
    fit,
    mark_faces,
    same_face,
)
from mmfer.use.limits import about
from mmfer.use.photos import decode
from mmfer.use.predictor import Explanation, Face, Predictor

HOST, UPLOAD_MB = "127.0.0.1", 20
VIEWS = {
    "image": ("the picture", "grey pixels"),
    "landmarks": ("the 68 points", "shape"),
    "hog": ("the edges", "HOG"),
}
STYLE = """<style>
.stMainBlockContainer {max-width: 1120px; padding-top: 2.5rem; padding-bottom: 2rem}
.bars {display: grid; grid-template-columns: max-content 1fr 3rem; gap: .3rem .6rem}
.bars {align-items: center; font-size: .9rem}
.bars i {background: rgba(128, 128, 128, .22); border-radius: 4px; height: .8rem; position: relative; display: block}
.bars b {background: #0072B2; border-radius: 4px; height: 100%; display: block}
.bars u {background: #D55E00; width: 3px; height: 1.3rem; top: -.25rem; position: absolute; margin-left: -1px}
.bars span {text-align: right; font-variant-numeric: tabular-nums}
.bars .top {font-weight: 600}
</style>"""
BUSY = threading.Lock()  # one analysis at a time: withholding a view changes the network that all sessions share


@functools.cache
def load(weights: str | None) -> Predictor:
    """The predictor of the package (None), a model folder or an ONNX file; loaded once, for all sessions."""
    return Predictor.load(weights)


def serve(weights: Path | None, port: int, browser: bool) -> None:
    """Run the page until Ctrl-C; MmferError where the weights cannot be opened or the port is in use."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server that has just ended is no hindrance
        try:
            probe.bind((HOST, port))
        except OSError as error:
            reason = "in use" if error.errno == errno.EADDRINUSE else error.strerror
            raise MmferError(f"port {port}: {reason}; name another one with --port") from None
    chosen = None if weights is None else str(weights)
    load(chosen)
    from streamlit.web.cli import main

    keep_to_memory()
    options = {
        "server.address": HOST,
        "server.port": port,
        "server.maxUploadSize": UPLOAD_MB,
        "server.fileWatcherType": "none",
        "server.showEmailPrompt": False,
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
    } | ({} if browser else {"server.headless": True})
    flags = [f"--{name}={str(value).lower()}" for name, value in options.items()]
    main(["run", __file__, *flags, "--", *([chosen] if chosen else [])], standalone_mode=False)


def keep_to_memory() -> None:
    """Take three habits from Streamlit that its options leave: they write an upload, keep it, and ask the internet."""
    from starlette.formparsers import MultiPartParser
    from streamlit import net_util
    from streamlit.runtime.memory_session_storage import MemorySessionStorage

    MultiPartParser.spool_max_size = (UPLOAD_MB + 1) * 2**20  # larger parts of a form become temporary files
    MemorySessionStorage.save = lambda self, info: info.session.shutdown()  # else kept in case the page comes back
    net_util.get_external_ip = lambda: None  # asked for when a page of another site knocks


def bars(probabilities: dict[str, float], before: dict[str, float] | None = None) -> str:
    """HTML of a bar for each class, the most probable in bold; a mark where the bar ended `before`."""
    rows, top = [], max(probabilities, key=probabilities.__getitem__)
    for name, value in probabilities.items():
        mark = f'<u style="left:{before[name]:.1%}"></u>' if before else ""
        bold = ' class="top"' if name == top else ""
        rows.append(f"<div{bold}>{html.escape(name)}</div><i><b style='width:{value:.1%}'></b>{mark}</i>")
        rows.append(f"<span{bold}>{value:.0%}</span>")
    return f'<div class="bars">{"".join(rows)}</div>'


def verdict_without(expression: str, plain: dict[str, float], without: dict[str, float]) -> str:
    """One line on what withholding a view did to the verdict."""
    now, points = max(without, key=without.__getitem__), 100 * (without[expression] - plain[expression])
    moved = f"{plain[expression]:.0%} → {without[expression]:.0%}"
    if now != expression:
        return f"Then **{now}** ({expression}: {moved})."
    if abs(points) < 3:
        return f"Still **{now}**, about as sure ({moved})."
    return f"Still **{now}**, {'more' if points > 0 else 'less'} sure ({moved})."


def kept(name: str, key: Any, compute: Callable[[], Any]) -> Any:
    """What `compute` returned last under this name in this session; computed again where `key` is another."""
    if st.session_state.get(name, (None,))[0] != key:
        with BUSY:
            st.session_state[name] = key, compute()
    return st.session_state[name][1]


def page(weights: str | None = None) -> None:
    """Draw the page, from top to bottom, as Streamlit does at each move of a control."""
    st.set_page_config(page_title="mmfer", layout="wide")
    st.html(STYLE)
    st.header("What does this face express?", anchor=False)
    predictor = load(weights)
    photo_part(predictor)
    st.divider()
    st.caption(about(None if weights is None else predictor.model.facts["dataset"]))


def photo_part(predictor: Predictor) -> None:
    """Ask for a photo, find its faces, show them."""
    source = st.radio(
        "Photo from", ["a file", "the camera", "an example"], horizontal=True, label_visibility="collapsed"
    )
    if source == "a file":
        # Any name will do, as for `mmfer predict`; what is no photo gets a message below, which the browser's lacks.
        file = st.file_uploader(f"A photo of at most {UPLOAD_MB} MB; a larger file turns red and is not sent.")
    else:
        file = st.camera_input("Photo", label_visibility="collapsed") if source == "the camera" else None
    if file is None and source != "an example":
        for name in ("photo", "clean", "changed", "reasons"):  # a photo that was taken away is forgotten
            st.session_state.pop(name, None)
        st.info("Drop or take a photo with a face: its expression is named, with what carried the decision.")
        return
    key = file.file_id if file else source
    try:
        pixels = kept(
            "photo", key, lambda: fit(decode(file.getvalue(), "This file").pixels) if file else example_photo()
        )
    except MmferError as error:
        st.error(str(error))
        return
    faces = kept("clean", key, lambda: predictor.predict([pixels])[0])
    if not faces:
        st.warning("No face was found.")
        st.columns(2)[0].image(pixels, width="stretch", output_format="JPEG")
        return
    number = 0
    if len(faces) > 1:
        names = [f"{place}: {face.expression}" for place, face in enumerate(faces, start=1)]
        number = st.selectbox("Face, the surest first", range(len(faces)), format_func=names.__getitem__)
    changes_part(predictor, key, pixels, faces, faces[number])


def changes_part(predictor: Predictor, photo: str, pixels: np.ndarray, faces: list[Face], face: Face) -> None:
    """The controls, the photo as it is and as they change it, and why the face is taken for what it is."""
    controls = st.columns(3, vertical_alignment="center", gap="medium")
    light = controls[0].slider("Brightness", -80, 80, 0, 5, format="%+d %%") / 100
    contrast = controls[1].slider("Contrast", 20, 200, 100, 10, format="%d %%") / 100
    toggles = controls[2].container(horizontal=True, gap="medium")
    mouth, eyes = toggles.toggle("Hide mouth"), toggles.toggle("Hide eyes")
    change = light, contrast, mouth, eyes
    plain = change == (0, 1, False, False)
    left, right = st.columns(2, gap="medium")
    left.markdown("**The photo**")
    left.image(mark_faces(pixels, faces, face), width="stretch", output_format="JPEG")
    verdict_part(right if plain else left, face)
    subject, title = face, "What the network sees"
    if plain:
        right.info("Move a control above to darken, lighten or hide parts of the photo, and see what changes.")
    else:
        altered = change_photo(pixels, faces, *change)
        found = kept("changed", (photo, change), lambda: predictor.predict([altered])[0])
        again = same_face(face, found)
        right.markdown("**Changed**")
        right.image(mark_faces(altered, found, again), width="stretch", output_format="JPEG")
        if again is None:
            right.warning("After this change the face is not found any more.")
            return
        subject, title = again, f"{title} after the change"
        verdict_part(right, subject, face)
    key = photo, change, subject.box
    seen, explanation = kept("reasons", key, lambda: (predictor.see(subject.image[None]), predictor.explain(subject)))
    reasons_part(title, predictor, seen, explanation)


def verdict_part(place: Any, face: Face, before: Face | None = None) -> None:
    """What a face expresses, as a line and bars; with what became of the verdict `before` a change."""
    share = f"{face.probabilities[face.expression]:.0%}"
    if before is None:
        others = f"; it may as well be {' or '.join(face.candidates[1:])}" if face.uncertain else ""
        place.markdown(f"Most probably **{face.expression}**, {share}{others}")
        place.html(bars(face.probabilities))
        hidden_part(place, face)
        return
    was, now = (of.probabilities[before.expression] for of in (before, face))
    same = face.expression == before.expression
    lead = "Still most probably" if same else f"Now most probably **{face.expression}**, {share};"
    name = f"**{before.expression}**" if same else before.expression
    place.markdown(f"{lead} {name}: {was:.0%} → {now:.0%} ({100 * (now - was):+.0f} points)")
    place.html(bars(face.probabilities, before.probabilities))
    place.caption("Orange marks: the photo as it was.")
    hidden_part(place, face)


def hidden_part(place: Any, face: Face) -> None:
    """Which parts of a face can probably not be seen, where there are such."""
    if face.hidden:
        parts = ", ".join(f"{part} ({1 - face.visible[part]:.0%})" for part in face.hidden)
        place.caption(f"Probably hidden: {parts}.")


def reasons_part(title: str, predictor: Predictor, seen: dict[str, np.ndarray], explanation: Explanation) -> None:
    """What the network is given of a face, which parts of it matter, and what it says without each view."""
    st.subheader(title, anchor=False)
    image, described = seen["images"][0], seen["hog"][0]
    points, verdict = 100 * max(explanation.saliency.max(), 0), explanation.expression
    pictures = [
        (draw_landmarks(image, seen["landmarks"][0]), "**68 points** on the face, 48 x 48 pixels"),
        (draw_hog(described, ExtractParams(**predictor.model.facts["made_by"]["params"])), "**Edges** (HOG)"),
        (
            draw_saliency(image, explanation.saliency),
            f"**What counts for {verdict}**: hiding orange parts costs up to {points:.0f} points, blue ones adds",
        ),
    ]
    for column, (picture, caption) in zip(st.columns(3, gap="medium"), pictures, strict=True):
        column.image(picture, caption=caption, width="stretch")
    st.subheader("What each view adds", anchor=False)
    if not explanation.without:
        st.caption("The views of this model cannot be separated.")
        return
    ways = f"The network looks at a face in {len(explanation.without)} ways. Here each is taken from it in turn."
    st.caption(f"{ways} Orange marks: with all of them.")
    columns = st.columns(len(explanation.without), gap="medium")
    for column, (view, without) in zip(columns, explanation.without.items(), strict=True):
        name, meaning = VIEWS.get(view, (view, ""))
        column.markdown(f"**Without {name}** ({meaning})")
        column.markdown(verdict_without(verdict, explanation.probabilities, without))
        column.html(bars(without, explanation.probabilities))


if __name__ == "__main__":  # run by Streamlit, which puts the script's folder on the path: our statistics.py would
    sys.path[:] = [place for place in sys.path if place != str(Path(__file__).parent)]  # hide Python's
    from mmfer.use import demo  # noqa: PLW0406  the module that `serve` is in, whose predictor is loaded

    demo.page(*sys.argv[1:])
