"""The gate follows the rounding of Keras itself, and no further: a correct export passes, a fault does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from support.networks import draw_weights
from support.sabotage import SABOTAGE

from camserve.contract import PRESETS
from camserve.errors import ParityError
from camserve.export import Tolerances, export_model
from camserve.export.gate.gate import measure_network
from camserve.export.gate.parity import largest_differences, measure_parity
from camserve.export.gate.samples import sample_images
from camserve.export.graph.exact import Truth, find_truth
from camserve.export.graph.prepare import Prepared, prepare
from camserve.export.graph.reference import ReferenceOutputs
from camserve.pixels import normalize

PRESET = PRESETS["unit"]
IMAGES = normalize(sample_images(12, 16, 16, 3), PRESET)


def residual_network() -> keras.Model:
    """Build three residual blocks, whose BatchNorms subtract large biases again: Keras's float32 loses digits."""
    image = layers.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, padding="same", name="stem")(image)
    for block in range(3):
        branch = x
        for place in range(2):
            branch = layers.Conv2D(8, 3, padding="same", name=f"conv{block}_{place}")(branch)
            branch = layers.BatchNormalization(name=f"bn{block}_{place}")(branch)
            branch = branch if place else layers.ReLU(name=f"relu{block}_{place}")(branch)
        x = layers.ReLU(name=f"relu{block}")(layers.Add(name=f"add{block}")([x, branch]))
    x = layers.Flatten(name="flatten")(layers.AveragePooling2D(8, name="pool")(x))
    model = keras.Model(image, layers.Dense(6, "softmax", name="classes")(x), name="residual")
    return draw_weights(model, PRESET, seed=2, biases=30.0)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return residual_network()


@pytest.fixture(scope="module")
def prepared(model: keras.Model) -> Prepared:
    return prepare(model, cam=True, top_k=5, all_classes=False)


@pytest.fixture(scope="module")
def truth(prepared: Prepared) -> Truth:
    return find_truth(prepared.reference, IMAGES[:1])


@pytest.fixture(scope="module")
def exact(truth: Truth) -> ReferenceOutputs:
    return truth.exact(IMAGES)


@pytest.fixture(scope="module")
def noise(truth: Truth, exact: ReferenceOutputs) -> dict[Any, float]:
    return largest_differences([(exact, truth.keras(IMAGES))], 5, "softmax")


def test_correct_export_passes_and_the_former_rule_refused_it(
    prepared: Prepared, truth: Truth, model: keras.Model, tmp_path: Path
) -> None:
    bundle = export_model(model, tmp_path / "bundle", preprocessing="unit", resize="nearest", formats=["onnx"])
    assert all(row["passed"] for row in bundle.report["parity"])
    assert bundle.report["reference"] == {"dtype": "float64", "obstacle": None, "rounded": []}
    assert bundle.report["warnings"] == []
    rows = [row for row in bundle.report["parity"] if row["figure"] == "probabilities"]
    assert {row["bound"] for row in rows} == {row["default"] for row in rows} == {2 * row["noise"] for row in rows}
    answers = {name: np.asarray(value) for name, value in prepared.served.function(IMAGES).items()}
    former = measure_parity("onnx", lambda _: answers, [(IMAGES, truth.keras(IMAGES))], prepared.head, Tolerances())
    assert "probabilities" in {metric.name for metric in former if not metric.passed}


