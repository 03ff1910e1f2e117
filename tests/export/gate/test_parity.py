"""Each figure of the gate, and for each an export that is wrong in one way, which it must stop."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from support.networks import enliven, small_network
from support.sabotage import SABOTAGE, change_onnx_file, edit_weights

from camserve.bundle import load_bundle
from camserve.contract import PRESETS
from camserve.errors import ParityError
from camserve.export import export_model
from camserve.export.gate.differences import wrong_ranks, wrong_winners
from camserve.export.gate.parity import Metric, judge, measure
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
    """Where a bundle would go; nothing may be left there or beside it."""
    yield tmp_path / "bundle"
    assert list(tmp_path.iterdir()) == []


def stopped_by(model: keras.Model, out: Path, **options: Any) -> set[str]:
    """The figures that stop an export."""
    with pytest.raises(ParityError) as stop:
        export_model(model, out, preprocessing="unit", **options)
    text = stop.value.message.split(": ", 1)[1]
    return {missed.split(" of ")[0] for missed in text.split("; ")}


def test_an_honest_export_passes(model: keras.Model, tmp_path: Path) -> None:
    bundle = export_model(model, tmp_path / "bundle", preprocessing="unit", cam_all=True)
    assert all(figure["passed"] for figure in bundle.report["parity"])
    assert {figure["batch"] for figure in bundle.report["parity"]} == {0, 1, 3, 8}
    assert {figure["format"] for figure in bundle.report["parity"]} == {"network", "onnx", "savedmodel"}


def test_the_sample_images_tell_images_apart(model: keras.Model) -> None:
    images = normalize(sample_images(12, 16, 16, 3), PRESETS["unit"])
    logits = prepare(model, cam=False, top_k=1, all_classes=False).reference(images).logits
    assert (logits.std(axis=0) > 0.25).all()
    assert len(set(logits.argmax(axis=1))) > 1


@pytest.mark.parametrize("way", SABOTAGE)
def test_an_export_that_is_wrong_in_one_way_is_stopped(
    way: str, model: keras.Model, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage, missed = SABOTAGE[way]
    sabotage(monkeypatch)
    stopping = stopped_by(model, out)
    assert stopping >= missed
    assert stopping.isdisjoint({"unfolded", "reading"})


def test_a_map_of_another_cell_leaves_the_answers_alone(
    model: keras.Model, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SABOTAGE["a map from another cell"][0](monkeypatch)
    assert stopped_by(model, out) == {"cam", "cam_identity"}


def test_what_is_wrong_before_the_conversion_is_stopped_in_both_formats(
    model: keras.Model, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SABOTAGE["a mean forgotten"][0](monkeypatch)
    with pytest.raises(ParityError, match=r"logits of onnx.*logits of savedmodel"):
        export_model(model, out, preprocessing="unit")


def test_maps_of_the_wrong_classes_are_stopped(model: keras.Model, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = cam_layer.ClassMaps.__call__
    monkeypatch.setattr(cam_layer.ClassMaps, "__call__", lambda self, features, logits: right(self, features, -logits))
    assert stopped_by(model, out) == {"cam_class"}


def test_a_batchnorm_that_was_left_is_stopped(model: keras.Model, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from camserve.export.graph import prepare as module

    monkeypatch.setattr(module, "fold", lambda network: (network, fold.FoldReport((), ())))
    assert stopped_by(model, out) == {"unfolded"}


def test_another_winner_is_stopped_and_a_tie_is_not(model: keras.Model) -> None:
    keras_says = np.array([[3.0, 1.0, 2.0], [1.0, 1.0 + 1e-9, 0.0]])
    assert wrong_winners(keras_says, keras_says, tolerance=1e-6) == 0
    assert wrong_winners(keras_says[:, ::-1], keras_says, tolerance=1e-6) == 1
    assert wrong_winners(np.array([[3.0, 1.0, 2.0], [2.0, 1.0, 0.0]]), keras_says, tolerance=1e-6) == 0
    assert wrong_ranks(np.array([[0, 2], [0, 1]]), keras_says, tolerance=1e-6) == 0
    assert wrong_ranks(np.array([[0, 0], [1, 0]]), keras_says, tolerance=1e-6) == 2


def test_probabilities_are_measured_apart_from_logits(
    model: keras.Model, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sigmoid_for_softmax(graph: onnx.ModelProto) -> None:
        node = next(node for node in graph.graph.node if node.op_type == "Softmax")
        node.op_type = "Sigmoid"
        del node.attribute[:]

    change_onnx_file(monkeypatch, sigmoid_for_softmax)
    assert stopped_by(model, out) == {"probabilities"}


def test_a_figure_that_is_no_number_never_passes() -> None:
    with pytest.raises(ParityError, match=r"logits of onnx, batch 3: nan > 0\.0001"):
        judge([Metric("onnx", "logits", 3, float("nan"), 1e-4)])


def test_a_figure_without_a_bound_passes_if_it_is_a_number() -> None:
    judge([Metric("onnx", "logits", 3, 1e9, None)])
    for value in (float("nan"), float("inf")):
        with pytest.raises(ParityError, match=rf"logits of onnx, batch 3: {value}\. "):
            judge([Metric("onnx", "logits", 3, value, None)])


def test_not_a_number_in_the_weights_is_stopped(model: keras.Model, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change_onnx_file(
        monkeypatch, lambda graph: edit_weights(graph, "Conv", lambda weights: weights * np.float32("nan"))
    )
    assert stopped_by(model, out) >= {"logits", "probabilities", "cam", "cam_identity"}


@pytest.mark.parametrize("output", ["logits", "probabilities", "cam", "cam_all"])
@pytest.mark.parametrize("wrong", [float("nan"), float("inf")], ids=str)
def test_a_value_that_is_no_number_is_stopped_in_every_output(output: str, wrong: float, model: keras.Model) -> None:
    prepared = prepare(model, cam=True, top_k=2, all_classes=True)
    images = normalize(sample_images(3, 16, 16, 3), PRESETS["unit"])
    keras_says = prepared.reference(images)
    honest = {name: np.asarray(value) for name, value in prepared.served.function(images).items()}
    spoilt = {**honest, output: honest[output].copy()}
    spoilt[output].flat[1] = wrong

    def missed(said: dict[str, Any]) -> set[str]:
        found = measure("onnx", lambda _: said, [(images, keras_says)], prepared.head, Tolerances())
        return {figure.figure for figure in found if not figure.passed}

    assert missed(honest) == set()
    assert ("cam" if output == "cam_all" else output) in missed(spoilt)


def loud(times: float) -> keras.Model:
    """A classifier without an activation, its logits so many times as large."""
    model = enliven(small_network("average", activation="linear"), PRESETS["unit"])
    last = model.get_layer("classes")
    last.set_weights([weights * times for weights in last.get_weights()])
    return model


def test_large_logits_without_an_activation_are_measured_by_their_size(tmp_path: Path) -> None:
    model = loud(40)
    images = normalize(sample_images(12, 16, 16, 3), PRESETS["unit"])
    assert np.abs(model(images)).max() > 30
    report = export_model(model, tmp_path / "bundle", preprocessing="unit", formats=["onnx"]).report
    bounds = {figure["figure"]: figure["bound"] for figure in report["parity"]}
    assert bounds["probabilities"] == bounds["reading"] == Tolerances().logits


@pytest.mark.parametrize("times", [1, 40])
def test_an_answer_that_is_off_without_an_activation_is_stopped_whatever_its_size(
    times: float, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_onnx_file(
        monkeypatch, lambda graph: edit_weights(graph, "Conv", lambda weights: weights * np.float32(1.001))
    )
    assert stopped_by(loud(times), out) >= {"logits", "probabilities"}


def test_a_tighter_budget_is_kept_to(model: keras.Model, out: Path) -> None:
    assert stopped_by(model, out, budget=Tolerances(logits=0.0)) == {"logits"}


def test_the_earlier_bundle_stays_when_the_new_one_fails(
    model: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = export_model(model, tmp_path / "bundle", preprocessing="unit", formats=["onnx"])
    change_onnx_file(monkeypatch, lambda graph: edit_weights(graph, "Conv", lambda weights: weights * 2))
    with pytest.raises(ParityError):
        export_model(model, tmp_path / "bundle", preprocessing="unit", formats=["onnx"])
    assert load_bundle(tmp_path / "bundle") == earlier
