"""Speed and memory of `camserve score`, beside what it could reach on the same cores, in one run.

    python benchmarks/scoring.py [PART ...] [--quick] [--rounds 10] [--bundle DIR] [--gpu-bundle DIR] [--json]

PART is one or more of (default: all):

served    500 x 375 JPEG files to Parquet with int8 ResNet50 (random weights, uint8 input) by the embedded Triton on
          the same cores, and by ONNX Runtime in the program itself (`--bundle`); beside the loop at the end of the
          fourth notebook (OpenCV, then `model.predict`, one image after the other), and beside what decoding and bare
          inference alone allow: 1 / (1 / decoded per second + 1 / classified per second), each with all cores; of
          inference the one with the highest median of batches of 8 and 32, in one process or in one for each core.
instant   the same against a server that answers at once, with one worker and with two; beside bare decoding with two
          processes. That server uses the same cores.
memory    the largest resident memory of all processes, with 1,000 and with 100,000 tiny images.
gpu       as `served` by a GPU, in fp16, with the fast JPEG decoder; requires 16 cores and a GPU.

The speed of many machines changes within seconds. What is compared therefore takes turns of one to four seconds in
many short rounds, every second one in the opposite order. Each `camserve score` is one run with more images than it
finishes: it is suspended (SIGSTOP) while the others have their turn, and its rate is the number of rows that it records
in its turn, by the time of the turn. In `served`, the turn ends when the server has answered the pending requests. The
start, and the first images, whose requests are short, precede the first round. Rates are medians over the rounds;
ratios are medians of the ratios within a round.
`--bundle` and `--gpu-bundle` use exported networks again, also on a host without TensorFlow.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.scoring.image_files import link_files, write_drawings, write_photos
from support.scoring.measured_program import CAMSERVE, Measured, measure
from support.scoring.network import export
from support.scoring.opponent_process import Speed, opened
from support.scoring.report import cores, describe_host, render
from support.scoring.running_score import RunningScore, running_score
from support.scoring.servers import instant, triton
from support.toy import with_pixels, write_toy_bundle

from camserve.choices import Precision
from camserve.text import count

PHOTOS = 256
BATCHES = (8, 32)
SEED, SERVED, BUNDLE, BOUND = "fourth notebook", "camserve score", "camserve score --bundle", "decoding and inference"
ONE, TWO, DECODING = "1 worker", "2 workers", "bare decoding"

Turn = Callable[[], Speed]


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        rounds: Number of rounds.
        instant: Rounds against the server that answers at once, for each of these.
        seconds: Duration of a turn of `camserve score`; half of it against the server that answers at once.
        notebook: Images of a turn of the notebook's loop.
        bare: Images of a turn of bare inference.
        decoded: Images of a turn of bare decoding.
        many: Images of the larger run of the memory test.
    """

    rounds: int
    instant: int
    seconds: float
    notebook: int
    bare: int
    decoded: int
    many: int


QUICK = Size(rounds=2, instant=3, seconds=3.0, notebook=12, bare=96, decoded=1_600, many=10_000)
FULL = Size(rounds=10, instant=3, seconds=4.0, notebook=20, bare=160, decoded=2_000, many=100_000)
FEW = 1_000
FIRST, FIRST_OF_MANY = 150, 1_100
"""Images after which requests have their full size, with a maximum batch size of 8 and of 64."""
FASTEST, FASTEST_INSTANT, FASTEST_GPU = 400, 3_000, 15_000
"""Images a second that no run exceeds: so many are there for it."""


@dataclass
class Setting:
    """What the parts share: files, the size of the run, and where the results go."""

    folder: Path
    size: Size
    bundles: dict[Precision, Path]
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    limits: list[dict[str, Any]] = field(default_factory=list)
    omitted: dict[str, str] = field(default_factory=dict)

    def originals(self) -> list[Path]:
        """Return the photos."""
        folder = self.folder / "photos"
        return sorted(folder.iterdir()) if folder.is_dir() else write_photos(folder, PHOTOS)

    def photos(self, count: int) -> Path:
        """Return a folder with so many photos."""
        folder = self.folder / f"photos-{count}"
        return folder if folder.is_dir() else link_files(self.originals(), folder, count)

    def listed(self) -> Path:
        """Return a file that lists the photos."""
        listed = self.folder / "photos.txt"
        listed.write_text("\n".join(map(str, self.originals())), encoding="utf-8")
        return listed

    def network(self, precision: Precision) -> Path:
        """Return the bundle of the network in a precision: a given one, or an export."""
        if precision not in self.bundles:
            self.bundles[precision] = export(self.folder, precision)
        return self.bundles[precision]

    def score(self, images: Path, *options: str | Path) -> Measured:
        """Run `camserve score`, measure its memory, and check that each image has an answer."""
        words = [CAMSERVE, "score", images, "--output", self.folder / "answers.parquet", "--json", *options]
        measured = measure(words, memory=True)
        document = json.loads(measured.output)
        if document["errors"] or not document["rows"]:
            raise RuntimeError(f"camserve score: {measured.output}")
        return measured

    def check(self, part: str, what: str, value: float, limit: float, *, most: bool = False) -> None:
        """Record a value and its limit, which is the least or the most."""
        met = value <= limit if most else value >= limit
        self.limits.append({"part": part, "what": what, "value": value, "limit": limit, "most": most, "met": met})


