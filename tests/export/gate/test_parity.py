"""The metrics of the gate, and exports with one fault that it must reject."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from support.networks import enliven, small_network
from support.sabotage import SABOTAGE, change_onnx_file, edit_weights, sigmoid_for_softmax

from camserve.answer_differences import misranked_maps, other_winners
from camserve.bundle import load_bundle
from camserve.contract import PRESETS
from camserve.errors import ParityError
from camserve.export import export_model
from camserve.export.gate.metric import Metric, require_parity
from camserve.export.gate.parity import measure_parity
from camserve.export.gate.samples import sample_images
from camserve.export.gate.tolerances import Tolerances
from camserve.export.graph import cam_layer, fold
from camserve.export.graph.prepare import prepare
from camserve.pixels import normalize


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return enliven(small_network("average"), PRESETS["unit"])


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """Return a bundle's path; at the end nothing may be left there or beside it."""
    yield tmp_path / "bundle"
    assert list(tmp_path.iterdir()) == []


def failed_metrics(model: keras.Model, out: Path, **options: Any) -> set[str]:
    """Return the metrics that an export fails."""
    with pytest.raises(ParityError) as raised:
        export_model(model, out, preprocessing="unit", resize="nearest", **options)
    text = raised.value.message.split(": ", 1)[1]
    return {failure.split(" of ")[0] for failure in text.split("; ")}


def test_correct_export_passes(model: keras.Model, tmp_path: Path) -> None:
    bundle = export_model(model, tmp_path / "bundle", preprocessing="unit", resize="nearest", cam_all=True)
    assert all(metric["passed"] for metric in bundle.report["parity"])
    assert {metric["batch"] for metric in bundle.report["parity"]} == {0, 1, 3, 8}
    assert {metric["format"] for metric in bundle.report["parity"]} == {"network", "onnx", "savedmodel"}


def test_a_bias_that_cancels_the_map_costs_no_identity(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    image = keras.layers.Input((8, 8, 3))
    features = keras.layers.Conv2D(16, 3, activation="relu")(image)
    network = keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(features)))
    of_first = np.asarray(network(normalize(sample_images(1, 8, 8, 3), PRESETS["unit"])))[0]
    network.layers[-1].bias.assign(1e-4 - of_first)
    bundle = export_model(network, tmp_path / "bundle", preprocessing="unit", resize="nearest")
    assert all(metric["passed"] for metric in bundle.report["parity"])


def test_sample_images_have_different_answers(model: keras.Model) -> None:
    images = normalize(sample_images(12, 16, 16, 3), PRESETS["unit"])
    logits = prepare(model, cam=False, top_k=1, all_classes=False).reference(images).logits
    assert (logits.std(axis=0) > 0.25).all()
    assert len(set(logits.argmax(axis=1))) > 1


