"""Pictures that many tests here read, cameras, and a browser."""

import shutil

import cv2
import numpy as np
import pytest

from mmfer.use import live
from tests.use.photos import write_video

CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)


@pytest.fixture
def colours():
    """A picture (40, 60, 3) of four even quarters."""
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:20, :30], picture[:20, 30:] = (200, 40, 40), (40, 180, 40)
    picture[20:, :30], picture[20:, 30:] = (40, 40, 220), (240, 240, 240)
    return picture


@pytest.fixture
def video(tmp_path):
    """Twelve frames that grow lighter."""
    path = tmp_path / "some.mp4"
    write_video(path, [np.full((64, 96, 3), 20 * n, np.uint8) for n in range(12)])
    return path


@pytest.fixture
def plug_in(monkeypatch):
    """Makes a fake camera the one that OpenCV opens; nothing is waited for longer than half a second."""
    monkeypatch.setattr(live, "PATIENCE", 0.5)

    def plug(camera):
        monkeypatch.setattr(cv2, "VideoCapture", lambda *source: camera)
        return camera

    return plug


@pytest.fixture
def browser():
    """A headless Chromium whose camera shows a test picture."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    quiet = "no-sandbox disable-gpu disable-quic disable-background-networking disable-component-update disable-sync"
    camera = "use-fake-ui-for-media-stream use-fake-device-for-media-stream"
    with driver.sync_playwright() as play:
        opened = play.chromium.launch(
            executable_path=CHROMIUM, args=[f"--{flag}" for flag in f"{quiet} {camera}".split()]
        )
        yield opened
        opened.close()