def main() -> None:
    """Measure the parts, and print the results."""
    arguments = parse()
    size = QUICK if arguments.quick else FULL
    if arguments.rounds:
        size = Size(**{**vars(size), "rounds": arguments.rounds})
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="camserve-scoring-") as folder:
        given: dict[Precision, Path | None] = {"int8": arguments.bundle, "fp16": arguments.gpu_bundle}
        setting = Setting(Path(folder), size, {precision: bundle for precision, bundle in given.items() if bundle})
        for part in arguments.parts or PARTS:
            PARTS[part](setting)
    document = {
        "host": describe_host(),
        "seconds": round(time.monotonic() - began),
        "size": vars(size),
        "rows": setting.rows,
        "limits": setting.limits,
        "omitted": setting.omitted,
    }
    print(json.dumps(document, indent=2) if arguments.json else render(document))


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="few rounds with fewer images, in less than three minutes")
    parser.add_argument("--rounds", type=int, help=f"rounds (default: {FULL.rounds}, with --quick {QUICK.rounds})")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="an exported int8 ResNet50 with uint8 input")
    parser.add_argument("--gpu-bundle", type=Path, metavar="DIR", help="an exported fp16 ResNet50 with uint8 input")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args(words)
    unknown = sorted(set(arguments.parts) - set(PARTS))
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}; choose from {', '.join(PARTS)}")
    return arguments


def measure_served(setting: Setting) -> None:
    """Compare `camserve score` on a network with the notebook's loop and with the bound."""
    size, bundle = setting.size, setting.network("int8")
    images = setting.photos(FIRST + round(size.rounds * size.seconds * FASTEST))
    with ExitStack() as stack:
        server = stack.enter_context(triton(bundle, setting.folder))
        decoding = stack.enter_context(opened("decode", bundle, setting.listed(), processes=cores()))
        inference = {
            f"inference, batches of {batch}, {count(processes, 'process')}": stack.enter_context(
                opened("infer", bundle, setting.listed(), str(batch), str(threads), processes=processes)
            )
            for batch in BATCHES
            for threads, processes in ((cores(), 1), (1, cores()))
        }
        notebook = stack.enter_context(opened("seed", setting.listed()))
        options = ("--workers", str(cores()))
        served = stack.enter_context(running_score(images, *options, first=FIRST, server=server, drained=True))
        in_program = stack.enter_context(running_score(images, "--bundle", bundle, first=FIRST))

        turns: dict[str, Turn] = {
            SEED: lambda: notebook.run(size.notebook),
            SERVED: lambda: served.run(size.seconds),
            DECODING: lambda: decoding.run(size.decoded),
            **{name: partial(each.run, size.bare) for name, each in inference.items()},
            BUNDLE: lambda: in_program.run(size.seconds),
        }
        rounds = take_turns("served", turns, size.rounds)
    # The fastest of all rounds: the fastest of each would be the one that the noise favors.
    fastest = max(inference, key=lambda name: median(found[name].rate for found in rounds))
    rounds = [{**found, BOUND: one_after_the_other(found[DECODING], found[fastest])} for found in rounds]
    setting.rows["served"] = rows_of(rounds)
    for name in (SERVED, BUNDLE):
        setting.check("served", f"{name} : {SEED}", ratio(rounds, name, SEED), 2.5)
        setting.check("served", f"{name} : {BOUND}", ratio(rounds, name, BOUND), 0.85)


