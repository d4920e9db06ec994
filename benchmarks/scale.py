"""Data stages beyond one core and one memory; prints JSON. `python -m benchmarks.scale workers`, `memory` or `shards`.

workers  faces a second of clean and extract by one worker and by two, in turns, for threads, loky and Dask; `gain` is
         what the second adds to the first, median over the turns. Processes have been started and warmed before.
memory   peak memory of clean, augment, extract and train, each in a process of its own, at several numbers of rows;
         clean has a thirtieth of faces. `anonymous_mib` leaves out pages of memmapped files, `resident_mib` does not.
shards   a data set of so many rows, all on the disk (about 7 KB a row): cut into shards of so many faces, augment and
         extract of each in processes of their own, the features joined; least and most of each cost over the shards.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from benchmarks.common import MADE_BY, interleaved, medians, print_result
from benchmarks.faces import write_clean_faces
from mmfer.config import AugmentParams, CleanParams, ExtractParams, TrainParams
from mmfer.data.duplicates import mark_duplicates
from mmfer.data.faceset import count_rows, digests, new_faceset, new_index, write_array
from mmfer.data.shards import cut, join
from mmfer.data.synthetic.faces import render_face
from mmfer.face.augment import write_augmented
from mmfer.face.clean import write_clean
from mmfer.face.extract import write_features
from mmfer.face.hog import hog
from mmfer.resources import STATUS, measured
from mmfer.training.train import train_all

COPIES = AugmentParams().copies


def write_rendered_faces(data: Path, faces: int) -> None:
    """A raw FaceSet of rendered faces, in which the detector finds something: a few of them over and over."""
    images = np.resize(np.stack([render_face(seed=seed)[0] for seed in range(20)]), (faces, 48, 48))
    index = mark_duplicates(new_index(["rendered"] * faces, np.zeros(faces), "train", digest=digests(images)))
    with new_faceset(data / "raw", "rendered", ["face"], index, MADE_BY) as folder:
        write_array(folder, "images", images)


def run_stage(data: Path, stage: str, workers: int) -> int:
    """Rows that a stage has written."""
    if stage == "clean":
        return len(write_clean(data / "raw", data / "cleaned", CleanParams(), workers))
    if stage == "augment":
        return len(write_augmented(data / "raw", data / "clean", data / "augmented", AugmentParams(), workers))
    if stage == "train":  # a few steps of a system that reads all arrays
        params = TrainParams(epochs=1, samples_per_epoch=256, select="last", device="cpu")
        os.chdir(data)  # where checkpoints go
        train_all(Path(), ("compact", {"kind": "compact"}), params, lambda *_: None)
        return count_rows(Path("features"))
    if stage == "join":
        return len(join(data, "features"))
    return len(write_features(data / "augmented", data / "clean", data / "features", ExtractParams(), workers))


@contextmanager
def clusters(workers: int) -> Iterator[Any]:
    """A local Dask cluster of so many processes of one thread each, as joblib's backend inside the block."""
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as c:
        yield c


def workers(faces: int, turns: int) -> dict[str, Any]:
    """What a second worker adds in clean and extract, by backend; and in a kernel that reads and writes nothing."""
    result: dict[str, Any] = {}

    def measure(backend: str, config: Callable[[int], Any]) -> None:
        for stage, folder in folders.items():

            def way(n: int, stage: str = stage, folder: Path = folder) -> None:
                with config(n):
                    run_stage(folder, stage, n)

            result[f"{stage}, {backend}"] = second_worker(lambda: way(1), lambda: way(2), turns)

    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        images, _ = write_clean_faces(data / "random", faces)
        run_stage(data / "random", "augment", 2)
        write_rendered_faces(data / "rendered", faces)
        folders = {"clean": data / "rendered", "extract": data / "random"}
        result["bare HOG, threads"] = second_worker(lambda: bare(images, 1), lambda: bare(images, 2), turns)
        measure("threads", lambda n: joblib.parallel_config("threading"))
        measure("loky", lambda n: joblib.parallel_config("loky"))
        with clusters(1) as one, clusters(2) as two:  # last, for schedulers are busy even when there is nothing to do
            measure("dask", lambda n: joblib.parallel_config("dask", client={1: one, 2: two}[n]))
    return {"faces": faces, "rows": faces * COPIES, "stages": result}


