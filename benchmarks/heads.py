"""Export the usual heads of transfer learning, and measure how many images float32 does not determine the maps of.

Usage: python benchmarks/heads.py [--undetermined] [--images 96] [--seeds 3]

Without options, each head is exported after a small backbone with random weights, as ONNX and SavedModel; a row of the
table has the largest values of the gate: distances from the network in float64, of gradient maps from
`tf.GradientTape`. With `--undetermined`, heads of the usual width are measured after three backbones: one with random
weights, ResNet50 at 96x96 with random weights and measured BatchNorm statistics, and a network that was trained on
drawn shapes, whose new head is trained as well (it takes some minutes).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from camserve.export.frameworks import keras

import numpy as np
from support import shapes
from support.trained import shapes_network
from support.transfer_heads import HEADS, TransferHead, chain, dense, joined, write_teachable_machine

from camserve.contract import PRESETS
from camserve.export import export_model
from camserve.export.gate.determined import with_determined
from camserve.export.gate.samples import sample_images
from camserve.export.graph.exact import find_truth
from camserve.export.graph.prepare import prepare
from camserve.pixels import normalize

layers = keras.layers

METRICS = ("logits", "probabilities", "cam", "cam_identity")

average, largest, norm, flatten = (
    layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling2D,
    layers.BatchNormalization,
    layers.Flatten,
)
WIDE: dict[str, Callable[[Any], Any]] = {
    "average, Dense 512 + ReLU": chain(average, dense(512)),
    "average, Dense 1024 + ReLU, Dense 512 + ReLU": chain(average, dense(1024), dense(512)),
    "average, Dense 512, BatchNorm, ReLU": chain(average, dense(512, None), norm, layers.ReLU),
    "average, Dense 1024 + hard swish (MobileNetV3)": chain(average, dense(1024, "hard_silu")),
    "maximum": chain(largest),
    "average and maximum, BatchNorm, Dense 512 + ReLU": lambda x: chain(norm, dense(512))(joined(x)),
    "Flatten, Dense 4096 + ReLU, Dense 4096 + ReLU (VGG)": chain(flatten, dense(4096), dense(4096)),
}


def export_heads() -> Iterator[str]:
    """Yield the rows of the table of heads."""
    yield f"| head | maps | {' | '.join(METRICS)} |\n|---|---|{'---|' * len(METRICS)}"
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, head) in enumerate(HEADS.items()):
            yield _row(name, head.classifier(), Path(folder) / str(number), two_labels=head.classes == 1)
        write_teachable_machine(Path(folder) / "keras_model.h5")
        yield _row("file of Teachable Machine", Path(folder) / "keras_model.h5", Path(folder) / "file")


def _row(name: str, model: Any, folder: Path, *, two_labels: bool = False) -> str:
    labels = ["no", "yes"] if two_labels else None
    bundle = export_model(model, folder, preprocessing="unit", resize="nearest", labels=labels)
    cells = []
    for figure in METRICS:
        values = [metric["value"] for metric in bundle.report["parity"] if metric["figure"] == figure]
        cells.append(f"{max(values):.1e}" if values else "–")
    assert bundle.contract.cam is not None
    return f"| {name} | {bundle.contract.cam.method} | {' | '.join(cells)} |"


def undetermined_shares(images: int, seeds: int) -> Iterator[str]:
    """Yield the rows of the table of undetermined maps: the mean share over seeds, and the largest."""
    yield "| head | random convolutions | ResNet50, random | trained on shapes |\n|---|---|---|---|"
    for name, hidden in WIDE.items():
        head = TransferHead("gradient", hidden, classes=10)
        random = [_share(head.classifier(small(), seed), samples(images, 64)) for seed in range(seeds)]
        cells = [_cell(random)]
        if "VGG" in name:
            cells += ["–", "–"]
        else:
            cells.append(_cell([_share(head.classifier(resnet(), seed), samples(24, 96)) for seed in range(seeds)]))
            cells.append(_cell([_share(trained(hidden, seed), drawn(images)) for seed in range(seeds)]))
        yield f"| {name} | {' | '.join(cells)} |"


def _cell(shares: list[float]) -> str:
    return f"{np.mean(shares):.1%}, at most {max(shares):.1%}"


def _share(model: keras.Model, images: Any) -> float:
    """Return the share of the images that float32 does not determine the maps of."""
    prepared = prepare(model, cam=True, top_k=5, all_classes=False)
    truth = find_truth(prepared.reference, images[:1])
    marks = []
    for begin in range(0, len(images), 8):
        batch = images[begin : begin + 8]
        determined = with_determined(truth.exact(batch), truth.keras(batch)).determined
        marks.append(np.ones(len(batch), np.bool_) if determined is None else determined)
    keras.backend.clear_session()
    return float(np.mean(~np.concatenate(marks)))


def samples(count: int, side: int) -> Any:
    """Draw synthetic images, preprocessed."""
    return normalize(sample_images(count, side, side, 3), PRESETS["unit"])


def drawn(count: int) -> Any:
    """Draw images of shapes, preprocessed for the trained network."""
    return normalize(shapes.draw(count, 77, shapes.DISTINCT_SHAPES).images, shapes_network().preprocessing)


def small() -> keras.Model:
    """Build ten convolutions with BatchNorm: 4x4 features of 64x64 images."""
    image = x = layers.Input((64, 64, 3))
    for filters in (32, 64, 128, 256):
        for stride in (2, 1):
            x = layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False)(x)
            x = layers.ReLU()(layers.BatchNormalization()(x))
    return keras.Model(image, x)


def resnet() -> keras.Model:
    """Build ResNet50 without top: 3x3 features of 96x96 images."""
    return keras.applications.ResNet50(include_top=False, weights=None, input_shape=(96, 96, 3))


def trained(hidden: Callable[[Any], Any], seed: int) -> keras.Model:
    """Train a head after the features of the network that was trained on shapes."""
    network = shapes_network().network
    keras.utils.set_random_seed(seed)
    body = keras.Model(network.input, network.get_layer("avg_pool").input)
    body.trainable = False
    known = shapes.draw(1024, 1000 + seed, shapes.DISTINCT_SHAPES)
    features = body.predict(normalize(known.images, shapes_network().preprocessing), verbose=0)
    entry = layers.Input(features.shape[1:])
    head = keras.Model(entry, layers.Dense(len(shapes.DISTINCT_SHAPES), "softmax")(layers.Dropout(0.3)(hidden(entry))))
    head.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    head.fit(features, known.classes, batch_size=32, epochs=4, verbose=0)
    return keras.Model(network.input, head(body.output))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--undetermined", action="store_true", help="measure the share of undetermined maps")
    parser.add_argument("--images", type=int, default=96, help="images for each network (default: 96)")
    parser.add_argument("--seeds", type=int, default=3, help="networks for each head (default: 3)")
    options = parser.parse_args()
    rows = undetermined_shares(options.images, options.seeds) if options.undetermined else export_heads()
    for row in rows:
        print(row, flush=True)


if __name__ == "__main__":
    main()