@pytest.mark.parametrize("fault", SABOTAGE)
def test_export_with_one_fault_fails(
    fault: str, model: keras.Model, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage, expected = SABOTAGE[fault]
    sabotage(monkeypatch)
    failed = failed_metrics(model, out)
    assert failed >= expected
    assert failed.isdisjoint({"unfolded", "reading"})


def test_map_of_another_cell_fails_only_map_metrics(
    model: keras.Model, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SABOTAGE["a map from another cell"][0](monkeypatch)
    assert failed_metrics(model, out) == {"cam", "cam_identity"}


def test_fault_before_conversion_fails_both_formats(
    model: keras.Model, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SABOTAGE["a mean forgotten"][0](monkeypatch)
    with pytest.raises(ParityError, match=r"logits of onnx.*logits of savedmodel"):
        export_model(model, out, preprocessing="unit", resize="nearest")


def test_maps_of_wrong_classes_fail(model: keras.Model, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = cam_layer.ClassMaps.__call__
    monkeypatch.setattr(
        cam_layer.ClassMaps, "__call__", lambda self, features, logits: original(self, features, -logits)
    )
    assert failed_metrics(model, out) == {"cam_class"}


def test_unfolded_batchnorm_fails(model: keras.Model, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from camserve.export.graph import prepare as module

    monkeypatch.setattr(module, "fold", lambda network: (network, fold.FoldReport((), ())))
    assert failed_metrics(model, out) == {"unfolded"}


def test_other_winner_counts_and_a_tie_does_not(model: keras.Model) -> None:
    keras_scores = np.array([[3.0, 1.0, 2.0], [1.0, 1.0 + 1e-9, 0.0]])
    assert other_winners(keras_scores, keras_scores, tolerance=1e-6).sum() == 0
    assert other_winners(keras_scores[:, ::-1], keras_scores, tolerance=1e-6).sum() == 1
    assert other_winners(np.array([[3.0, 1.0, 2.0], [2.0, 1.0, 0.0]]), keras_scores, tolerance=1e-6).sum() == 0
    assert not misranked_maps(np.array([[0, 2], [0, 1]]), keras_scores, tolerance=1e-6).any()
    misranked = misranked_maps(np.array([[0, 0], [1, 0]]), keras_scores, tolerance=1e-6)
    assert misranked.tolist() == [[False, True], [False, False]]


def test_probabilities_are_measured_separately(model: keras.Model, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sigmoid_for_softmax(monkeypatch)
    assert failed_metrics(model, out) == {"probabilities"}


def test_nan_never_passes() -> None:
    with pytest.raises(ParityError, match=r"logits of onnx, batch 3: nan > 0\.0001"):
        require_parity([Metric("onnx", "logits", 3, float("nan"), 1e-4)])


def test_metric_without_tolerance_passes_if_finite() -> None:
    require_parity([Metric("onnx", "logits", 3, 1e9, None)])
    for value in (float("nan"), float("inf")):
        with pytest.raises(ParityError, match=rf"logits of onnx, batch 3: {value}\. "):
            require_parity([Metric("onnx", "logits", 3, value, None)])


def test_nan_in_the_weights_fails(model: keras.Model, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change_onnx_file(
        monkeypatch, lambda graph: edit_weights(graph, "Conv", lambda weights: weights * np.float32("nan"))
    )
    assert failed_metrics(model, out) >= {"logits", "probabilities", "cam", "cam_identity"}


@pytest.mark.parametrize("output", ["logits", "probabilities", "cam", "cam_all"])
@pytest.mark.parametrize("wrong", [float("nan"), float("inf")], ids=str)
def test_nan_in_any_output_fails(output: str, wrong: float, model: keras.Model) -> None:
    prepared = prepare(model, cam=True, top_k=2, all_classes=True)
    images = normalize(sample_images(3, 16, 16, 3), PRESETS["unit"])
    keras_scores = prepared.reference(images)
    honest = {name: np.asarray(value) for name, value in prepared.served.function(images).items()}
    spoilt = {**honest, output: honest[output].copy()}
    spoilt[output].flat[1] = wrong

    def failed(outputs: dict[str, Any]) -> set[str]:
        found = measure_parity("onnx", lambda _: outputs, [(images, keras_scores)], prepared.head, Tolerances())
        return {metric.name for metric in found if not metric.passed}

    assert failed(honest) == set()
    assert ("cam" if output == "cam_all" else output) in failed(spoilt)


def scaled_logits(times: float) -> keras.Model:
    """Build a classifier without an activation, with scaled logits."""
    model = enliven(small_network("average", activation="linear"), PRESETS["unit"])
    last = model.get_layer("classes")
    last.set_weights([weights * times for weights in last.get_weights()])
    return model


def test_linear_logits_are_measured_relative_to_their_magnitude(tmp_path: Path) -> None:
    model = scaled_logits(40)
    images = normalize(sample_images(12, 16, 16, 3), PRESETS["unit"])
    assert np.abs(model(images)).max() > 30
    report = export_model(model, tmp_path / "bundle", preprocessing="unit", resize="nearest", formats=["onnx"]).report
    tolerances = {metric["figure"]: metric["bound"] for metric in report["parity"]}
    assert tolerances["probabilities"] == tolerances["reading"] == Tolerances().logits


@pytest.mark.parametrize("times", [1, 40])
def test_wrong_linear_answer_fails_at_any_magnitude(times: float, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change_onnx_file(
        monkeypatch, lambda graph: edit_weights(graph, "Conv", lambda weights: weights * np.float32(1.001))
    )
    assert failed_metrics(scaled_logits(times), out) >= {"logits", "probabilities"}


def test_smaller_tolerance_is_applied(model: keras.Model, out: Path) -> None:
    assert failed_metrics(model, out, tolerances=Tolerances(logits=0.0)) == {"logits"}


def test_failed_export_keeps_the_previous_bundle(
    model: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = export_model(model, tmp_path / "bundle", preprocessing="unit", resize="nearest", formats=["onnx"])
    change_onnx_file(monkeypatch, lambda graph: edit_weights(graph, "Conv", lambda weights: weights * 2))
    with pytest.raises(ParityError):
        export_model(model, tmp_path / "bundle", preprocessing="unit", resize="nearest", formats=["onnx"])
    assert load_bundle(tmp_path / "bundle") == earlier
