"""Compare `camserve load` with NVIDIA's perf_analyzer on the same server, in turn, and print both.

    python benchmarks/load_generators.py [--bundle DIR] [--perf-analyzer PATH] [--rounds 5] [--seconds 2]

Without --bundle, MobileNetV2 is exported into build/load_generators first, which takes minutes. Without
--perf-analyzer, the wheel `perf-analyzer` is installed from PyPI into an environment under build/load_generators; its
program needs glibc 2.38 and the libstdc++ of GCC 13 (Ubuntu 24.04, Debian 13). Elsewhere, pass a program that starts
it with such libraries. Each round takes about 6 windows of --seconds for each concurrency. The network computes on one
core, so that the load generators, which run on the same host, do not slow it down.
"""

from __future__ import annotations

import argparse
import csv
import platform
import subprocess
import sys
import tempfile
import venv
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import NamedTuple

from camserve.bundle import load_bundle
from camserve.clients import LoadOptions, measure_load
from camserve.serving import TritonServer, publish

FOLDER = Path(__file__).parent.parent / "build" / "load_generators"
MODEL = "measured"
WINDOWS = 3
ANY = 0.99
ANY_PERCENT = "999"
"""Both measure the same number of windows, however much they differ; the medians of rounds are compared."""


class Measured(NamedTuple):
    """Images per second, and percentiles in milliseconds."""

    rate: float
    p50: float
    p99: float


class Compared(NamedTuple):
    """What both measure: all outputs, which perf_analyzer requests by default."""

    program: Path
    url: str
    outputs: list[str]
    seconds: float


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--perf-analyzer", type=Path)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a window")
    arguments = parser.parse_args()
    program = arguments.perf_analyzer or install()
    bundle = load_bundle(arguments.bundle or export())
    outputs = [spec.name for spec in bundle.contract.outputs]
    with tempfile.TemporaryDirectory() as folder:
        publish(bundle, Path(folder) / "repository", name=MODEL, options={"threads": 1})
        with TritonServer(Path(folder) / "repository") as server:
            print(
                f"{bundle.path.name} on {platform.processor() or platform.machine()}, {arguments.rounds} rounds in turn"
            )
            print("| concurrency | | camserve load | perf_analyzer | difference |\n|--:|---|--:|--:|--:|", flush=True)
            for concurrency in arguments.concurrency:
                compare(Compared(program, server.grpc_url, outputs, arguments.seconds), concurrency, arguments.rounds)


def compare(compared: Compared, concurrency: int, rounds: int) -> None:
    """Measure with both in turn, and print the medians."""
    measured: dict[str, list[Measured]] = defaultdict(list)
    for number in range(rounds):
        for name in ("ours", "theirs") if number % 2 else ("theirs", "ours"):
            one = ours(compared, concurrency) if name == "ours" else theirs(compared, concurrency)
            measured[name].append(one)
    for field in Measured._fields:
        own, other = (median(getattr(each, field) for each in measured[name]) for name in ("ours", "theirs"))
        difference = median(
            getattr(first, field) / getattr(second, field) - 1
            for first, second in zip(measured["ours"], measured["theirs"], strict=True)
        )
        unit = "images/s" if field == "rate" else f"{field}, ms"
        print(f"| {concurrency} | {unit} | {own:.2f} | {other:.2f} | {difference:+.1%} |", flush=True)


def ours(compared: Compared, concurrency: int) -> Measured:
    """Measure with `camserve load`."""
    options = LoadOptions(
        concurrency=(concurrency,),
        outputs=compared.outputs,
        window=compared.seconds,
        max_windows=WINDOWS,
        stability=ANY,
    )
    (point,) = measure_load(compared.url, MODEL, options).points
    if point.errors or point.stopped:
        raise SystemExit(f"camserve load: {dict(point.errors)} {point.stopped or ''}")
    return Measured(point.images_per_second, point.latency.p50 * 1e3, point.latency.p99 * 1e3)


def theirs(compared: Compared, concurrency: int) -> Measured:
    """Measure with perf_analyzer."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table.csv"
        load = [
            "-m",
            MODEL,
            "-i",
            "grpc",
            "-u",
            compared.url,
            "--concurrency-range",
            str(concurrency),
            "-f",
            str(table),
        ]
        windows = [
            "-p",
            str(round(compared.seconds * 1000)),
            "-r",
            str(WINDOWS),
            "-s",
            ANY_PERCENT,
            "--percentile",
            "99",
        ]
        done = subprocess.run(
            [compared.program, *load, *windows], capture_output=True, text=True, check=False, timeout=600
        )
        if done.returncode or not table.exists():
            raise SystemExit(f"perf_analyzer: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        with table.open(newline="", encoding="utf-8") as stream:
            (row,) = csv.DictReader(stream)
    return Measured(float(row["Inferences/Second"]), float(row["p50 latency"]) / 1e3, float(row["p99 latency"]) / 1e3)


def install() -> Path:
    """Install perf_analyzer into an environment of its own, once."""
    environment = FOLDER / "perf-analyzer"
    program = environment / "bin" / "perf_analyzer"
    if not program.exists():
        print(f"Installing perf-analyzer into {environment}", file=sys.stderr)
        venv.create(environment, with_pip=True)
        command = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "perf-analyzer>=2"]
        if subprocess.run(command, check=False).returncode:
            raise SystemExit("perf-analyzer cannot be installed here; pass a program with --perf-analyzer PATH")
    return program


def export() -> Path:
    """Export MobileNetV2 without trained weights, once."""
    bundle = FOLDER / "mobilenetv2"
    if not bundle.exists():
        print(f"Exporting MobileNetV2 into {bundle}", file=sys.stderr)
        program = Path(sys.executable).with_name("camserve")
        subprocess.run([program, "export", "keras:MobileNetV2", "--weights", "none", "--out", bundle], check=True)
    return bundle


if __name__ == "__main__":
    main()
