"""The pictures of docs/demo.md: the page of `mmfer demo` with the mouth of a face of its example hidden.

`python tools/demo_pictures.py docs/demo-desktop.png docs/demo-phone.png`; it needs playwright and a Chromium.
"""

import shutil
import socket
import subprocess
import sys
import time

from playwright.sync_api import Browser, sync_playwright

WIDTHS, PHONE_PX = (1280, 390), 1570  # of the windows; how much of the page on a phone is shown
WAIT_MS = 600_000  # for an answer, on a busy machine


def show(browser: Browser, address: str, width: int, picture: str) -> None:
    """Take the example, hide the mouth, and save what a window so wide shows."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.set_default_timeout(WAIT_MS)
    page.goto(address)
    page.get_by_text("an example").click()
    page.get_by_text("What each view adds").wait_for()
    page.get_by_text("Hide mouth").click()
    page.get_by_text("points)").first.wait_for()
    page.get_by_text("Probably hidden").wait_for()
    page.wait_for_timeout(5000)  # till what is not drawn yet is marked so
    page.wait_for_function("!document.querySelector('[data-stale=true], [data-testid=stStatusWidget]')")
    page.mouse.move(0, 0)
    height = page.locator("[data-testid=stMainBlockContainer]").bounding_box()["height"]
    height = round(height) if width > PHONE_PX / 2 else PHONE_PX
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_timeout(3000)
    page.screenshot(path=picture)


def main() -> None:
    """Start the page, show it at each width, end it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mmfer", "demo", "--no-browser", "--port", str(port)]
    server = subprocess.Popen(command)
    try:
        while server.poll() is None and socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(0.5)
        chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for width, picture in zip(WIDTHS, sys.argv[1:], strict=True):
                show(browser, f"http://127.0.0.1:{port}", width, picture)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
