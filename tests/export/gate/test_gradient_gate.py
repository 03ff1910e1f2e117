"""The gate for maps of a head that is not linear: exports with one fault, which it must reject."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from support.gradient_faults import FAULTS, FAULTS_OF_NORMALIZATIONS, Monkey, wrong_cell
from support.networks import enliven

from camserve.contract import PRESETS
from camserve.export import export_model
from camserve.export.gate.agreement import measure_agreement
from camserve.export.gate.determined import undetermined_metric, with_determined
from camserve.export.gate.parity import measure_parity
from camserve.export.gate.samples import sample_images
from camserve.export.gate.tolerances import Tolerances
from camserve.export.graph.exact import Truth, find_truth
from camserve.export.graph.prepare import Prepared, prepare
from camserve.export.graph.reference import ReferenceOutputs
from camserve.pixels import normalize

IMAGES = normalize(sample_images(6, 16, 16, 3), PRESETS["unit"])


def network(*, hidden_bias: bool = True, activation: str = "silu") -> keras.Model:
    """Build a network with average and maximum pooling, normalization and two hidden layers."""
    image = layers.Input((16, 16, 3))
    x = layers.Conv2D(12, 3, strides=2, padding="same", activation="relu", name="features")(image)
    pooled = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])
    if hidden_bias:
        pooled = layers.LayerNormalization()(pooled)
    biases = keras.initializers.RandomNormal(stddev=0.3)
    first = layers.Dense(16, "relu", use_bias=hidden_bias, bias_initializer=biases, name="first")(pooled)
    last = layers.Dense(10, activation, use_bias=hidden_bias, bias_initializer=biases, name="second")(first)
    classes = layers.Dense(6, "softmax", name="classes")(layers.Dropout(0.5)(last))
    return enliven(keras.Model(image, classes, name="hidden"), PRESETS["unit"])


def normalized_network() -> keras.Model:
    """Build a network with every normalization of its own values, a softmax and a separable convolution."""
    image = layers.Input((16, 16, 3))
    x = layers.Conv2D(12, 3, strides=2, padding="same", activation="relu", name="features")(image)
    whole = layers.Flatten()(layers.SeparableConv2D(16, 8, depth_multiplier=2, activation="gelu")(x))
    hidden = layers.RMSNormalization()(layers.GroupNormalization(4)(whole))
    shares = layers.Dense(8, "softmax", name="shares")(hidden)
    x = layers.Concatenate()([layers.UnitNormalization()(whole), shares])
    return enliven(keras.Model(image, layers.Dense(6, name="classes")(x), name="normalized"), PRESETS["unit"])


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return network()


@pytest.fixture(scope="module")
def homogeneous() -> keras.Model:
    return network(hidden_bias=False, activation="relu")


@pytest.fixture(scope="module")
def normalized() -> keras.Model:
    return normalized_network()


def failed(model: keras.Model, change: Callable[[Any], Any] | None = None) -> set[str]:
    """Return the metrics that the served graph of a model fails, with a change of its outputs."""
    prepared = prepare(model, cam=True, top_k=3, all_classes=False)
    _, answers = truth_of(prepared)
    served = {name: np.asarray(value) for name, value in prepared.served.function(IMAGES).items()}
    outputs = served if change is None else change(served)
    metrics = measure_parity("onnx", lambda _: outputs, [(IMAGES, answers)], prepared.head, Tolerances())
    return {metric.name for metric in metrics if not metric.passed}


def truth_of(prepared: Prepared) -> tuple[Truth, ReferenceOutputs]:
    truth = find_truth(prepared.reference, IMAGES[:1])
    assert truth.obstacle is None
    return truth, with_determined(truth.exact(IMAGES), truth.keras(IMAGES))


def test_correct_maps_pass(model: keras.Model, homogeneous: keras.Model, normalized: keras.Model) -> None:
    assert failed(model) == failed(homogeneous) == failed(normalized) == set()


@pytest.mark.parametrize("fault", FAULTS)
def test_maps_with_one_fault_fail(fault: str, model: keras.Model, monkeypatch: Monkey) -> None:
    FAULTS[fault](monkeypatch)
    assert failed(model) == {"cam"}


@pytest.mark.parametrize("fault", FAULTS_OF_NORMALIZATIONS)
def test_maps_of_normalized_values_with_one_fault_fail(
    fault: str, normalized: keras.Model, monkeypatch: Monkey
) -> None:
    FAULTS_OF_NORMALIZATIONS[fault](monkeypatch)
    assert failed(normalized) == {"cam"}


@pytest.mark.parametrize(
    "fault", ["the derivative of ReLU forgotten", "the number of positions forgotten", "the wrong class"]
)
def test_sum_of_a_wrong_map_is_not_the_logit(fault: str, homogeneous: keras.Model, monkeypatch: Monkey) -> None:
    FAULTS[fault](monkeypatch)
    assert failed(homogeneous) == {"cam", "cam_identity"}


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")], ids=str)
def test_nan_in_a_map_fails_even_if_it_is_not_compared(wrong: float, model: keras.Model) -> None:
    prepared = prepare(model, cam=True, top_k=3, all_classes=False)
    _, answers = truth_of(prepared)
    answers = replace(answers, determined=np.zeros(len(IMAGES), np.bool_))
    served = {name: np.array(value) for name, value in prepared.served.function(IMAGES).items()}

    def cam_passes() -> bool:
        metrics = measure_parity("onnx", lambda _: served, [(IMAGES, answers)], prepared.head, Tolerances())
        return next(metric.passed for metric in metrics if metric.name == "cam")

    served["cam"] += 1.0
    assert cam_passes()
    served["cam"].flat[5] = wrong
    assert not cam_passes()


def kinked(*, at: float) -> Prepared:
    """Return a network whose only hidden unit reads `at` for the first image."""
    image = layers.Input((4, 4, 3))
    features = layers.Conv2D(2, 1, name="features")(image)
    hidden = layers.Dense(1, "relu", name="unit")
    model = keras.Model(image, layers.Dense(3)(hidden(layers.GlobalAveragePooling2D()(features))))
    pooled = keras.Model(image, hidden.input)
    value = np.asarray(pooled(IMAGES[:1, :4, :4])) @ hidden.kernel
    hidden.bias.assign([at - float(value[0, 0])])
    return prepare(model, cam=True, top_k=2, all_classes=False)


def determined(prepared: Prepared, images: Any) -> list[bool]:
    truth = find_truth(prepared.reference, images[:1])
    marks = with_determined(truth.exact(images), truth.keras(images)).determined
    assert marks is not None
    return [bool(mark) for mark in marks]


@pytest.mark.parametrize(("at", "expected"), [(0.0, False), (1e-9, False), (0.02, True), (-0.02, True)])
def test_image_at_the_zero_of_a_relu_is_not_compared(at: float, expected: bool) -> None:
    assert determined(kinked(at=at), IMAGES[:1, :4, :4]) == [expected]


def test_equal_maxima_are_not_compared() -> None:
    image = layers.Input((4, 4, 3))
    features = layers.Conv2D(2, 1, name="features")(image)
    model = keras.Model(image, layers.Dense(3)(layers.GlobalMaxPooling2D()(features)))
    prepared = prepare(model, cam=True, top_k=2, all_classes=False)
    flat, different = np.full((1, 4, 4, 3), 0.5, np.float32), IMAGES[:1, :4, :4]
    assert determined(prepared, np.concatenate([flat, different])) == [False, True]


def test_share_of_undetermined_images_is_limited() -> None:
    def share(*marks: bool) -> tuple[float, bool]:
        empty = np.zeros((len(marks), 3))
        (metric,) = undetermined_metric([ReferenceOutputs(empty, empty, None, determined=np.array(marks))])
        return metric.value, metric.passed

    assert share(True, True, True, False) == (0.25, True)
    assert share(True, True, False) == (1 / 3, False)
    assert undetermined_metric([ReferenceOutputs(np.zeros((1, 3)), np.zeros((1, 3)), None)]) == []


def test_lower_precision_measures_the_gradient_maps(model: keras.Model, monkeypatch: Monkey) -> None:
    def metrics() -> dict[str, bool]:
        prepared = prepare(model, cam=True, top_k=3, all_classes=False)
        served = prepared.served.function(IMAGES)
        batches = [(IMAGES, prepared.reference(IMAGES))]
        found = measure_agreement("onnx", lambda _: served, batches, prepared.head, Tolerances())
        return {metric.name: metric.passed for metric in found}

    assert all(metrics().values())
    assert "cam_identity" not in metrics()
    wrong_cell(monkeypatch)
    assert [name for name, passed in metrics().items() if not passed] == ["cam_distance"]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_both_formats_are_exported_and_measured(precision: Any, model: keras.Model, tmp_path: Path) -> None:
    bundle = export_model(model, tmp_path / "bundle", preprocessing="unit", resize="nearest", precision=precision)
    assert bundle.contract.version == 2
    assert bundle.contract.cam is not None
    assert bundle.contract.cam.method == "gradient"
    measured = {(row["format"], row["figure"]) for row in bundle.report["parity"]}
    assert {("onnx", "cam"), ("savedmodel", "cam"), ("network", "cam_undetermined")} <= measured
    assert bundle.report["head"] == "layer_normalization+first+second+classes"
    page = (tmp_path / "bundle" / "report.html").read_text()
    assert "derivative of the logit (HiResCAM)" in page