@pytest.mark.parametrize("fault", [fault for fault in SABOTAGE if "cell" not in fault])
def test_fault_is_refused_in_a_network_with_much_rounding(
    fault: str, model: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage, expected = SABOTAGE[fault]
    sabotage(monkeypatch)
    with pytest.raises(ParityError) as raised:
        export_model(model, tmp_path / "bundle", preprocessing="unit", resize="nearest", formats=["onnx"])
    assert all(f"{name} of onnx" in raised.value.message for name in expected)


def test_limit_is_twice_the_rounding_of_keras(noise: dict[Any, float]) -> None:
    assert 1e-5 < noise["probabilities"] < 1e-4
    limit = Tolerances().limit("probabilities", noise["probabilities"])
    assert limit.value == limit.default == 2 * noise["probabilities"]
    assert Tolerances().limit("logits", 1e-6).value == 1e-4
    assert Tolerances().limit("logits", float("nan")).value == 1e-4


@pytest.mark.parametrize("option", ["logits", "probabilities", "cam"])
def test_limit_is_never_above_a_thousandth(option: str) -> None:
    assert Tolerances().limit(option, 0.3).value == 1e-3


@pytest.mark.parametrize("given", [1e-7, 3e-3])
def test_tolerance_that_was_given_is_applied_as_it_is(given: float) -> None:
    limit = Tolerances(probabilities=given).limit("probabilities", 1e-4)
    assert (limit.value, limit.default) == (given, 2e-4)


def readings() -> dict[str, Callable[[Any], Any]]:
    return {
        "three times the rounding": lambda answers: answers + 1e-4 * np.eye(6)[0],
        "another class": lambda answers: np.roll(answers, 1, axis=1),
        "not a number": lambda answers: answers * np.nan,
    }


@pytest.mark.parametrize("wrong", readings())
def test_wrong_reading_is_refused(
    wrong: str, prepared: Prepared, exact: ReferenceOutputs, noise: dict[Any, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def reading() -> bool:
        metrics = measure_network(prepared, IMAGES, exact, Tolerances(), noise["probabilities"])
        return next(metric.passed for metric in metrics if metric.name == "reading")

    assert reading()
    predict = prepared.predict
    monkeypatch.setitem(prepared.__dict__, "predict", lambda images: readings()[wrong](predict(images)))
    assert not reading()


def test_noise_of_maps_is_that_of_the_best_classes(exact: ReferenceOutputs) -> None:
    assert exact.maps is not None
    best, worst = exact.logits[0].argmax(), exact.logits[0].argmin()
    maps = exact.maps.copy()
    maps[0, worst] += 1
    other = ReferenceOutputs(exact.probabilities, exact.logits, maps)
    assert largest_differences([(exact, other)], 1, "softmax")["cam"] == 0
    assert largest_differences([(exact, other)], None, "softmax")["cam"] > 0
    maps[0, best] += 1
    assert largest_differences([(exact, other)], 1, "softmax")["cam"] > 0


class Fixed(layers.Layer):  # type: ignore[misc]
    """A layer that fails in float64."""

    def call(self, x: Any) -> Any:
        if keras.backend.standardize_dtype(x.dtype) == "float64":
            raise TypeError("float32 only")
        return x * 2


def test_fallback_to_float32_is_reported(tmp_path: Path) -> None:
    image = layers.Input((16, 16, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(Fixed(name="fixed")(image)))
    model = keras.Model(image, layers.Dense(3, "softmax")(x))
    report = export_model(model, tmp_path / "bundle", preprocessing="unit", resize="nearest", formats=["onnx"]).report
    obstacle = "layer 'fixed' (Fixed) cannot run in float64: float32 only"
    assert report["reference"] == {"dtype": "float32", "obstacle": obstacle, "rounded": []}
    assert report["warnings"][0].startswith(f"{obstacle}: parity in fp32 was measured against Keras's own answers")
    assert all(row["noise"] is None for row in report["parity"])
    page = (tmp_path / "bundle" / "report.html").read_text()
    assert "Parity with Keras in float32" in page
    assert "float32 only" in page


def test_network_that_does_not_distinguish_the_images_is_reported(tmp_path: Path) -> None:
    image = layers.Input((16, 16, 3))
    features = layers.Conv2D(4, 3, activation="relu", bias_initializer=keras.initializers.Constant(-100.0))(image)
    model = keras.Model(image, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(features)))
    report = export_model(model, tmp_path / "bundle", preprocessing="unit", resize="nearest", formats=["onnx"]).report
    (warning,) = report["warnings"]
    assert warning.startswith("the network's answers to 8 different images are equal within the tolerances")


def test_refusal_names_the_layer_without_float64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = layers.Input((16, 16, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(Fixed(name="fixed")(image)))
    model = keras.Model(image, layers.Dense(3, "softmax")(x))
    SABOTAGE["one weight changed"][0](monkeypatch)
    expected = r"; the reference was Keras itself instead of float64: layer 'fixed' \(Fixed\) cannot run in float64"
    with pytest.raises(ParityError, match=expected):
        export_model(model, tmp_path / "bundle", preprocessing="unit", resize="nearest", formats=["onnx"])
