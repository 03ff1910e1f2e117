"""Measure the parity gate on deep networks over many random weights: correct exports, and exports with one fault.

Usage: python benchmarks/gate_seeds.py [--networks NAME,...] [--seeds 20] [--out gate_seeds.jsonl]

Gammas are drawn from 0.5 to 1.5, biases at random, statistics are measured on images, and the head is scaled to logits
with a standard deviation of 2. Each network is measured with the gate, with the rule of earlier versions (distance from
Keras's float32 answers, fixed tolerances), and with six faults, each of which must be refused.

Each seed is one line of the output file, which is written as soon as it is measured; a seed in the file is not measured
again, so that an interrupted run continues. A network is converted twice: for every further seed its weights replace
those in the ONNX file, after it was verified that this gives the file of the second conversion, byte for byte.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from camserve.export.frameworks import keras, onnx

import numpy as np
import pytest
from support.networks import draw_weights
from support.sabotage import change_one_weight, forgotten_epsilon, forgotten_mean, swap_channels, use_sigmoid

from camserve.contract import Preprocessing
from camserve.export import RECIPES, Tolerances
from camserve.export.classifier import contract_of
from camserve.export.formats.onnx_format import convert, open_onnx
from camserve.export.formats.runner import Runner
from camserve.export.gate.gate import Gate
from camserve.export.gate.measurement_images import measurement_images
from camserve.export.gate.metric import Metric, MetricName
from camserve.export.gate.parity import measure_parity
from camserve.export.graph.head import LinearHead
from camserve.export.graph.prepare import Prepared, prepare
from camserve.export.source.applications import application

OPSET = 17
METRICS: tuple[MetricName, ...] = ("logits", "probabilities", "cam")
Graph: TypeAlias = onnx.ModelProto
Outputs = Mapping[str, Any]


def float64_network() -> keras.Model:
    """Build the 126-filter variant under a float64 policy."""
    keras.config.set_dtype_policy("float64")
    try:
        return RECIPES["resnet50-signs-126"].build()
    finally:
        keras.config.set_dtype_policy("float32")


NETWORKS: dict[str, tuple[Callable[[], keras.Model], Preprocessing]] = {
    "resnet50-signs-126": (RECIPES["resnet50-signs-126"].build, RECIPES["resnet50-signs-126"].preprocessing),
    "resnet50-signs-126-float64": (float64_network, RECIPES["resnet50-signs-126"].preprocessing),
    "keras:ResNet50": (application("ResNet50").build, application("ResNet50").preprocessing),
    "resnet50-camera": (RECIPES["resnet50-camera"].build, RECIPES["resnet50-camera"].preprocessing),
}


class Converter:
    """Converts a network to ONNX for each of its weights.

    Args:
        template: The ONNX file of a network with the same layers, if there is one already.
    """

    def __init__(self, template: Graph | None) -> None:
        self.template = template
        self._verified = False

    def __call__(self, prepared: Prepared) -> Graph:
        """Return the ONNX file of the network with its present weights."""
        if self.template is None:
            self.template = convert(prepared.served, OPSET)
            return self.template
        graph = with_weights(self.template, prepared)
        if not self._verified:
            converted = convert(prepared.served, OPSET)
            if graph.SerializeToString() != converted.SerializeToString():
                raise SystemExit("replacing the weights in the ONNX file gives another file than the conversion")
            self._verified = True
            print("replacing the weights gives the file of the conversion, byte for byte", flush=True)
        return graph


def with_weights(template: Graph, prepared: Prepared) -> Graph:
    """Return the graph with the weights of a network of the same layers."""
    weights = {
        f"{layer.name}/": [np.asarray(weight) for weight in layer.get_weights()] for layer in prepared.served.layers
    }
    weights["cam/"] = [map_weights(prepared)]
    graph = Graph()
    graph.CopyFrom(template)
    for tensor in graph.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and np.prod(tensor.dims) > 2:
            layer = tensor.name.rpartition("/")[0] + "/"
            tensor.CopyFrom(onnx.numpy_helper.from_array(fitting(weights[layer], tuple(tensor.dims)), tensor.name))
    return graph


def fitting(weights: list[Any], shape: tuple[int, ...]) -> Any:
    """Return the weight that has this shape in ONNX, which has output channels first."""
    for weight in weights:
        in_onnx = weight.transpose(3, 2, 0, 1) if weight.ndim == 4 else weight
        if in_onnx.shape == shape:
            return np.ascontiguousarray(in_onnx, np.float32)
    raise SystemExit(f"no weight has the shape {shape}: {[weight.shape for weight in weights]}")


def map_weights(prepared: Prepared, shift: int = 0) -> Any:
    """Return the weights of the maps: `[classes, channels]`, or `[positions, classes, channels]` of several cells.

    Args:
        prepared: The network.
        shift: By how many positions they are moved.
    """
    head = prepared.head
    assert isinstance(head, LinearHead)
    if head.has_one_weight:
        return head.weights[0, 0].T.astype(np.float32)
    by_position = np.roll(head.weights_by_position(), shift, axis=1)
    return np.swapaxes(by_position.reshape(-1, *by_position.shape[2:]), 1, 2).astype(np.float32)


def faults(graph: Graph, prepared: Prepared, prepare_again: Callable[[], Prepared]) -> Iterator[tuple[str, Graph]]:
    """Yield an ONNX file with each fault; the map of another cell is `shifted_maps` where there is one cell."""
    for name, change in (
        ("one weight", change_one_weight),
        ("channels swapped", swap_channels),
        ("sigmoid for softmax", use_sigmoid),
    ):
        changed = Graph()
        changed.CopyFrom(graph)
        change(changed)
        yield name, changed
    for name, sabotage in (("epsilon forgotten", forgotten_epsilon), ("mean forgotten", forgotten_mean)):
        with pytest.MonkeyPatch.context() as patch:
            sabotage(patch)
            wrong = prepare_again()
        yield name, with_weights(graph, wrong)
    changed = Graph()
    changed.CopyFrom(graph)
    head = prepared.head
    assert isinstance(head, LinearHead)
    if not head.has_one_weight:
        shift = head.pooling.grid[1] // head.pooling.cells[1]
        (tensor,) = [each for each in changed.graph.initializer if each.name == "cam/MatMul.weight"]
        tensor.CopyFrom(onnx.numpy_helper.from_array(map_weights(prepared, shift), tensor.name))
    yield "another cell", changed


def shifted_maps(outputs: Outputs) -> Outputs:
    """Return the outputs with every map moved by one cell."""
    return {**outputs, "cam": np.roll(outputs["cam"], 1, axis=-1)}


def measure(model: keras.Model, preprocessing: Preprocessing, converter: Converter) -> dict[str, Any]:
    """Measure the network with its present weights, and each fault."""

    def prepare_again() -> Prepared:
        return prepare(model, cam=True, top_k=5, all_classes=False)

    prepared = prepare_again()
    contract = contract_of("network", prepared, preprocessing)
    graph = converter(prepared)
    gate = Gate(prepared, contract, measurement_images(contract, None, "fp32"), Tolerances())
    assert gate.truth.obstacle is None, gate.truth.obstacle
    with opened(graph) as run:
        metrics = gate.measure({"onnx": run}, "fp32")
        batches = [(batch.inputs, answers) for batch, answers in zip(gate.batches, gate.keras_answers, strict=True)]
        before = measure_parity("onnx", run, batches, prepared.head, Tolerances())
    refused = {}
    one_cell = isinstance(prepared.head, LinearHead) and prepared.head.has_one_weight
    for name, changed in faults(graph, prepared, prepare_again):
        with opened(changed) as run:
            wrong = (lambda images, run=run: shifted_maps(run(images))) if one_cell and name == "another cell" else run
            refused[name] = first_failures(gate, prepared, wrong)
    return {
        "noise": {name: gate.noise[name] for name in METRICS},
        "worst": {name: max(metric.value for metric in metrics if metric.name == name) for name in METRICS},
        "failures": failures(metrics),
        "failures_before": failures(before),
        "refused": refused,
    }


def first_failures(gate: Gate, prepared: Prepared, run: Runner) -> list[str]:
    """Return the metrics that fail in the first batch in which one does, as the gate refuses an export for any."""
    for batch in gate.batches:
        pair = (batch.inputs, batch.answers)
        found = failures(measure_parity("onnx", run, [pair], prepared.head, Tolerances(), noise=gate.noise))
        if found:
            return found
    return []


@contextmanager
def opened(graph: Graph) -> Iterator[Any]:
    """Open a graph in ONNX Runtime, as the export does."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(graph, str(path))
        yield open_onnx(path)


