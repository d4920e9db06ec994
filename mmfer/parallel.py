"""Row ranges handed out to workers, through joblib: threads, unless the surroundings choose another backend.

In Python that is `joblib.parallel_config`; for a stage, from a shell or under `dvc repro`, the variable MMFER_BACKEND:
threading, loky, dask or ray. Where their cluster is, dask and ray read from their own variables,
DASK_SCHEDULER_ADDRESS and RAY_ADDRESS; without them they start workers on this computer. A job is a function of a
module with paths and numbers as arguments: whoever does it opens the files itself, and no array travels.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

import typer

from mmfer.errors import MmferError, require

BACKENDS = {"threading": [], "loky": [], "dask": ["distributed"], "ray": ["ray"]}  # and the packages that they need
ENGINES = {"joblib", "distributed", "ray"}  # packages whose exceptions tell of lost workers
CONNECT = "10s"  # how long a scheduler has for an answer

Result = TypeVar("Result")


def cores() -> int:
    """Cores that this process may use: of the computer, or what affinity and cgroups leave of them."""
    import joblib

    return joblib.cpu_count()


Workers = Annotated[
    int,
    typer.Option(
        min=1,
        default_factory=cores,
        show_default="the cores that it may use",
        help="Threads, or processes of MMFER_BACKEND=loky|dask|ray; any number gives the same bytes.",
    ),
]


def ranges(rows: int, size: int, workers: int) -> list[slice]:
    """Rows 0 to `rows` - 1 in slices of at most `size`, and of less where some workers would have none."""
    size = min(size, max(-(-rows // workers), 1))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def each(
    work: Callable[..., Result], jobs: Sequence[tuple], workers: int, name: str, prefer: str = "threads"
) -> list[Result]:
    """work(*job) of all jobs, in their order, by joblib's present backend, with a progress bar called `name`.

    Without such a backend by threads, or by "processes" where `prefer` says so: for work that is mostly Python's.

    MmferError where workers are lost and the backend cannot replace them.
    """
    from tqdm import tqdm

    try:
        return list(tqdm(_results(work, jobs, workers, prefer), total=len(jobs), desc=name, leave=False, disable=None))
    except Exception as error:
        if type(error).__module__.split(".")[0] not in ENGINES:
            raise
        lost = f"{type(error).__name__}: {error}".split("\n")[0]
        raise MmferError(f"{name}: no workers are left ({lost:.200}); check their logs, run it again") from error


def _results(work: Callable[..., Result], jobs: Sequence[tuple], workers: int, prefer: str) -> Iterable[Result]:
    import joblib

    backend, _ = joblib.parallel.get_active_backend(prefer=prefer)
    if hasattr(backend, "client"):
        # Not joblib's own way to Dask: it waits for ever for a job that Dask has given up.
        futures = backend.client.map(work, *zip(*jobs, strict=True), pure=False)
        return (future.result() for future in futures)
    streams = backend.supports_return_generator  # ray gives all results at once: no bar
    parallel = joblib.Parallel(workers, prefer=prefer, return_as="generator" if streams else "list")
    return parallel(joblib.delayed(work)(*job) for job in jobs)


@contextmanager
def backend(workers: int) -> Iterator[None]:
    """While the block runs, joblib has the backend that MMFER_BACKEND names; without it all is as it was.

    Clusters that dask or ray start here, of `workers` processes, end with the block. MmferError if the name is unknown,
    its package is not installed, or no scheduler answers.
    """
    name = os.environ.get("MMFER_BACKEND")
    if not name:
        yield
        return
    if name not in BACKENDS:
        raise MmferError(f"MMFER_BACKEND: unknown backend {name}; known: {', '.join(BACKENDS)}")
    require(*BACKENDS[name])
    import joblib

    start = {"dask": _dask, "ray": _ray}.get(name)
    with start(workers) if start else joblib.parallel_config(name):
        yield


@contextmanager
def _dask(workers: int) -> Iterator[None]:
    import dask
    import joblib
    from distributed import Client

    address = dask.config.get("scheduler-address", None)
    local: dict[str, Any] = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": ":0"}
    try:
        client = Client(address, timeout=CONNECT) if address else Client(**local)
    except (OSError, ValueError) as error:
        raise MmferError(f"DASK_SCHEDULER_ADDRESS: {address}: {error}; start the scheduler there first") from None
    with client, joblib.parallel_config("dask"):
        yield


@contextmanager
def _ray(workers: int) -> Iterator[None]:
    import joblib
    import ray
    from ray.util.joblib import register_ray

    register_ray()
    try:
        ray.init() if "RAY_ADDRESS" in os.environ else ray.init("local", num_cpus=workers, include_dashboard=False)
    except (ConnectionError, ValueError) as error:
        raise MmferError(f"RAY_ADDRESS: {' '.join(str(error).split())[:200]}; start the cluster there first") from None
    try:
        with joblib.parallel_config("ray"):
            yield
    finally:
        ray.shutdown()
