"""How the contract states the method of the maps, and what clients that do not know it do."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.client_models import served
from support.stub_server import StubServer, correct_answer
from support.toy import toy_contract

from camserve.clients import Classifier
from camserve.clients.answers.served_model import Overrides, read_model
from camserve.contract import CamContract, ModelContract
from camserve.errors import BundleError
from camserve.images.pixel_arrays import Pixels

LINEAR, GRADIENT = toy_contract(), toy_contract(kind="gradient")
IMAGE = Pixels(np.zeros((8, 8, 3), np.uint8), "rgb")


def test_linear_maps_keep_version_1_and_gradient_maps_have_version_2() -> None:
    assert (LINEAR.version, GRADIENT.version) == (1, 2)
    assert LINEAR.cam is not None
    assert GRADIENT.cam is not None
    assert (LINEAR.cam.method, GRADIENT.cam.method) == ("linear", "gradient")
    assert {**json.loads(GRADIENT.to_json()), "version": 1, "cam": None} == {
        **json.loads(LINEAR.to_json()),
        "cam": None,
    }


@pytest.mark.parametrize("kind", ["global-average", "average", "flatten"])
def test_every_pooling_is_linear(kind: str) -> None:
    cam = CamContract.model_validate({"kind": kind, "grid": (4, 4), "top_k": 3})
    assert cam.method == "linear"


@pytest.mark.parametrize("contract", [LINEAR, GRADIENT], ids=["linear", "gradient"])
def test_contract_is_read_as_it_was_written(contract: ModelContract) -> None:
    assert ModelContract.from_json(contract.to_json()) == contract
    assert read_model(served(contract), Overrides()).contract == contract


@pytest.mark.parametrize(
    ("contract", "version", "message"),
    [
        (GRADIENT, 1, "version must be 2 with cam.kind 'gradient', got 1"),
        (LINEAR, 2, "version must be 1 with cam.kind 'global-average', got 2"),
        (GRADIENT, 3, "is of version 3, and this camserve reads versions 1 to 2"),
    ],
)
def test_version_that_does_not_fit_the_maps_is_refused(contract: ModelContract, version: int, message: str) -> None:
    document = {**json.loads(contract.to_json()), "version": version}
    with pytest.raises(BundleError, match=message):
        ModelContract.from_json(json.dumps(document))


def test_answer_states_the_method_of_its_maps() -> None:
    def methods(contract: ModelContract) -> set[str]:
        answers = correct_answer(contract)
        server = StubServer(contract, lambda names, _: {name: answers[name] for name in names})
        with server, Classifier(server.url, "toy") as classifier:
            return {cam.method for cam in classifier.classify(IMAGE, cam=True).cams}

    assert methods(LINEAR) == {"linear"}
    assert methods(GRADIENT) == {"gradient"}
