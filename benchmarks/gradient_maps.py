"""Measure what the maps of heads that are not linear cost, and how far they are from `tf.GradientTape`.

Usage: python benchmarks/gradient_maps.py [--batch 8] [--threads 2] [--rounds 21] [--profile | --figure FILE] [NAME ...]

Each classifier of `keras.applications` is converted to ONNX with and without maps, with random weights, and both files
are run in turn in ONNX Runtime on the CPU. The milliseconds are medians, the cost is the median of the ratios of runs
that follow each other. The maps of the ONNX file are compared with those of `tf.GradientTape` through the layers of the
model, in float32, relative to the largest value of a map.

`--profile` prints instead where the time of the maps goes, by ONNX Runtime's profile of the file with maps.

`--figure` draws the maps of a photo of scikit-learn beside those of `tf.GradientTape`, and their difference; these
weights are random too, with BatchNorm statistics and logits measured on images.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

NAMES = ("VGG16", "MobileNetV3Small", "ConvNeXtTiny")
PHOTO = "flower.jpg"
PROFILED = 6  # nodes of a network
SIDE = 320  # pixels of an image in the figure

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Drawn:
    """The maps of the best class of the photo.

    Attributes:
        name: The network.
        photo: The photo, as the network reads it.
        exported: The map of the ONNX file, `[height, width]`.
        tape: That of `tf.GradientTape`.
    """

    name: str
    photo: Image.Image
    exported: Array
    tape: Array


def session(model: Any, threads: int, profile: Path | None = None) -> Any:
    """Open a converted graph in ONNX Runtime, which writes a profile to a file of this prefix at its end."""
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run_times(sessions: list[Any], images: Array, rounds: int) -> list[list[float]]:
    """Return the milliseconds of the runs of each session, in turn and in changing order."""
    times: list[list[float]] = [[] for _ in sessions]
    for number in range(-2, rounds):
        for index in range(len(sessions))[:: 1 if number % 2 else -1]:
            start = time.perf_counter()
            sessions[index].run(None, {"image": images})
            if number >= 0:
                times[index].append(1e3 * (time.perf_counter() - start))
    return times


def prepared_classifier(name: str, *, cam: bool) -> Any:
    """Return a classifier of `keras.applications` with random weights, ready for conversion."""
    import keras  # noqa: PLC0415

    from camserve.export.graph.prepare import prepare  # noqa: PLC0415
    from camserve.export.source.applications import application  # noqa: PLC0415

    keras.utils.set_random_seed(0)
    return prepare(application(name).build(), cam=cam, top_k=5, all_classes=False)


def run_named(onnx_session: Any, images: Array) -> dict[str, Array]:
    """Return the outputs of a session by name."""
    names = [output.name for output in onnx_session.get_outputs()]
    return dict(zip(names, onnx_session.run(names, {"image": images}), strict=True))


def measure(name: str, batch: int, threads: int, rounds: int) -> str:
    """Return a row of the table."""
    from camserve.export.formats.onnx_format import convert  # noqa: PLC0415

    prepared = [prepared_classifier(name, cam=cam) for cam in (True, False)]
    graphs = [convert(each.served, 17) for each in prepared]
    sessions = [session(graph, threads) for graph in graphs]
    images = np.random.default_rng(0).normal(0, 1, (batch, *prepared[0].model.input_shape[1:])).astype(np.float32)
    times = run_times(sessions, images, rounds)
    with_maps, without = map(statistics.median, times)
    cost = statistics.median(one / other for one, other in zip(*times, strict=True)) - 1
    outputs = run_named(sessions[0], images[:2])
    tape = prepared[0].reference(images[:2]).maps_of(outputs["cam_class"].astype(int))
    difference = np.abs(outputs["cam"] - tape).max() / np.abs(tape).max()
    sizes = [sum(len(tensor.raw_data) for tensor in graph.graph.initializer) / 1e6 for graph in graphs]
    nodes = [len(graph.graph.node) for graph in graphs]
    return (
        f"| {name} | {without:,.1f} | {with_maps:,.1f} | {cost:+.1%} | {nodes[1]} | {nodes[0]} | "
        f"{sizes[1]:,.1f} | {sizes[0]:,.1f} | {difference:.1e} |"
    )


def profiled(name: str, batch: int, threads: int, rounds: int) -> str:
    """Return a row for each of the slowest nodes of the maps: milliseconds, and share of the nodes without maps."""
    from camserve.export.formats.onnx_format import convert  # noqa: PLC0415
    from camserve.export.graph.served import MAPS  # noqa: PLC0415

    prepared = prepared_classifier(name, cam=True)
    images = np.random.default_rng(0).normal(0, 1, (batch, *prepared.model.input_shape[1:])).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        onnx_session = session(convert(prepared.served, 17), threads, Path(folder) / "profile")
        for _ in range(rounds):
            onnx_session.run(None, {"image": images})
        events = json.loads(Path(onnx_session.end_profiling()).read_text())
    times: dict[str, list[float]] = {}
    for event in events:
        if event["name"].endswith("_kernel_time"):
            times.setdefault(event["name"].removesuffix("_kernel_time"), []).append(event["dur"] / 1e3)
    medians = {node: statistics.median(durations) for node, durations in times.items()}
    of_maps = {node: ms for node, ms in medians.items() if node.startswith(f"{MAPS}/")}
    others = sum(medians.values()) - sum(of_maps.values())
    slowest = sorted(of_maps, key=lambda node: -of_maps[node])[:PROFILED]
    rows = [("without maps", others), ("maps", sum(of_maps.values())), *((node, of_maps[node]) for node in slowest)]
    return "\n".join(f"| {name} | {label} | {ms:,.2f} | {ms / others:.2%} |" for label, ms in rows)


def maps_of_photo(name: str) -> Drawn:
    """Return the maps of the best class of the photo; BatchNorm statistics and logits are like those after training."""
    import keras  # noqa: PLC0415
    from sklearn.datasets import load_sample_image  # noqa: PLC0415
    from support.networks import enliven  # noqa: PLC0415

    from camserve.export.formats.onnx_format import convert  # noqa: PLC0415
    from camserve.export.graph.prepare import prepare  # noqa: PLC0415
    from camserve.export.source.applications import application  # noqa: PLC0415
    from camserve.pixels import normalize  # noqa: PLC0415

    keras.utils.set_random_seed(0)
    recipe = application(name)
    model = enliven(recipe.build(), recipe.preprocessing)
    prepared = prepare(model, cam=True, top_k=1, all_classes=False)
    height, width = model.input_shape[1:3]
    photo = Image.fromarray(load_sample_image(PHOTO)).resize((width, height))
    images = normalize(np.asarray(photo)[np.newaxis], recipe.preprocessing)
    outputs = run_named(session(convert(prepared.served, 17), 2), images)
    tape = prepared.reference(images).maps_of(outputs["cam_class"].astype(int))
    return Drawn(name, photo, outputs["cam"][0, 0], tape[0, 0])


def draw(rows: Sequence[Drawn], path: Path) -> None:
    """Draw photo, both maps and their difference, in a row for each network, into a PNG file."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    from camserve.heatmap import overlay  # noqa: PLC0415

    figure, axes = plt.subplots(len(rows), 4, figsize=(9.6, 2.5 * len(rows) + 0.4), squeeze=False, layout="constrained")
    titles = ("photo", "map in the ONNX file", "tf.GradientTape", "difference")
    for place, (row, drawn) in enumerate(zip(axes, rows, strict=True)):
        photo = drawn.photo.resize((SIDE, SIDE)).convert("L").convert("RGB")
        largest = np.abs(drawn.tape).max()
        difference = (drawn.exported - drawn.tape) / largest
        for axis, image in zip(row, (photo, overlay(photo, drawn.exported), overlay(photo, drawn.tape)), strict=False):
            axis.imshow(image)
        limit = np.abs(difference).max() or 1.0
        shown = row[3].imshow(difference, cmap="RdBu", vmin=-limit, vmax=limit)
        figure.colorbar(shown, ax=row[3], shrink=0.8)
        row[0].set_ylabel(drawn.name, fontsize=11)
        row[3].set_xlabel(f"at most {limit:.0e} of the largest value", fontsize=8)
        for axis, title in zip(row, titles, strict=True):
            axis.set(xticks=[], yticks=[], **({"title": title} if place == 0 else {}))
    drawn_figure = io.BytesIO()
    figure.savefig(drawn_figure, dpi=80)
    with Image.open(drawn_figure) as image:  # a third of the size in 256 colors
        image.convert("RGB").quantize(256).save(path, optimize=True)


def main() -> None:
    """Print a table with a row for each classifier, or draw the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", default=NAMES)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw the maps of a photo instead of measuring")
    parser.add_argument("--profile", action="store_true", help="print the slowest nodes of the maps instead")
    options = parser.parse_args()
    if options.figure:
        draw([maps_of_photo(name) for name in options.names], options.figure)
        return
    if options.profile:
        print("| network | nodes | ms | of those without maps |\n|---|---|---|---|")
        for name in options.names:
            print(profiled(name, options.batch, options.threads, options.rounds), flush=True)
        return
    print("| network | ms without maps | ms with | cost | nodes without | with | MB without | with | from the tape |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in options.names:
        print(measure(name, options.batch, options.threads, options.rounds), flush=True)


if __name__ == "__main__":
    main()
