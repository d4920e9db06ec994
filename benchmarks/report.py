"""RESULTS.md and its plots, from the JSON of the benchmarks."""

import json
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

SMALL = {1e-6: "ns", 1e-3: "µs", 1.0: "ms"}  # seconds below which a time is given in this unit


class Target(NamedTuple):
    """A figure of a script, found by its keys, that is to reach at least (or stay at most) some value."""

    script: str
    keys: tuple[str, ...]
    says: str
    goal: float
    at_most: bool = False
    limit: str = ""  # what limits it, shown where it is missed

    def value(self, results: dict[str, Any]) -> float | None:
        """The figure; None where its script has not run."""
        try:
            return float(reduce(dict.__getitem__, self.keys, results[self.script]))
        except KeyError:
            return None

    def share(self, value: float) -> float:
        """1: the goal is just reached; more is better."""
        return self.goal / max(value, 1e-9) if self.at_most else value / self.goal


TARGETS = [
    Target("clean", ("ratios", "dlib_to_clean_per_core"), "clean: bare dlib's time over ours, one core", 0.9),
    Target(
        "clean",
        ("ratios", "clean_1_to_2_threads"),
        "clean: speed of two threads over one",
        1.8,
        limit="idle cores, if load is above 0.5: a face takes two threads no more processor time than one (below)",
    ),
    Target(
        "augment_extract",
        ("ratios", "kernels_to_stages"),
        "augment + extract, 861,270 rows: bare kernels' time over ours",
        0.8,
        limit="writing 4.7 KB a row takes as long as a kernel; next row: kernels that write as many bytes",
    ),
    Target(
        "augment_extract",
        ("ratios", "kernels_and_writes_to_stages"),
        "augment + extract: time of bare kernels that write their bytes over ours",
        0.8,
    ),
    Target(
        "augment_extract",
        ("ratios", "loop_to_stages"),
        "augment + extract: time of a loop over images, one core, over ours",
        25,
    ),
    Target("hog", ("ratios", "scikit_image_to_ours"), "HOG: scikit-image's time over ours, one core", 40),
    Target(
        "training",
        ("ratios", "least_loop_to_bare"),
        "training: loop to bare network, the worst system",
        0.95,
        limit="scatter of the computer: what was below it in one run was above it in two others (docs/cost.md)",
    ),
    Target("training", ("online_cost", "compact_float32"), "online copies: share of compact's step", 0.10, True),
    Target("loader", ("ratios", "take_to_fetch"), "loader: np.take's time over ours", 0.5),
    Target("start", ("times", "mmfer_help", "median_s"), "`mmfer --help`, s", 0.6, True),
    Target("start", ("times", "train_help", "median_s"), "`python -m stages.train --help`, s", 0.6, True),
    Target(
        "start",
        ("ratios", "repro_to_status"),
        "`dvc repro`, nothing to do, over `dvc status`",
        1.5,
        True,
        "DVC reads dvc.yaml and dvc.lock twice in `repro` and once in `status`, with a YAML reader in Python, half of "
        "the time of both (cProfile of both commands); fewer or shorter lists of dependencies would lift it",
    ),
    Target("predict", ("times", "photo_640x480", "median_s"), "another photo of 640 x 480 with a face, s", 0.035, True),
    Target(
        "predict", ("times", "cold_start", "median_s"), "`mmfer predict`: from cold to the first answer, s", 2.0, True
    ),
    Target(
        "predict",
        ("ratios", "folder_to_bare"),
        "`mmfer predict` on 200 photos: its time over decoder, detector and network alone",
        1.3,
        True,
        "landmarks, alignment and HOG, which the other leaves out",
    ),
    Target("video", ("frames_a_second", "3 faces, stretches"), "video of 1920 x 1080, three faces: frames/s", 15),
    Target("serve", ("growth_mib",), "`mmfer serve`: memory from 1,000 requests to 2,000, MiB", 50, True),
    *(
        Target("scale_memory", ("growth_mib", stage), f"{stage}: memory from 9,990 to 861,270 rows, MiB", 100, True)
        for stage in ("clean", "augment", "extract", "train")
    ),
    *(
        Target(
            "scale_workers",
            ("stages", f"{stage}, {backend}", "gain"),
            f"{stage}: what a second {worker} adds",
            0.85,
            limit="what the computer gives a second core, and how steadily (docs/scale.md): `bare HOG, threads` below "
            "neither reads nor writes",
        )
        for backend, worker in (("threads", "thread"), ("dask", "Dask worker"))
        for stage in ("clean", "extract")
    ),
    *(
        Target(
            "ddp",
            ("systems", system, "second_adds"),
            f"training of {system}: what a second process adds",
            0.85,
            limit="the computer: `apart_adds` (below) is what a training adds that shares nothing; then gloo, whose "
            "threads exchange gradients on the same two cores; more cores than processes would lift it",
        )
        for system in ("compact", "ours_narrow")
    ),
]


