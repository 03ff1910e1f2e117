"""Measure camserve against what a user would choose instead, on this machine.

    python benchmarks/bench [--quick] [--only PART,...] [--write-docs]

Parts, each in a process of its own (default: all):

in_process  Keras, TensorFlow, and what Keras and OpenVINO convert, beside camserve's files in every precision.
map_cost    The map beside the answer alone, the way of the notebooks, and Grad-CAM in TensorFlow.
served      The embedded Triton beside MLServer, KServe, LitServe, BentoML and Ray Serve.
growth      Batch, concurrency, image size, rows, models; drawn.
limit       Plain matrix products, and how much of their speed ResNet50 reaches.

Everything that is compared takes turns in short rounds, every second one in the opposite order; rates are medians over
the rounds, ratios are medians of the ratios within a round. Written are build/bench/bench.md, bench.json and the plots;
--write-docs puts tables and plots into docs/.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.pop(0)  # this folder, whose modules are those of the package `bench`
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1]))

from support.scoring.report import describe_host

from bench.document import block, check_page, describe, update_page, write_results
from bench.parts import PARTS, Measured, measure_part
from bench.settings import Settings
from camserve.cores import host_cores

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Measure the parts, print their tables as they come, and return the exit code."""
    options = parse()
    settings = Settings(options.output.resolve(), options.cores, options.quick)
    page = ROOT / "docs" / "benchmarks.md"
    if options.write_docs:
        check_page(page, options.only)
    settings.folder.mkdir(parents=True, exist_ok=True)
    host = describe_host()
    print(describe(host), flush=True)
    results, failed = measure(options.only, settings, host)
    write_results(results, host, settings.folder, quick=settings.quick)
    if options.write_docs:
        update_page(page, results, host, settings.folder, quick=settings.quick)
    print(f"\n{sum(each.seconds for each in results) / 60:.1f} minutes: {settings.folder / 'bench.md'}")
    for part in failed:
        print(f"error: the part {part} failed; the reason is printed above", file=sys.stderr)
    return 1 if failed else 0


def measure(parts: list[str], settings: Settings, host: dict[str, object]) -> tuple[list[Measured], list[str]]:
    """Return the results of the parts, and the names of those that failed."""
    results, failed = [], []
    for part in parts:
        print(f"\n## {part}\n", flush=True)
        try:
            measured = measure_part(part, settings)
        except Exception:  # noqa: BLE001 - the other parts can be measured
            traceback.print_exc()
            failed.append(part)
        else:
            print(block(measured, host, quick=settings.quick), flush=True)
            results.append(measured)
    return results, failed


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/bench",
        description="Measure camserve against what a user would choose instead, on this machine.",
        epilog=f"Parts: {', '.join(PARTS)}.",
    )
    parser.add_argument("--quick", action="store_true", help="a rough result in less time")
    parser.add_argument("--only", type=part_names, default=list(PARTS), metavar="PART,...", help="measure these parts")
    parser.add_argument("--cores", type=int, default=host_cores(), help="threads of everything (default: all cores)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench", help="folder of caches and results")
    parser.add_argument("--write-docs", action="store_true", help="put tables and plots into docs/benchmarks.md")
    return parser.parse_args()


def part_names(text: str) -> list[str]:
    """Read a list of parts, and return it in the order of measurement."""
    names = text.split(",")
    if unknown := sorted(set(names) - set(PARTS)):
        raise argparse.ArgumentTypeError(f"unknown part {unknown[0]!r}; the parts are: {', '.join(PARTS)}")
    return [part for part in PARTS if part in names]


if __name__ == "__main__":
    sys.exit(main())
