"""Compare `camserve tune` with the exhaustive grid on this host: images per second, time, and the limit.

    python benchmarks/tune.py BUNDLE_DIR... [--p99 MS] [--concurrency N] [--readings 2] [--seconds 1] [--grid-time 900]

The grid measures every combination of the same choices with `--readings` readings of `--seconds`, at one number of
requests in flight: that of tune's winner. At all numbers it would take as many times as long. Combinations for which
`--grid-time` is not enough are counted. The best ten of the grid and tune's winner are then measured six times in turn,
which gives the ratio of their images per second, and the p99 of the winner is measured 20 times.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from random import Random
from statistics import fmean, median
from typing import cast

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from camserve.bundle import load_bundle
from camserve.cores import host_cores
from camserve.errors import CamserveError
from camserve.serving.config.backends import Backend
from camserve.serving.config.named_options import format_value
from camserve.tune.bench import TritonBench
from camserve.tune.choices import Candidate, Choices, first_candidates, grid
from camserve.tune.result import TuneResult
from camserve.tune.run import Tuning

FINAL_ROUNDS, AFTERWARDS, FINALISTS = 6, 20, 10


def main() -> None:
    """Tune, measure the grid, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--p99", type=float)
    parser.add_argument("--concurrency", type=int)
    parser.add_argument("--readings", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--time", type=float, default=300.0, help="time limit of tune")
    parser.add_argument("--grid-time", type=float, default=900.0, help="time limit of the grid")
    arguments = parser.parse_args()
    result = Tuning(
        arguments.bundles, limit=arguments.p99, concurrency=arguments.concurrency, seconds=arguments.time
    ).run()
    winner = chosen(result)
    point = result.winner_point
    if point is None:
        raise SystemExit("tune found no winner")
    reached = f"{point.images_per_second:.1f} images/s with {point.concurrency} in flight, p99 {point.p99_ms:.1f} ms"
    print(f"tune: {describe(winner)}: {reached}, in {result.seconds:.0f} s", flush=True)
    for note in result.notes:
        print(f"  {note}")
    measure_grid(arguments, winner, point.concurrency)


def chosen(result: TuneResult) -> Candidate:
    """Return the winner as a candidate."""
    winner = result.winner
    if winner is None:
        raise SystemExit("tune found no winner")
    options = {name: winner.options[name] for name in Candidate.__dataclass_fields__ if name in winner.options}
    return Candidate(winner.bundle, winner.precision, cast("Backend", winner.backend), **options)


def measure_grid(arguments: argparse.Namespace, winner: Candidate, level: int) -> None:
    """Measure the grid, the best of it beside the winner, and the winner again."""
    bundles = {str(path.absolute()): load_bundle(path) for path in arguments.bundles}
    choices = Choices(host_cores())
    candidates = grid(first_candidates(bundles.values(), choices.cores)[0], choices)
    Random(0).shuffle(candidates)  # so that those for which the time is not enough are of every kind
    rates: dict[Candidate, list[float]] = {}
    began = time.monotonic()
    with TritonBench(bundles, 1e6) as bench:
        measured = 0
        for candidate in candidates:
            if time.monotonic() - began > arguments.grid_time:
                break
            try:
                readings = [bench.read(candidate, level, arguments.seconds) for _ in range(arguments.readings)]
            except CamserveError as error:
                print(f"  {describe(candidate)}: {error}", file=sys.stderr)
                continue
            measured += 1
            if arguments.p99 is None or median(each.p99_ms for each in readings) <= arguments.p99:
                rates[candidate] = [each.rate for each in readings]
        seconds = time.monotonic() - began
        levels = 1 if arguments.concurrency else len(choices.concurrencies)
        whole = levels * seconds * len(candidates) / max(1, measured)
        print(f"grid: {measured} of {len(candidates)} combinations measured at {level} in flight, in {seconds:.0f} s")
        print(f"  all of them at {levels} numbers in flight would take about {whole:.0f} s", flush=True)
        best = sorted(rates, key=lambda each: -fmean(rates[each]))[:FINALISTS]
        final: dict[Candidate, list[float]] = {each: [] for each in dict.fromkeys([winner, *best])}
        for number in range(FINAL_ROUNDS):
            for candidate in final if number % 2 else reversed(final):
                final[candidate].append(bench.read(candidate, level, 2.0).rate)
        fastest = max(final, key=lambda each: median(final[each]))
        ratio = median(a / b for a, b in zip(final[winner], final[fastest], strict=True))
        print(f"best of the grid: {describe(fastest)}; tune's winner has {ratio:.3f} of its images/s")
        if arguments.p99 is not None:
            held = [bench.read(winner, level, 2.0).p99_ms <= arguments.p99 for _ in range(AFTERWARDS)]
            print(f"the p99 was within {arguments.p99:g} ms in {sum(held)} of {AFTERWARDS} further runs")


def describe(candidate: Candidate) -> str:
    """Return a candidate in one line."""
    sizes = format_value(candidate.batch_sizes)
    return (
        f"{candidate.backend} {candidate.precision} {candidate.instances}x{candidate.threads}, batch "
        f"{candidate.max_batch_size}, delay {candidate.max_queue_delay_us} us, batch sizes {sizes}"
    )


if __name__ == "__main__":
    main()
