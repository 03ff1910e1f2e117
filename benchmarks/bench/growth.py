"""How cost grows: with the batch, concurrent requests, the size of images, the rows of a table, and loaded models."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import many_models
from support.scoring.image_files import link_files, write_drawings
from support.scoring.measured_program import CAMSERVE
from support.scoring.measured_program import measure as measure_program
from support.toy import with_pixels, write_toy_bundle

from bench.networks import any_size, images, onnx_file, resnet50
from bench.plots import Line, draw
from bench.runtimes import Run, in_onnxruntime, in_openvino, native_bf16
from bench.settings import Settings
from bench.tables import Cell, Table
from bench.turns import images_per_second, take_turns
from camserve.clients import LoadOptions, measure_load
from camserve.serving import TritonServer, publish

__all__ = ["measure"]

BATCHES = (1, 2, 4, 8, 16, 32)
CONCURRENCY = (1, 2, 4, 8, 16, 32, 64)
SIDES = (96, 160, 224, 320, 448)
ROWS = (1_000, 4_000, 8_000, 16_000)
MODELS = (1, 8, 16, 32)

Rows = Sequence[Sequence[Cell]]


def measure(settings: Settings) -> list[Table]:
    """Measure each growth, and draw it."""
    parts: tuple[Callable[[Settings], Table], ...] = (batch, concurrency, size, rows, models)
    return [part(settings) for part in parts]


def points(values: Sequence[int], settings: Settings) -> Sequence[int]:
    """Return the values to measure: every second one if a rough result is enough."""
    return values[::2] if settings.quick else values


def batch(settings: Settings) -> Table:
    """Measure images per second by batch size."""
    sizes = points(BATCHES, settings)
    runs = networks(settings)
    turns = {
        (name, size): images_per_second(partial(run, images(size)), size, settings)
        for name, run in runs.items()
        for size in sizes
    }
    rates = take_turns(turns, settings.rounds)
    lines = [Line(name, sizes, [rates.median((name, size)) for size in sizes]) for name in runs]
    return table(settings, "Batch", "ResNet50, images per second by images in a batch.", "images in a batch", lines)


def networks(settings: Settings) -> dict[str, Run]:
    """Return ResNet50 in each precision, in the runtime that serves it by default."""
    threads = settings.cores
    runs = {"fp32, ONNX Runtime": in_onnxruntime(onnx_file(settings), threads)}
    runs["int8, ONNX Runtime"] = in_onnxruntime(onnx_file(settings, "int8"), threads)
    if native_bf16():
        runs["bf16, OpenVINO"] = in_openvino(onnx_file(settings), threads, "bf16")
    return runs


def size(settings: Settings) -> Table:
    """Measure milliseconds per image by the size of images."""
    sides = points(SIDES, settings)
    path = any_size(onnx_file(settings, maps=False), settings)
    runs = {"fp32, ONNX Runtime": in_onnxruntime(path, settings.cores)}
    if native_bf16():
        runs["bf16, OpenVINO"] = in_openvino(path, settings.cores, "bf16")
    turns = {
        (name, side): images_per_second(partial(run, images(1, side)), 1, settings)
        for name, run in runs.items()
        for side in sides
    }
    rates = take_turns(turns, settings.rounds)
    lines = [Line(name, sides, [1e3 / rates.median((name, side)) for side in sides]) for name in runs]
    note = "ResNet50 without maps, milliseconds per image, one at a time, by height and width in pixels."
    return table(settings, "Image size", note, "pixels on each side", lines, unit="milliseconds")


def concurrency(settings: Settings) -> Table:
    """Measure images per second and latency by concurrent requests."""
    numbers = points(CONCURRENCY, settings)
    with tempfile.TemporaryDirectory() as folder:
        publish(resnet50(settings, "int8"), folder, name="resnet50", options={"max_batch_size": 8})
        with TritonServer(folder, start_timeout=300) as server:
            options = LoadOptions(concurrency=numbers, window=0.5 if settings.quick else 1.5, max_windows=5)
            found = measure_load(server.grpc_url, "resnet50", options).points
    rate = Line("images/s", numbers, [point.images_per_second for point in found])
    p50 = Line("p50, ms", numbers, [1e3 * point.latency.p50 for point in found])
    p99 = Line("p99, ms", numbers, [1e3 * point.latency.p99 for point in found])
    lines, latencies = [rate, p50, p99], ("ms", [p50.name, p99.name])
    name = "bench-concurrency.png"
    draw(settings.folder / name, lines, "requests in flight", ("images/s", [rate.name]), latencies, doubling=True)
    note = (
        "ResNet50 in int8 by the embedded Triton (ONNX Runtime, batches of up to 8), requests of one image from the "
        "same cores, in a closed loop."
    )
    return Table("Concurrency", note, ("requests in flight", *(line.name for line in lines)), cells(lines), name)


def rows(settings: Settings) -> Table:
    """Measure time and memory of a scored table by its rows."""
    counts = points(ROWS, settings)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        bundle = with_pixels(write_toy_bundle(root / "toy", size=(64, 64), preset="raw-rgb")).path
        drawings = write_drawings(root / "drawings", 100)
        for count in counts:
            inputs = link_files(drawings, root / f"images-{count}", count)
            command: list[str | Path] = [CAMSERVE, "score", inputs, "--bundle", bundle, "--quiet"]
            found.append(measure_program([*command, "--output", root / f"{count}.parquet"], memory=True))
    seconds = Line("seconds", counts, [each.seconds for each in found])
    memory = Line("MB", counts, [each.peak / 1e6 for each in found])
    name = "bench-rows.png"
    draw(settings.folder / name, [seconds, memory], "rows", ("seconds", ["seconds"]), ("peak memory, MB", ["MB"]))
    note = "`camserve score --bundle` with a tiny network, from JPEG files of 32 × 32 pixels to Parquet."
    return Table("Rows", note, ("rows", "seconds", "peak memory, MB"), cells([seconds, memory]), name)


def models(settings: Settings) -> Table:
    """Measure start and memory of the embedded Triton by loaded models."""
    counts = points(MODELS, settings)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_toy_bundle(Path(folder) / "bundle")
        for count in counts:
            repository = Path(folder) / str(count)
            for number in range(count):
                publish(bundle, repository, name=f"model{number}")
            found.append(many_models.measure(repository, "default").split(" | "))
    start = Line("seconds", counts, [float(cell[0]) for cell in found])
    memory = Line("MB", counts, [float(cell[3]) for cell in found])
    name = "bench-models.png"
    draw(settings.folder / name, [start, memory], "models", ("start, seconds", ["seconds"]), ("memory, MB", ["MB"]))
    note = "Start of the embedded Triton and memory of its processes, with tiny networks."
    return Table("Models", note, ("models", "start, s", "memory, MB"), cells([start, memory]), name)


def table(settings: Settings, title: str, note: str, x: str, lines: Sequence[Line], *, unit: str = "images/s") -> Table:
    """Draw lines in one panel, and return their table."""
    name = f"bench-{title.lower().replace(' ', '-')}.png"
    draw(settings.folder / name, lines, x, (unit, [line.name for line in lines]), doubling=x.startswith("images"))
    return Table(title, note, (x, *(line.name for line in lines)), cells(lines), name)


def cells(lines: Sequence[Line]) -> Rows:
    """Return a row for each value of the horizontal axis."""
    return [(int(x), *(float(line.y[at]) for line in lines)) for at, x in enumerate(lines[0].x)]