def failures(metrics: list[Metric]) -> list[str]:
    """Return the metrics that fail."""
    return sorted({metric.name for metric in metrics if not metric.passed})


def read_rows(path: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the measured seeds."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {(row["network"], row["seed"]): row for row in map(json.loads, lines)}


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Return the Markdown table: a row for each network."""
    names = list(rows[0]["refused"]) if rows else []
    columns = ("network", "seeds", "passed", "passed before", "noise", "export", *names)
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for network in dict.fromkeys(row["network"] for row in rows):
        of_network = [row for row in rows if row["network"] == network]
        noise, worst = ([max(row[key][name] for name in METRICS) for row in of_network] for key in ("noise", "worst"))
        cells = (
            network,
            len(of_network),
            sum(not row["failures"] for row in of_network),
            sum(not row["failures_before"] for row in of_network),
            f"{min(noise):.0e} … {max(noise):.0e}",
            f"{min(worst):.0e} … {max(worst):.0e}",
            *(sum(bool(row["refused"][name]) for row in of_network) for name in names),
        )
        yield f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    """Measure the seeds that are not in the file, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", default=",".join(NETWORKS), help="separated by commas (default: all)")
    parser.add_argument("--seeds", type=int, default=20, help="seeds 0 to N - 1 of each (default: 20)")
    parser.add_argument("--out", type=Path, default=Path("gate_seeds.jsonl"), help="(default: gate_seeds.jsonl)")
    options = parser.parse_args()
    templates: dict[str, Graph | None] = {}
    for name in options.networks.split(","):
        missing = [seed for seed in range(options.seeds) if (name, seed) not in read_rows(options.out)]
        if not missing:
            continue
        build, preprocessing = NETWORKS[name]
        model = build()
        converter = Converter(templates.get(name.removesuffix("-float64")))
        for seed in missing:
            start = time.perf_counter()
            row = {
                "network": name,
                "seed": seed,
                **measure(draw_weights(model, preprocessing, seed), preprocessing, converter),
            }
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            kept = [fault for fault, found in row["refused"].items() if not found]
            verdict = f"refused: {', '.join(row['failures'])}" if row["failures"] else "passed"
            faulty = f"NOT refused: {', '.join(kept)}" if kept else "all faults refused"
            seconds = time.perf_counter() - start
            print(f"{name}, seed {seed}: {verdict}; {faulty}; {seconds:.0f} s", flush=True)
        templates[name] = converter.template
    print("\n".join(table(list(read_rows(options.out).values()))))


if __name__ == "__main__":
    main()