def bare(images: np.ndarray, workers: int) -> None:
    """The HOG of images, ten times, by threads: what the computer itself gives for a second one."""
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda _: hog(images, ExtractParams()), range(10)))


def second_worker(one: Callable[[], None], two: Callable[[], None], turns: int) -> dict[str, Any]:
    """Times of both in turns after a run to warm up, and what the second worker adds to the first."""
    two(), one()
    times = interleaved({"one": one, "two": two}, turns)
    gains = times["one"][:, 0] / times["two"][:, 0] - 1
    return {"gain": round(float(np.median(gains)), 3), "best": round(float(gains.max()), 3)} | medians(times)


def own_process(data: Path, stage: str) -> dict[str, float]:
    """Cost of a stage in a new process."""
    command = [sys.executable, "-m", "benchmarks.scale", "stage", str(data), stage]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(said.splitlines()[-1])  # a training talks before


def cost(data: Path, stage: str) -> dict[str, float]:
    """Rows, seconds, peak memory of a stage in this process."""
    with measured() as spent:
        rows = run_stage(data, stage, 2)
    # Not ru_maxrss, which begins with what the process had that started this one.
    (resident,) = (int(line.split()[1]) // 1024 for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return {"rows": rows, "seconds": spent["seconds"], "anonymous_mib": spent["peak_mib"], "resident_mib": resident}


def memory(sizes: list[int]) -> dict[str, Any]:
    """Peak memory by rows, and its growth from the smallest to the largest."""
    result: dict[str, Any] = {"clean": [], "augment": [], "extract": [], "train": []}
    for rows in sizes:
        with tempfile.TemporaryDirectory() as name:
            write_clean_faces(Path(name), rows // COPIES)
            write_rendered_faces(Path(name, "rendered"), rows // COPIES)
            for stage, costs in result.items():
                costs.append(own_process(Path(name, "rendered" if stage == "clean" else ""), stage))
    grown = {stage: round(costs[-1]["anonymous_mib"] - costs[0]["anonymous_mib"], 1) for stage, costs in result.items()}
    return result | {"growth_mib": grown}


def by_shards(rows: int, faces: int) -> dict[str, Any]:
    """A data set of so many rows cut into shards of so many faces; augment and extract of each, features joined."""
    result: dict[str, Any] = {"augment": [], "extract": []}
    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        write_clean_faces(data, rows // COPIES)
        folders = [shard.folder.parent for part in ("raw", "clean") for shard in cut(data, faces, part)]
        folders = folders[: len(folders) // 2]
        for folder in folders:
            for stage, costs in result.items():
                costs.append(own_process(folder, stage))
        joined = own_process(data, "join")
        size = sum(file.stat().st_size for file in data.rglob("*") if file.is_file())
    summary: dict[str, Any] = {"shards": len(folders), "join": joined, "gib_on_disk": round(size / 2**30, 1)}
    for stage, costs in result.items():
        summary[stage] = {key: [min(c[key] for c in costs), max(c[key] for c in costs)] for key in costs[0]}
    return summary


def main() -> None:
    """Measure what the command line names, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["workers", "memory", "shards", "stage"])
    parser.add_argument("names", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--faces", type=int, default=2048, help="workers: faces; shards: faces of a shard")
    parser.add_argument("--turns", type=int, default=5, help="workers: how often one and two take turns")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 861_270], help="memory, shards: rows")
    given = parser.parse_args()
    if given.what == "stage":  # of another process
        print(json.dumps(cost(Path(given.names[0]), given.names[1])))
        return
    ways = {
        "workers": lambda: workers(given.faces, given.turns),
        "memory": lambda: memory(given.rows),
        "shards": lambda: by_shards(given.rows[-1], given.faces),
    }
    print_result(ways[given.what], quick=False)


if __name__ == "__main__":
    main()
