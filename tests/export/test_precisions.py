"""Networks that were trained say the same in half precision and in int8, and their maps show the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from support import pointing
from support.comparison import Compared, Said, ask_export, open_session
from support.shapes import write_images
from support.trained import EXPORTS, NETWORKS, Trained, shapes_network

from camserve.export import export_model

# The first test of each network trains it.
pytestmark = [pytest.mark.slow, pytest.mark.longest, pytest.mark.timeout(1200)]

CASES = [(name, way) for name in NETWORKS for way in EXPORTS if (name, way) != ("digits", "int8-tensorrt")]
OF_KNOWN_PLACE = [case for case in CASES if case[0] == "shapes"]
LEAST_LEARNT = 0.97
LEAST_AGREEMENT = 0.99
LEAST_COSINE = 0.99
MOST_OFF_IDENTITY = 1e-4
POINTING_MARGIN = 0.01
CLEARLY = 0.1


@dataclass(frozen=True)
class Case:
    """An export of a trained network, compared with it on the images that were held out."""

    trained: Trained
    compared: Compared


@pytest.fixture(scope="module", params=CASES, ids=["-".join(case) for case in CASES])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    name, way = request.param
    trained = NETWORKS[name]()
    folder = tmp_path_factory.mktemp("precisions")
    bundle = export_model(
        trained.network,
        folder / "bundle",
        preprocessing=trained.preprocessing,
        calibration=write_images(trained.calibration, folder / "calibration"),
        cam_top_k=trained.network.output_shape[1],
        formats=["onnx"],
        **EXPORTS[way],
    )
    assert bundle.onnx_path is not None
    exported = ask_export(open_session(bundle.onnx_path), trained.inputs)
    return Case(trained, Compared(trained.answers, exported, trained.bias))


@pytest.fixture(scope="module")
def shapes() -> Trained:
    return shapes_network()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_has_learnt(name: str) -> None:
    trained = NETWORKS[name]()
    assert trained.accuracy >= LEAST_LEARNT


def test_the_class_is_the_one_that_keras_gives(case: Case) -> None:
    assert case.compared.agreement >= LEAST_AGREEMENT


def test_the_map_shows_what_the_map_of_keras_shows(case: Case) -> None:
    assert case.compared.cosine >= LEAST_COSINE


def test_the_map_is_the_one_of_the_answer(case: Case) -> None:
    assert case.compared.identity <= MOST_OFF_IDENTITY


@pytest.mark.parametrize("case", OF_KNOWN_PLACE, ids=["-".join(case) for case in OF_KNOWN_PLACE], indirect=True)
def test_the_map_points_at_the_shape_as_often_as_the_map_of_keras(case: Case) -> None:
    assert case.trained.masks is not None
    ours, theirs = case.compared.pointing(case.trained.masks)
    assert ours == pytest.approx(theirs, abs=POINTING_MARGIN)


def test_the_identity_is_measured_on_a_thousand_images(shapes: Trained) -> None:
    assert len(shapes.images) >= 1000


def test_the_map_of_keras_points_at_the_shape_clearly_more_often_than_chance(shapes: Trained) -> None:
    assert shapes.masks is not None
    said = shapes.answers
    maps = said.maps_of(said.classes)
    assert pointing.hits(maps, shapes.masks).mean() >= pointing.chance_level(maps.shape[1:], shapes.masks) + CLEARLY


def test_maps_of_another_class_are_noticed(shapes: Trained) -> None:
    """The negative control: maps shifted by one class have another direction, sum and place."""
    assert shapes.masks is not None
    said = shapes.answers
    compared = Compared(said, Said(said.logits, np.roll(said.maps, 1, axis=1)), shapes.bias)
    assert compared.agreement == 1
    assert compared.cosine < LEAST_COSINE
    assert compared.identity > MOST_OFF_IDENTITY
    ours, theirs = compared.pointing(shapes.masks)
    assert ours < theirs - POINTING_MARGIN
