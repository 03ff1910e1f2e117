"""Outputs and maps of trained networks in half precision and int8, compared with Keras."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from support import pointing
from support.comparison import Comparison, Outputs, open_session, run_export
from support.shapes import write_images
from support.trained import EXPORTS, NETWORKS, Trained, shapes_network

from camserve.export import export_model

# The first test of each network trains it.
pytestmark = [pytest.mark.slow, pytest.mark.longest, pytest.mark.timeout(1200)]

CASES = [(name, export) for name in NETWORKS for export in EXPORTS if (name, export) != ("digits", "int8-tensorrt")]
LARGE = "signs"  # takes minutes to train
MIN_ACCURACY = 0.97
MIN_AGREEMENT = 0.99
MIN_COSINE = 0.99
MAX_IDENTITY_ERROR = 1e-4
POINTING_MARGIN = 0.01
MARGIN_ABOVE_CHANCE = 0.1


@dataclass(frozen=True)
class Case:
    """An export of a trained network and its comparison with Keras on held-out images."""

    trained: Trained
    comparison: Comparison


def marks_of(name: str, export: str) -> list[pytest.MarkDecorator]:
    """Mark the large network, and the digits in float32, which `test_end_to_end.py` serves and compares."""
    return [pytest.mark.exhaustive] if name == LARGE or (name, export) == ("digits", "fp32") else []


def parameters(names: Container[str]) -> list[Any]:
    """Return the cases of some networks as parameters of a fixture."""
    return [
        pytest.param((name, export), id=f"{name}-{export}", marks=marks_of(name, export))
        for name, export in CASES
        if name in names
    ]


@pytest.fixture(scope="module", params=parameters(NETWORKS))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    name, export = request.param
    trained = NETWORKS[name]()
    folder = tmp_path_factory.mktemp("precisions")
    bundle = export_model(
        trained.network,
        folder / "bundle",
        preprocessing=trained.preprocessing,
        calibration=write_images(trained.calibration, folder / "calibration"),
        cam_top_k=trained.network.output_shape[1],
        formats=["onnx"],
        **EXPORTS[export],
    )
    assert bundle.onnx_path is not None
    exported = run_export(open_session(bundle.onnx_path), trained.inputs)
    return Case(trained, Comparison(trained.outputs, exported, trained.bias))


@pytest.fixture(scope="module")
def shapes() -> Trained:
    return shapes_network()


@pytest.mark.parametrize("name", ["digits", "shapes", pytest.param(LARGE, marks=pytest.mark.exhaustive)])
def test_network_is_trained(name: str) -> None:
    trained = NETWORKS[name]()
    assert trained.accuracy >= MIN_ACCURACY


def test_top_1_agrees_with_keras(case: Case) -> None:
    assert case.comparison.agreement >= MIN_AGREEMENT


def test_maps_agree_with_keras(case: Case) -> None:
    assert case.comparison.cosine >= MIN_COSINE


def test_map_mean_plus_bias_is_the_logit(case: Case) -> None:
    assert case.comparison.identity <= MAX_IDENTITY_ERROR


@pytest.mark.parametrize("case", parameters(("shapes", LARGE)), indirect=True)
def test_maps_point_at_the_object_as_often_as_keras(case: Case) -> None:
    assert case.trained.masks is not None
    ours, theirs = case.comparison.pointing(case.trained.masks)
    assert ours == pytest.approx(theirs, abs=POINTING_MARGIN)


def test_identity_is_measured_on_1000_images(shapes: Trained) -> None:
    assert len(shapes.images) >= 1000


def test_maps_of_keras_point_at_the_object_above_chance(shapes: Trained) -> None:
    assert shapes.masks is not None
    outputs = shapes.outputs
    maps = outputs.maps_of(outputs.classes)
    assert (
        pointing.hits(maps, shapes.masks).mean()
        >= pointing.chance_level(maps.shape[1:], shapes.masks) + MARGIN_ABOVE_CHANCE
    )


def test_maps_of_another_class_are_detected(shapes: Trained) -> None:
    """Negative control: maps shifted by one class have another direction, mean and position."""
    assert shapes.masks is not None
    outputs = shapes.outputs
    comparison = Comparison(outputs, Outputs(outputs.logits, np.roll(outputs.maps, 1, axis=1)), shapes.bias)
    assert comparison.agreement == 1
    assert comparison.cosine < MIN_COSINE
    assert comparison.identity > MAX_IDENTITY_ERROR
    ours, theirs = comparison.pointing(shapes.masks)
    assert ours < theirs - POINTING_MARGIN