def write(folder: Path) -> None:
    """Read folder/results/*.json, write folder/RESULTS.md and folder/*.svg."""
    files = sorted((folder / "results").glob("*.json"))
    results = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}
    text = [head(results), targets(results), *(section(name, result) for name, result in results.items())]
    (folder / "RESULTS.md").write_text("\n\n".join(text) + "\n", encoding="utf-8")
    plot_targets(results, folder / "targets.svg")
    if "training" in results:
        plot_training(results["training"], folder / "training.svg")


def head(results: dict[str, Any]) -> str:
    """Title, machine, and what the numbers are."""
    facts = next(iter(results.values()))["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    lines = [
        "# What it costs, measured",
        "Written by `make benchmarks` from the JSON files in `results/`; not to be edited. "
        f"{facts['processor']}, {facts['cores']} cores ({', '.join(facts['bfloat16']) or 'no bfloat16'}), "
        f"{facts['memory_gib']} GiB, Python {facts['python']}; {versions}.",
        "What is compared took turns in one process; a ratio is the median of the ratios of each turn. `load` is the "
        "mean number of processes that wanted a core in the minute before a script began: from 0.5 on, other work "
        "shared the cores; the script before counts too. What a second worker adds is compared within each turn.",
    ]
    if any(result["quick"] for result in results.values()):
        lines.append("**Toy sizes (`--quick`): these figures mean nothing.**")
    return "\n\n".join(lines)


def targets(results: dict[str, Any]) -> str:
    """The table of what was to be reached."""
    rows = ["## Targets", "", "| what | measured | target | met | what limits it |", "|---|---:|---:|---|---|"]
    for target in TARGETS:
        value = target.value(results)
        goal = f"{'at most' if target.at_most else 'at least'} {target.goal:g}"
        met = "not run" if value is None else "yes" if target.share(value) >= 1 else "no"
        shown = "–" if value is None else f"{value:.3g}"
        rows.append(f"| {target.says} | {shown} | {goal} | {met} | {target.limit if met == 'no' else ''} |")
    return "\n".join([*rows, "", "![Share of each target that is reached](targets.svg)"])


def section(name: str, result: dict[str, Any]) -> str:
    """All figures of one script."""
    sizes = "".join(f", {key} {value:,}" for key, value in result.get("sizes", {}).items())
    lines = [
        f"## {name}",
        f"`{result['command'].replace('-m', 'python -m', 1)}`, load {result['machine']['load_before']}{sizes}",
    ]
    if "times" in result:
        lines.append(times_table(result["times"]))
    if "recall" in result:
        lines.append(recall_table(result["faces"], result["recall"]))
    hidden = ("machine", "command", "seconds", "quick", "sizes", "times", "faces", "recall")
    rest = [f"- {key}: {shown(value)}" for key, value in result.items() if key not in hidden]
    lines.append("\n".join(rest))
    if name == "training":
        lines.append("![Samples per second of loop and bare network](training.svg)")
    return "\n\n".join(lines)


