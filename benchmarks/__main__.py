"""All benchmarks, one after the other: ``python -m benchmarks [--rounds 3] [--large] [--json F]``.

Each prints a table of ratios that were measured side by side; see the module of each for its
own options and figures: kernel, overhead, engines, server. The last needs PostgreSQL
and the extra of its name, and is left out with a word where they are not.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

BENCHMARKS = ("kernel", "overhead", "engines", "server")


def main() -> None:
    """Run each benchmark in a process of its own."""
    parser = argparse.ArgumentParser(description="Ratios beside the peers, measured in one run.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", action="store_true", help="sweeps of 5000 runs too (an hour)")
    parser.add_argument("--json", type=Path, help="write all tables to this file as well")
    options = parser.parse_args()
    tables = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in BENCHMARKS:
            print(f"\n== {name}", flush=True)
            table = Path(folder, name)
            command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(table)]
            command += ["--rounds", str(options.rounds)]
            command += ["--large"] if options.large and name == "overhead" else []
            subprocess.run(command, check=True)
            if table.exists():
                tables[name] = json.loads(table.read_text())
    if options.json:
        options.json.write_text(json.dumps(tables, indent=1))


if __name__ == "__main__":
    main()
