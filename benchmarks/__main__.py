"""Run the benchmarks one after the other and write their JSON, then RESULTS.md and its plots. `make benchmarks`"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from benchmarks import report

HERE = Path(__file__).parent
SCRIPTS = (
    "start", "hog", "augment", "clean", "landmarks", "predict", "onnx_model", "augment_extract",
    "scale",
)  # fmt: skip


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
    command = [sys.executable, "-m", f"benchmarks.{name}", *(["--quick"] if quick else [])]
    done = subprocess.run(command, cwd=HERE.parent, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == 0:
        text = done.stdout[done.stdout.index("{\n") :]  # what a training prints comes before it
        (results / f"{name}.json").write_text(json.dumps(json.loads(text), indent=1) + "\n", encoding="utf-8")
    return done.returncode == 0


if __name__ == "__main__":
    main()