def times_table(times: dict[str, dict[str, float]]) -> str:
    """A row for each way."""
    rows = ["| | median | least | processor |", "|---|---:|---:|---:|"]
    for way, figures in times.items():
        cells = [unit(figures[key]) if key in figures else "–" for key in ("median_s", "least_s", "processor_s")]
        rows.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(rows)


def recall_table(faces: dict[str, int], recall: dict[str, dict[str, float]]) -> str:
    """What each detector finds, in %, of each kind (rows) and size (columns) of faces; how many there are."""
    names = [name.split(", ") for name in faces]
    kinds, sizes = ([*dict.fromkeys(column)] for column in zip(*names, strict=True))
    sizes.sort(key=lambda size: -int(size.split()[0]))
    rows = [f"| found, % | detector | {' | '.join(sizes)} |", f"|---|---|{'---:|' * len(sizes)}"]
    for kind in kinds:
        keys = [f"{kind}, {size}" for size in sizes]
        for detector, shares in recall.items():
            cells = [f"{100 * shares[key]:.1f} of {faces[key]}" if key in faces else "–" for key in keys]
            rows.append(f"| {kind} | {detector} | {' | '.join(cells)} |")
    return "\n".join(rows)


def unit(seconds: float) -> str:
    """3 significant digits with a unit."""
    for limit, name in SMALL.items():
        if seconds < limit:
            return f"{seconds / limit * 1000:.3g} {name}"
    return f"{seconds:.3g} s"


def shown(value: Any) -> str:
    """A figure, or a line of named ones."""
    if isinstance(value, dict):
        return "; ".join(f"{key} {shown(one)}" for key, one in value.items())
    if isinstance(value, list):
        return "; ".join(shown(one) for one in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def plot_targets(results: dict[str, Any], path: Path) -> None:
    """A bar for each target: how far it is reached."""
    plt = _pyplot()
    reached = [(t.says, t.share(value)) for t in TARGETS if (value := t.value(results)) is not None]
    figure, axes = plt.subplots(figsize=(9, 0.6 + 0.36 * len(reached)), layout="constrained")
    labels, shares = [label.replace("`", "") for label, _ in reached][::-1], [share for _, share in reached][::-1]
    bars = axes.barh(labels, shares, color=["#2a7f8e" if share >= 1 else "#c8553d" for share in shares])
    axes.bar_label(bars, [f"{share:.2f}" for share in shares], padding=3, bbox={"color": "white", "pad": 1})
    axes.axvline(1, color="black", linewidth=1, zorder=0)
    axes.set(xscale="log", xlabel="share of the target that is reached (1: just met)")
    axes.set_xlim(min([0.4, *(0.8 * share for share in shares)]), 2 * max([1, *shares]))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def plot_training(result: dict[str, Any], path: Path) -> None:
    """Samples per second of the loop beside those of the bare network."""
    plt = _pyplot()
    rates = result["samples_per_second"]
    names = [name for name in rates if "bare" in rates[name]]
    figure, axes = plt.subplots(figsize=(9, 0.8 + 0.45 * len(names)), layout="constrained")
    places = range(len(names))
    for offset, way, colour in ((0.2, "bare", "#b8b8b8"), (-0.2, "loop", "#2a7f8e")):
        values = [rates[name][way] for name in names]
        bars = axes.barh([place + offset for place in places], values, height=0.38, color=colour, label=way)
        axes.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3, fontsize=8)
    axes.set(yticks=list(places), yticklabels=names, xscale="log", xlabel="samples per second, training")
    axes.invert_yaxis()
    axes.legend(frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "mmfer"  # the same bytes for the same figures
    from matplotlib import pyplot

    return pyplot


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})
    _pyplot().close(figure)