def measure_instant(setting: Setting) -> None:
    """Compare one worker with two, and with bare decoding, against a server that answers at once."""
    size = setting.size
    bundle = with_pixels(write_toy_bundle(setting.folder / "toy", size=(224, 224), classes=1000, preset="raw-rgb")).path
    number, seconds = size.rounds * size.instant, size.seconds / 2
    images = setting.photos(FIRST_OF_MANY + round(number * seconds * FASTEST_INSTANT))
    with ExitStack() as stack:
        server = stack.enter_context(instant(bundle))
        decoding = stack.enter_context(opened("decode", bundle, setting.listed(), processes=2))

        def score(workers: int) -> RunningScore:
            options = ("--workers", str(workers))
            return stack.enter_context(running_score(images, *options, first=FIRST_OF_MANY, server=server))

        one, two = score(1), score(2)
        turns: dict[str, Turn] = {
            ONE: lambda: one.run(seconds),
            DECODING: lambda: decoding.run(size.decoded),
            TWO: lambda: two.run(seconds),
        }
        rounds = take_turns("instant", turns, number)
    setting.rows["instant"] = rows_of(rounds)
    setting.check("instant", f"{TWO} : {ONE}", ratio(rounds, TWO, ONE), 1.8)
    setting.check("instant", f"{TWO} : {DECODING}", ratio(rounds, TWO, DECODING), 0.9)


def measure_memory(setting: Setting) -> None:
    """Compare the memory of a small and a large run."""
    bundle = with_pixels(write_toy_bundle(setting.folder / "tiny", size=(32, 32), classes=10, preset="raw-rgb")).path
    originals = write_drawings(setting.folder / "drawings", 100)
    counts = (FEW, setting.size.many)
    rows: list[dict[str, Any]] = []
    with instant(bundle) as server:
        for count in counts:
            images = link_files(originals, setting.folder / f"drawings-{count}", count)
            run = setting.score(images, *server.options, "--workers", str(cores()))
            shutil.rmtree(images)
            rows.append({"what": f"{count:,} images", "peak_mb": run.peak / 1e6, "rate": count / run.seconds})
    setting.rows["memory"] = rows
    more = rows[1]["peak_mb"] - rows[0]["peak_mb"]
    setting.check("memory", f"MB more with {counts[1]:,} images", more, 50.0, most=True)


def measure_gpu(setting: Setting) -> None:
    """Measure `camserve score` on a GPU, if there is one, and enough cores to decode for it."""
    if cores() < 16 or shutil.which("nvidia-smi") is None:
        setting.omitted["gpu"] = f"requires 16 cores and a GPU; this host has {cores()} cores"
        return
    bundle = setting.network("fp16")
    name = "camserve score --fast-jpeg"
    size = setting.size
    images = setting.photos(FIRST_OF_MANY + round(size.rounds * size.seconds * FASTEST_GPU))
    with (
        triton(bundle, setting.folder / "gpu", preset="gpu") as server,
        running_score(images, "--fast-jpeg", first=FIRST_OF_MANY, server=server, drained=True) as running,
    ):
        rounds = take_turns("gpu", {name: lambda: running.run(size.seconds)}, size.rounds)
    setting.rows["gpu"] = rows_of(rounds)
    setting.check("gpu", "images per second", setting.rows["gpu"][0]["rate"], 6_000.0)


PARTS: dict[str, Callable[[Setting], None]] = {
    "served": measure_served,
    "instant": measure_instant,
    "memory": measure_memory,
    "gpu": measure_gpu,
}


def take_turns(part: str, turns: dict[str, Turn], number: int) -> list[dict[str, Speed]]:
    """Measure what is compared in so many rounds, every second one in the opposite order."""
    rounds = []
    for place in range(number):
        order = list(turns) if place % 2 == 0 else list(reversed(turns))
        measured = {name: turns[name]() for name in order}
        rounds.append({name: measured[name] for name in turns})
        report_progress(part, rounds[-1])
    return rounds


def one_after_the_other(one: Speed, other: Speed) -> Speed:
    """Return the speed of two steps on the same cores."""
    return Speed(1 / (1 / one.rate + 1 / other.rate), one.cpu + other.cpu)


def rows_of(rounds: list[dict[str, Speed]]) -> list[dict[str, Any]]:
    """Return the medians of what was compared."""
    return [
        {
            "what": name,
            "rate": median(found[name].rate for found in rounds),
            "cpu_ms": median(found[name].cpu for found in rounds) * 1e3,
            "server_cpu_ms": median(found[name].server_cpu for found in rounds) * 1e3 or None,
            "start_s": None if rounds[0][name].start is None else median(found[name].start or 0.0 for found in rounds),
        }
        for name in rounds[0]
    ]


def ratio(rounds: list[dict[str, Speed]], one: str, other: str) -> float:
    """Return the median ratio of two rates within a round."""
    return median(found[one].rate / found[other].rate for found in rounds)


def report_progress(part: str, found: dict[str, Speed]) -> None:
    """Print the rates of a round."""
    rates = ", ".join(f"{name} {speed.rate:.1f}" for name, speed in found.items())
    print(f"{part}: {rates}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
