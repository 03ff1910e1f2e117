"""What the map costs: beside the answer alone, the way of the notebooks, and Grad-CAM in TensorFlow.

The notebooks read the features of the last convolution beside the probabilities, and compute the map in the caller:
`model.predict`, then a product with the weights of the best class. Grad-CAM (Selvaraju et al. 2017) weights the
features with the mean gradient of the best class's logit, by `tf.GradientTape`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from bench.networks import images, keras_resnet50, onnx_file
from bench.opponents import onnx_by_keras
from bench.runtimes import Run, in_onnxruntime, in_openvino, native_bf16
from bench.settings import Settings
from bench.tables import Table, goal
from bench.turns import images_per_second, take_turns
from camserve.tensors import CAM, CAM_CLASS, PROBABILITIES

__all__ = ["measure"]

BATCH = 8
GOAL = 1.02
MAPS = (PROBABILITIES, CAM, CAM_CLASS)

Pair = tuple[Run, Run]


def measure(settings: Settings) -> list[Table]:
    """Compare each way to get a map with the same runtime's answer alone."""
    pairs = {**camserve_pairs(settings), **keras_pairs(settings)}
    batch = images(BATCH)
    rates = take_turns(
        {
            (name, kind): images_per_second(partial(run, batch), BATCH, settings)
            for name, pair in pairs.items()
            for kind, run in zip(("answer", "map"), pair, strict=True)
        },
        2 * settings.rounds,
    )
    times = {name: rates.ratio((name, "answer"), (name, "map")) for name in pairs}
    rows = [
        (name, rates.median((name, "answer")), rates.median((name, "map")), f"{times[name] - 1:+.1%}") for name in pairs
    ]
    note = (
        f"ResNet50, images per second in batches of {BATCH}; the cost is the median of the ratios of the times within "
        "a round. camserve's maps are those of the five best classes, the others are the map of the best class."
    )
    columns = ("", "answer alone", "answer and map", "cost")
    limits = [
        goal(f"time with maps to without, {name}", times[name], GOAL, most=True) for name in times if "camserve" in name
    ]
    return [
        Table("The cost of a map", note, columns, rows),
        Table("Goal", "", ("ratio", "measured", "limit", "met"), limits),
    ]


def camserve_pairs(settings: Settings) -> dict[str, Pair]:
    """Return for each runtime the bundle without maps and the one with them."""
    without, with_maps = (onnx_file(settings, maps=maps) for maps in (False, True))
    threads = settings.cores
    pairs = {
        "camserve fp32, ONNX Runtime": (
            in_onnxruntime(without, threads, [PROBABILITIES]),
            in_onnxruntime(with_maps, threads, MAPS),
        ),
    }
    if native_bf16():
        pairs["camserve bf16, OpenVINO"] = (
            in_openvino(without, threads, "bf16", [PROBABILITIES]),
            in_openvino(with_maps, threads, "bf16", MAPS),
        )
    return pairs


def keras_pairs(settings: Settings) -> dict[str, Pair]:
    """Return the way of the notebooks in Keras and in ONNX Runtime, and Grad-CAM, each with the answer alone."""
    from camserve.export.frameworks import keras, tf

    model = keras_resnet50(settings)
    features = model.get_layer("conv5_block3_out").output
    both = keras.Model(model.input, [features, model.output])
    weights = model.layers[-1].get_weights()[0]
    plain = in_onnxruntime(onnx_by_keras(model, "resnet50", settings), settings.cores)
    file = in_onnxruntime(onnx_by_keras(both, "resnet50-features", settings), settings.cores)
    function = tf.function(lambda batch: model(batch, training=False))
    gradient = tf.function(partial(grad_cam, model_with_logits(model, features)))

    def predict(model: Any, batch: Any) -> list[Any]:
        found = model.predict(batch, batch_size=len(batch), verbose=0)
        return list(found) if isinstance(found, list | tuple) else [found]

    return {
        "notebook: features of `predict` to the caller": (
            partial(predict, model),
            lambda batch: in_caller(predict(both, batch), weights),
        ),
        "the same in ONNX Runtime": (plain, lambda batch: in_caller(file(batch), weights)),
        "Grad-CAM by `tf.GradientTape`": (
            lambda batch: [np.asarray(function(tf.constant(batch)))],
            lambda batch: [np.asarray(each) for each in gradient(tf.constant(batch))],
        ),
    }


def in_caller(found: list[Any], weights: Any) -> list[Any]:
    """Return the probabilities and the map of the best class, from features and probabilities, as the notebooks do."""
    features, probabilities = found
    best = weights[:, probabilities.argmax(axis=1)]
    return [probabilities, np.stack([np.dot(each, best[:, at]) for at, each in enumerate(features)])]


def model_with_logits(model: Any, features: Any) -> Any:
    """Return a model whose outputs are the features of the last convolution and the logits."""
    from camserve.export.frameworks import keras

    head = model.layers[-1]
    logits = keras.layers.Dense(head.units)
    outputs = logits(model.layers[-2].output)
    logits.set_weights(head.get_weights())
    return keras.Model(model.input, [features, outputs])


def grad_cam(model: Any, batch: Any) -> tuple[Any, Any]:
    """Return the probabilities and the Grad-CAM of the best class."""
    from camserve.export.frameworks import tf

    with tf.GradientTape() as tape:
        features, logits = model(batch, training=False)
        best = tf.reduce_max(logits, axis=1)
    weights = tf.reduce_mean(tape.gradient(best, features), axis=(1, 2), keepdims=True)
    return tf.nn.softmax(logits), tf.nn.relu(tf.reduce_sum(weights * features, axis=-1))
