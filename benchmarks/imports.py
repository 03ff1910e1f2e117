"""Measure how long `import camserve.clients` takes, and how much of that its dependencies take.

    python benchmarks/imports.py [PYTHON ...] [--rounds 9]

Each PYTHON is an interpreter that has camserve's dependencies (default: the one that runs this file). The imports of
one round follow each other, so that a busy moment of the machine affects both; the table shows medians.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

SOURCE = Path(__file__).parent.parent / "src"
IMPORTS = ("pass", "import numpy, PIL.Image, pydantic, tritonclient.grpc", "from camserve.clients import *")


def main() -> None:
    """Print a line for each interpreter."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("pythons", nargs="*", default=[sys.executable], metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    print("| Python | the interpreter alone | with the dependencies | with camserve.clients |\n|---|---|---|---|")
    for python in arguments.pythons:
        version = subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
        for code in IMPORTS:
            seconds(python, code)  # keeps the bytecode
        rounds = [[seconds(python, code) for code in IMPORTS] for _ in range(arguments.rounds)]
        print(f"| {version} | " + " | ".join(f"{median(column):.2f} s" for column in zip(*rounds, strict=True)) + " |")


def environment() -> dict[str, str]:
    """Return this environment with the checkout on the path and bytecode cached, as after an installation."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(SOURCE)}


def seconds(python: str, code: str) -> float:
    """Return the seconds that a program with these arguments runs."""
    began = time.perf_counter()
    subprocess.run([python, "-c", code], env=environment(), check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
