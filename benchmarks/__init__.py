"""Speed and memory: scripts that print JSON. `python -m benchmarks` runs all and writes benchmarks/RESULTS.md."""
