"""The input size of models that take images of any size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime
import pytest
from keras import layers

from camserve.errors import CamserveError, SourceError, UsageError
from camserve.export import export_model
from camserve.export.graph.trace import trace

ANY = (None, None, 3)


def functional(shape: tuple[int | None, ...] = ANY, *head: Any) -> keras.Model:
    image = layers.Input(shape)
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(image))
    for layer in head or (layers.GlobalAveragePooling2D(),):
        x = layer(x)
    return keras.Model(image, layers.Dense(3, "softmax")(x), name="own")


def sequential() -> keras.Model:
    return keras.Sequential([layers.Input(ANY), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(3)])


def nested(shape: tuple[int | None, ...] = ANY) -> keras.Model:
    backbone = keras.Sequential([layers.Input(ANY), layers.Conv2D(4, 3, strides=2), layers.BatchNormalization()])
    image = layers.Input(shape)
    return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(backbone(image))), name="own")


@pytest.mark.parametrize("make", [functional, sequential, nested])
def test_requested_size_reaches_every_layer(make: Any) -> None:
    network = trace(make(), (12, 20))
    assert network.shape == (12, 20, 3)
    assert network.input.shape == (None, 12, 20, 3)
    assert all(None not in value.shape[1:] for step in network.steps for value in (*step.inputs, *step.outputs))
    assert network.steps[0].outputs[0].shape[1:3] in ((10, 18), (5, 9))


def test_backbone_of_any_size_takes_the_size_of_the_model_around_it() -> None:
    assert trace(nested((12, 20, 3))).steps[0].outputs[0].shape == (None, 5, 9, 4)


def test_tracing_a_size_does_not_change_the_model() -> None:
    model = functional()
    trace(model, (12, 20))
    assert model.input_shape == (None, *ANY)
    assert all(len(layer._inbound_nodes) == 1 for layer in model.layers)


@pytest.mark.parametrize("size", [None, (16, 24)])
def test_fixed_size_may_be_repeated(size: tuple[int, int] | None) -> None:
    assert trace(functional((16, 24, 3)), size).shape == (16, 24, 3)


REFUSED: list[tuple[Any, tuple[int, int] | None, type[CamserveError], str, str]] = [
    (functional(), None, UsageError, "takes images of any size", "--size 224x224"),
    (functional((None, 64, 3)), None, UsageError, "takes images of any size", "--size 64x64"),
    (functional((None, 64, 3)), (64, 32), UsageError, "--size 64x32 contradicts the input", "--size 64x64"),
    (functional((16, 16, 3)), (16, 8), UsageError, "--size 16x8 contradicts the input", "Remove --size"),
    (functional(), (2, 9), SourceError, "cannot process images of 2x9: layer", "--size HxW"),
    (
        functional(ANY, layers.Reshape((6 * 6 * 4,), name="flat")),
        (9, 9),
        SourceError,
        r"images of 9x9: layer 'flat' \(Reshape\)",
        "--size HxW",
    ),
    (
        keras.Sequential([layers.Input((8, 8, None)), layers.Rescaling(2.0), layers.GlobalAveragePooling2D()]),
        (8, 8),
        SourceError,
        "number of channels is not fixed",
        "Rebuild the model",
    ),
]


@pytest.mark.parametrize(("model", "size", "kind", "message", "hint"), REFUSED)
def test_unsuitable_size_is_refused(
    model: Any, size: tuple[int, int] | None, kind: type[CamserveError], message: str, hint: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        trace(model, size)
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize("size", ["224", "0x8", "8x-8", "axb", "8x8x3", (8,), (8.5, 8), ""])
def test_malformed_size_is_a_usage_error(size: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="height and a width in pixels, got"):
        export_model("resnet-mini", tmp_path / "bundle", size=size)


@pytest.mark.slow
def test_export_answers_as_the_model_at_this_size(tmp_path: Path) -> None:
    model = nested()
    model.save(tmp_path / "own.keras")
    export_model(tmp_path / "own.keras", tmp_path / "out", preprocessing="unit", resize="nearest", size="12x20")
    contract = json.loads((tmp_path / "out" / "contract.json").read_text())
    assert contract["input"]["shape"] == [12, 20, 3]
    images = np.random.default_rng(0).random((2, 12, 20, 3), np.float32)
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"image": images})
    np.testing.assert_allclose(logits, model.predict(images, verbose=0), atol=1e-5)
