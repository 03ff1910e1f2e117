"""A classifier with one sigmoid as two classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from camserve.errors import ParityError, SourceError, UsageError
from camserve.export import export_model
from camserve.export.formats.writing import open_format
from camserve.export.graph.head import LinearHead
from camserve.export.graph.prepare import prepare
from camserve.export.graph.reference import logits_of_maps
from camserve.export.graph.two_classes import OppositeLogits

IMAGES = np.random.default_rng(2).uniform(0, 1, (4, 8, 8, 3)).astype(np.float32)


def network(tail: Any) -> keras.Model:
    image = layers.Input((8, 8, 3))
    features = layers.Conv2D(4, 3, activation="relu", name="features")(image)
    return keras.Model(image, tail(layers.BatchNormalization()(features)), name="binary")


def pooled(x: Any) -> Any:
    return layers.GlobalAveragePooling2D()(x)


keras.utils.set_random_seed(0)  # networks of a module are built before any fixture
HEADS = {
    "dense": network(lambda x: layers.Dense(1, "sigmoid", bias_initializer="ones")(pooled(x))),
    "activation": network(lambda x: layers.Activation("sigmoid")(layers.Dense(1)(pooled(x)))),
    "pointwise": network(lambda x: layers.Activation("sigmoid")(pooled(layers.Conv2D(1, 1)(x)))),
    "flatten": network(lambda x: layers.Dense(1, "sigmoid")(layers.Flatten()(x))),
    "operation": network(lambda x: keras.ops.sigmoid(layers.Dense(1)(pooled(x)))),
}
HIDDEN = network(
    lambda x: layers.Dense(1, "sigmoid", name="classes")(layers.Dense(5, "relu", name="hidden")(pooled(x)))
)


def expected(model: keras.Model) -> Any:
    probability = np.asarray(model(IMAGES, training=False), np.float64)
    return np.concatenate([1 - probability, probability], axis=1)


@pytest.mark.parametrize("name", HEADS)
def test_both_classes_have_probability_logit_and_map(name: str) -> None:
    one = prepare(HEADS[name], cam=True, top_k=5, all_classes=True)
    two = prepare(HEADS[name], cam=True, top_k=5, all_classes=True, two_classes=True)
    of_one, of_two = one.served.function(IMAGES), two.served.function(IMAGES)
    np.testing.assert_allclose(of_two["probabilities"], expected(HEADS[name]), atol=1e-6)
    np.testing.assert_allclose(two.predict(IMAGES), expected(HEADS[name]), atol=1e-6)
    for output in ("logits", "cam_all"):
        opposite = np.concatenate([-np.asarray(of_one[output]), of_one[output]], axis=1)
        np.testing.assert_allclose(of_two[output], opposite, atol=1e-6)
    assert isinstance(two.head, LinearHead)
    restored = logits_of_maps(np.asarray(of_two["cam_all"]), two.head) + two.head.bias
    np.testing.assert_allclose(restored, of_two["logits"], atol=1e-5)
    assert np.array_equal(np.asarray(of_two["cam_class"])[:, 0], expected(HEADS[name]).argmax(axis=1))
    assert (two.served.outputs[0].shape, two.served.cam and two.served.cam.top_k) == ((2,), 2)


@pytest.mark.parametrize("policy", ["float64", "mixed_float16", "mixed_bfloat16"])
def test_models_of_another_precision_have_two_classes(policy: str) -> None:
    keras.config.set_dtype_policy(policy)
    try:
        model = network(lambda x: layers.Dense(1, "sigmoid")(pooled(x)))
    finally:
        keras.config.set_dtype_policy("float32")
    prepared = prepare(model, cam=True, top_k=2, all_classes=False, two_classes=True)
    assert prepared.served.function(IMAGES)["probabilities"].dtype == "float32"
    np.testing.assert_allclose(prepared.served.function(IMAGES)["probabilities"], expected(model), atol=1e-2)


def test_a_head_with_hidden_layers_has_two_classes_without_maps() -> None:
    prepared = prepare(HIDDEN, cam=False, top_k=2, all_classes=False, two_classes=True)
    np.testing.assert_allclose(prepared.served.function(IMAGES)["probabilities"], expected(HIDDEN), atol=1e-6)
    assert {"classes", "two_classes"} <= prepared.served.head  # stays float32 in every precision


@pytest.mark.parametrize(("activation", "why"), [(None, "one value without sigmoid"), ("softmax", "always 1")])
def test_two_classes_require_a_sigmoid(activation: str | None, why: str) -> None:
    model = network(lambda x: layers.Dense(1, activation)(pooled(x)))
    with pytest.raises(SourceError, match=why):
        prepare(model, cam=True, top_k=2, all_classes=False, two_classes=True)


def test_two_labels_export_two_classes(tmp_path: Path) -> None:
    model = HEADS["dense"]
    options: Any = {"preprocessing": "unit", "resize": "nearest"}
    bundle = export_model(model, tmp_path / "bundle", labels={"dog": 1, "cat": 0}, **options)
    assert (bundle.labels, bundle.contract.classes, bundle.contract.activation) == (("cat", "dog"), 2, "sigmoid")
    assert bundle.report["notes"] == [
        "one sigmoid is served as two classes: 'cat' (class 0) with 1 - p, 'dog' (class 1) with p"
    ]
    for name in ("onnx", "savedmodel"):
        outputs = open_format(bundle.path, name)(IMAGES)
        np.testing.assert_allclose(outputs["probabilities"], expected(model), atol=1e-6)
        assert np.asarray(outputs["cam"]).shape == (4, 2, 6, 6)
    for labels in (["cat"], ["cat", "dog", "bird"]):
        with pytest.raises(UsageError, match=r"in the list for one sigmoid, which decides between two classes"):
            export_model(model, tmp_path / "other", labels=labels, **options)


def test_classes_in_the_wrong_order_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OppositeLogits, "call", lambda _, inputs: keras.ops.concatenate([inputs, -inputs], axis=-1))
    with pytest.raises(ParityError, match="network"):
        export_model(
            HEADS["dense"],
            tmp_path / "bundle",
            preprocessing="unit",
            resize="nearest",
            labels=["cat", "dog"],
            cam=False,
            formats="onnx",
        )
