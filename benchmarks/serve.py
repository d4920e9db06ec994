"""`mmfer serve` under load: 1,000 requests of 50 clients, each a photo with a face; times and memory; prints JSON.

A client that is turned away (503) asks again after the seconds that it is told. `asked` is the time of the request that
was answered, `waited` that since the client asked first. Clients and server share the cores. Memory is that of the
server when it has answered as many requests before, and after these.

`python -m benchmarks.serve [--quick]`
"""

import http.client
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import psutil

from benchmarks.common import run
from mmfer.data.synthetic.faces import render_face
from mmfer.use.connections import listen

COMMAND = [sys.executable, "-c", "from mmfer.cli import main; main()", "serve"]


@contextmanager
def served() -> Iterator[tuple[int, psutil.Process]]:
    """The port and the process of a server that answers."""
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([*COMMAND, "--port", str(port)], stdout=subprocess.DEVNULL) as process:
        try:
            while not healthy(port):
                time.sleep(0.1)
                assert process.poll() is None, "the server has ended"
            yield port, psutil.Process(process.pid)
        finally:
            process.terminate()


def healthy(port: int) -> bool:
    """Whether a server answers there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except ConnectionError:
        return False
    finally:
        connection.close()


def photo() -> bytes:
    """A PNG of 320 x 240 pixels with a face."""
    picture = np.full((240, 320), 150, np.uint8)
    picture[20:220, 60:260] = render_face("happy", seed=3, size=200, frontal=True)[0]
    return cv2.imencode(".png", picture)[1].tobytes()


def answered(port: int, body: bytes) -> tuple[float, float, int]:
    """Seconds of the request that was answered, seconds since the first one, and how often it was turned away."""
    first, turned_away = time.perf_counter(), 0
    while True:
        start = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        connection.request("POST", "/predict", body, {"Content-Type": "image/png"})
        response = connection.getresponse()
        text = response.read()
        connection.close()
        now = time.perf_counter()
        if response.status == 200:
            assert b'"expression"' in text
            return now - start, now - first, turned_away
        assert response.status == 503, text
        turned_away += 1
        time.sleep(float(response.headers["Retry-After"]))


def load(port: int, requests: int, clients: int) -> list[tuple[float, float, int]]:
    """As `answered`, of all requests."""
    body = photo()
    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(lambda _: answered(port, body), range(requests)))


def measure(quick: bool) -> dict[str, Any]:
    """As many requests before, so that what a server keeps once is in the memory before."""
    requests, clients = (20, 5) if quick else (1000, 50)
    with served() as (port, process):
        load(port, requests, clients)
        before, start = process.memory_info().rss, time.perf_counter()
        asked, waited, turned_away = zip(*load(port, requests, clients), strict=True)
        seconds, after = time.perf_counter() - start, process.memory_info().rss
    return {
        "sizes": {"requests": requests, "clients": clients},
        "asked_s": quantiles(asked),
        "waited_s": quantiles(waited),
        "turned_away": sum(turned_away),
        "answers_per_second": round(requests / seconds, 1),
        "memory_mib": {"before": round(before / 2**20, 1), "after": round(after / 2**20, 1)},
        "growth_mib": round((after - before) / 2**20, 1),
    }


def quantiles(seconds: tuple[float, ...]) -> dict[str, float]:
    """The median, and what one in a hundred exceeds."""
    return {f"p{share}": round(float(np.percentile(seconds, share)), 3) for share in (50, 99)}


if __name__ == "__main__":
    run(measure, __doc__)
