"""All benchmarks, one after the other: ``python -m benchmarks [--rounds 3]``.

Each prints a table of ratios that were measured side by side; see the module of each for its
own options and figures: launcher, kernel, overhead, engines, server. The last needs PostgreSQL
and the extra of its name, and is left out with a word where they are not.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

BENCHMARKS = ("launcher", "kernel", "overhead", "engines", "server")


def main() -> None:
    """Run each benchmark in a process of its own."""
    parser = argparse.ArgumentParser(description="Ratios beside the peers, measured in one run.")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for name in BENCHMARKS:
        print(f"\n== {name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", "--rounds", str(options.rounds)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
