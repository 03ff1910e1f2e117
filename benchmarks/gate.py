"""Print the metrics of the parity gate for the five recipes, a model built with training=True, and a float64 model.

Usage: python benchmarks/gate.py [NAME ...]

Prints a Markdown table: for each network and format the worst value of batches 1, 3 and 8. Weights are random, with
BatchNorm statistics and logits as in the tests.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import keras
from support.networks import enliven

from camserve.contract import PRESETS, Preprocessing
from camserve.export import RECIPES, export_model
from camserve.export.source import networks

METRICS = ("logits", "probabilities", "cam", "cam_identity", "top1", "cam_class")


def built_for_training() -> keras.Model:
    """Build the signs network as its notebook does, with training=True."""
    return networks.resnet50_signs(training=True)


def float64_network() -> keras.Model:
    """Build the 126-filter variant under a float64 policy."""
    keras.config.set_dtype_policy("float64")
    try:
        return RECIPES["resnet50-signs-126"].build()
    finally:
        keras.config.set_dtype_policy("float32")


NETWORKS: dict[str, tuple[Callable[[], keras.Model], Preprocessing, str]] = {
    **{name: (recipe.build, recipe.preprocessing, ".keras") for name, recipe in RECIPES.items()},
    "resnet50-signs, training=True, .h5": (built_for_training, PRESETS["unit"], ".h5"),
    "resnet50-signs-126, float64": (float64_network, PRESETS["unit"], ".keras"),
}


def main() -> None:
    """Export each network and print its metrics."""
    print(f"| network | format | {' | '.join(METRICS)} |\n|---|---|{'---|' * len(METRICS)}")
    for name in sys.argv[1:] or NETWORKS:
        build, preprocessing, suffix = NETWORKS[name]
        keras.utils.set_random_seed(0)
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / f"model{suffix}"
            enliven(build(), preprocessing).save(source)
            bundle = export_model(source, Path(folder) / "bundle", preprocessing=preprocessing, resize="nearest")
        for format_name in ("onnx", "savedmodel"):
            metrics = [metric for metric in bundle.report["parity"] if metric["format"] == format_name]
            worst = [max(metric["value"] for metric in metrics if metric["figure"] == name) for name in METRICS]
            print(f"| {name} | {format_name} | {' | '.join(f'{value:.1e}' if value else '0' for value in worst)} |")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
