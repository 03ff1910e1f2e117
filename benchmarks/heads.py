"""Export the usual heads of transfer learning, and measure how many images float32 does not determine the maps of.

Usage: python benchmarks/heads.py [--undetermined] [--images 96] [--seeds 3] [--backbones random,trained,ResNet50]

Without options, each head is exported after a small backbone with random weights, as ONNX and SavedModel; a row of the
table has the largest values of the gate: distances from the network in float64, of gradient maps from
`tf.GradientTape`. With `--undetermined`, heads of the usual width are measured after a small backbone with random
weights and BatchNorm statistics measured on images, after ResNet50 of this kind at 96x96, and in small networks that
are trained on drawn shapes.
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
from support.transfer_heads import HEADS, TransferHead, chain, dense, joined, write_teachable_machine

from camserve.contract import PRESETS
from camserve.export import export_model
from camserve.export.gate.determined import with_determined
from camserve.export.gate.samples import sample_images
from camserve.export.graph.exact import find_truth
from camserve.export.graph.prepare import prepare
from camserve.pixels import normalize

layers = keras.layers

SIDE_OF_SMALL = 64
METRICS = ("logits", "probabilities", "cam", "cam_identity")

average, largest, norm, flatten = (
    layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling2D,
    layers.BatchNormalization,
    layers.Flatten,
)
Hidden = Callable[[Any], Any]

WIDE: dict[str, Hidden] = {
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


def undetermined_shares(images: int, seeds: int, backbones: list[str]) -> Iterator[str]:
    """Yield the rows of the table of undetermined maps: the mean share over seeds, and the largest."""
    yield f"| head | {' | '.join(backbones)} |\n|---|{'---|' * len(backbones)}"
    for name, hidden in WIDE.items():
        cells = []
        for backbone in backbones:
            build, draw = BACKBONES[backbone]
            shares = [_share(build(hidden, seed), draw(images)) for seed in range(seeds)]
            cells.append(f"{np.mean(shares):.1%}, at most {max(shares):.1%}")
        yield f"| {name} | {' | '.join(cells)} |"


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


def random_small(hidden: Hidden, seed: int) -> keras.Model:
    """Build ten convolutions with BatchNorm, 4x4 features of 64x64 images, and a head."""
    image = layers.Input((SIDE_OF_SMALL, SIDE_OF_SMALL, 3))
    body = keras.Model(image, convolutions(image, (32, 64, 128, 256), 2))
    return TransferHead("gradient", hidden, classes=10).classifier(body, seed)


def random_resnet(hidden: Hidden, seed: int) -> keras.Model:
    """Build ResNet50, 3x3 features of 96x96 images, and a head."""
    body = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(96, 96, 3))
    return TransferHead("gradient", hidden, classes=10).classifier(body, seed)


def trained(hidden: Hidden, seed: int) -> keras.Model:
    """Train a small network with a head on drawn shapes."""
    keras.utils.set_random_seed(seed)
    image = layers.Input((shapes.SIDE, shapes.SIDE, 3))
    x = layers.Dropout(0.3)(hidden(convolutions(image, (16, 32, 64), 1)))
    model = keras.Model(image, layers.Dense(len(shapes.DISTINCT_SHAPES), "softmax")(x))
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.9
    drawn = shapes.draw(1024, 1000 + seed, shapes.DISTINCT_SHAPES)
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(normalize(drawn.images, PRESETS["unit"]), drawn.classes, batch_size=32, epochs=6, verbose=0)
    return model


def convolutions(x: Any, filters: tuple[int, ...], repeats: int) -> Any:
    """Append convolutions with BatchNorm and ReLU, the first of each width with stride 2."""
    for width in filters:
        for stride in (2, 1)[:repeats]:
            x = layers.Conv2D(width, 3, strides=stride, padding="same", use_bias=False)(x)
            x = layers.ReLU()(layers.BatchNormalization()(x))
    return x


def samples(side: int) -> Callable[[int], Any]:
    """Return a function that draws a number of synthetic images, preprocessed."""
    return lambda count: normalize(sample_images(count, side, side, 3), PRESETS["unit"])


def drawn_shapes(count: int) -> Any:
    """Draw images of shapes, preprocessed."""
    return normalize(shapes.draw(count, 77, shapes.DISTINCT_SHAPES).images, PRESETS["unit"])


BACKBONES: dict[str, tuple[Callable[[Hidden, int], keras.Model], Callable[[int], Any]]] = {
    "random": (random_small, samples(SIDE_OF_SMALL)),
    "trained": (trained, drawn_shapes),
    "ResNet50": (random_resnet, samples(96)),
}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--undetermined", action="store_true", help="measure the share of undetermined maps")
    parser.add_argument("--images", type=int, default=96, help="images for each network (default: 96)")
    parser.add_argument("--seeds", type=int, default=3, help="networks for each head (default: 3)")
    parser.add_argument(
        "--backbones", default=",".join(BACKBONES), help=f"of --undetermined (default: {','.join(BACKBONES)})"
    )
    options = parser.parse_args()
    backbones = options.backbones.split(",")
    rows = undetermined_shares(options.images, options.seeds, backbones) if options.undetermined else export_heads()
    for row in rows:
        print(row, flush=True)


if __name__ == "__main__":
    main()
