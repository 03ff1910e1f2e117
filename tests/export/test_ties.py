"""Classes with equal probabilities or logits: their order in the exported files, in the client and in the map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image
from support.client_models import model_of

from camserve.bundle import Bundle
from camserve.clients.answers.classification import Classification, Timings
from camserve.clients.answers.query import ClassifyRequest, query_classes
from camserve.clients.answers.readout import read_classes, validate_replies
from camserve.clients.wire.values import Reply
from camserve.export import export_model
from camserve.export.formats.runner import Runner
from camserve.export.formats.writing import open_format

CLASSES, SIDE = 7, 8
BLACK, WHITE, GRAY = (Image.new("RGB", (SIDE, SIDE), color) for color in ("black", "white", "gray"))


def network(activation: str, gains: Any) -> keras.Model:
    """Build a network whose logits are gains times the brightness of the image, and exactly 0 for a black one."""
    image = layers.Input((SIDE, SIDE, 3))
    convolution = layers.Conv2D(4, 3, padding="same", activation="relu", use_bias=False)
    classes = layers.Dense(CLASSES, activation, name="classes")
    model = keras.Model(image, classes(layers.GlobalAveragePooling2D()(convolution(image))))
    rng = np.random.default_rng(0)
    convolution.set_weights([rng.uniform(0.1, 0.3, convolution.kernel.shape)])
    classes.set_weights([np.tile(np.asarray(gains, float), (4, 1)), np.zeros(CLASSES)])
    return model


def classify(
    bundle: Bundle, run: Runner, image: Image.Image, *, top: int = CLASSES, cam: bool = True
) -> Classification:
    """Classify as the client does, with the answers of an exported file."""
    request = ClassifyRequest(top=top, cam=cam)
    query = query_classes(lambda: image, model_of(bundle.contract, labels=bundle.labels), request)
    outputs = run(query.batch)
    reply = Reply("1", "127.0.0.1:8001", {name: np.asarray(outputs[name]) for name in query.outputs}, 0.1, 1, 0)
    return read_classes(validate_replies(query, [reply], Timings(0, 0, 0)), request)


def check_order(bundle: Bundle, run: Runner, image: Image.Image, order: list[int]) -> None:
    for top, cam in ((CLASSES, True), (5, True), (CLASSES, False)):  # the order of five maps replaces the logits
        answer = classify(bundle, run, image, top=top, cam=cam)
        assert [each.index for each in answer.top] == order[:top]
        assert [each.index for each in answer.cams] == (order[:5] if cam else [])


GAINS = {
    "sigmoid": [10, 40, 30, 50, 40, 20, 50],  # a white image saturates all seven; classes 3 and 6 are equal
    "softmax": [0, 900, 500, 900, 700, 500, 100],
    "zero": [0] * CLASSES,
}
ORDER = {"sigmoid": [3, 6, 1, 4, 2, 5, 0], "softmax": [1, 3, 4, 2, 5, 6, 0], "zero": list(range(CLASSES))}


@pytest.mark.parametrize("kind", GAINS)
def test_equal_classes_are_in_one_order_everywhere(kind: str, tmp_path: Path) -> None:
    activation = "sigmoid" if kind == "sigmoid" else "softmax"
    bundle = export_model(network(activation, GAINS[kind]), tmp_path / "bundle", preprocessing="unit", resize="nearest")
    for run in (open_format(bundle.path, name) for name in ("onnx", "savedmodel")):
        check_order(bundle, run, WHITE, ORDER[kind])
        check_order(bundle, run, BLACK, list(range(CLASSES)))
        assert len({each.probability for each in classify(bundle, run, WHITE).top}) <= 2  # saturated, or all equal


def test_int8_sorts_equal_logits_by_class_number(tmp_path: Path) -> None:
    for number, shade in enumerate(np.linspace(0, 255, 12).astype(int).tolist()):
        Image.new("RGB", (SIDE, SIDE), (shade, shade, shade)).save(tmp_path / f"{number}.png")
    bundle = export_model(
        network("sigmoid", GAINS["sigmoid"]),
        tmp_path / "bundle",
        preprocessing="unit",
        resize="nearest",
        precision="int8",
        calibration=tmp_path,
        formats="onnx",
    )
    run = open_format(bundle.path, "onnx")
    check_order(bundle, run, WHITE, ORDER["sigmoid"])
    check_order(bundle, run, GRAY, ORDER["sigmoid"])
    check_order(bundle, run, BLACK, list(range(CLASSES)))
