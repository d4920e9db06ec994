"""Run the benchmarks one after the other and write their JSON, then RESULTS.md and its plots. `make benchmarks`"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from benchmarks import report

HERE = Path(__file__).parent
SCRIPTS = {  # result: its command, and what makes it quick; the short ones come first
    "start": (["start"], ["--quick"]),
    "hog": (["hog"], ["--quick"]),
    "augment": (["augment"], ["--quick"]),
    "clean": (["clean"], ["--quick"]),
    "landmarks": (["landmarks"], ["--quick"]),
    "predict": (["predict"], ["--quick"]),
    "detection": (["detection"], ["--quick"]),
    "video": (["video"], ["--quick"]),
    "onnx_model": (["onnx_model"], ["--quick"]),
    "serve": (["serve"], ["--quick"]),
    "convolution": (["convolution"], ["--quick"]),
    "loader": (["loader"], ["--quick"]),
    "training": (["training"], ["--quick"]),
    "ddp": (["ddp"], ["--quick"]),
    "scale_workers": (["scale", "workers"], ["--faces", "64", "--turns", "1"]),
    "scale_memory": (["scale", "memory"], ["--rows", "600", "1200"]),
    "augment_extract": (["augment_extract"], ["--quick"]),
}


def main() -> None:
    """All, or those that are named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("scripts", nargs="*", metavar="script", help=f"of {', '.join(SCRIPTS)}; none: all")
    parser.add_argument("--quick", action="store_true", help="toy sizes: shows that they run, the figures mean nothing")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of results/ and RESULTS.md")
    options = parser.parse_args()
    unknown = set(options.scripts) - set(SCRIPTS)
    if unknown:
        parser.error(f"no such script: {', '.join(sorted(unknown))}; there are {', '.join(SCRIPTS)}")
    results = options.out / "results"
    results.mkdir(parents=True, exist_ok=True)
    failed = [name for name in options.scripts or SCRIPTS if not measured(name, options.quick, results)]
    report.write(options.out)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def measured(name: str, quick: bool, results: Path) -> bool:
    """Run a script in a process of its own and keep its JSON; whether it ended well."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    command, toy = SCRIPTS[name]
    command = [sys.executable, "-m", f"benchmarks.{command[0]}", *command[1:], *(toy if quick else [])]
    done = subprocess.run(command, cwd=HERE.parent, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == 0:
        text = done.stdout[done.stdout.index("{\n") :]  # what a training prints comes before it
        result = {"command": " ".join(command[1:])} | json.loads(text) | {"quick": quick}
        (results / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return done.returncode == 0


if __name__ == "__main__":
    main()
