"""Contracts that were changed by hand are refused, in words that name the field."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.client_models import served
from support.stub_server import StubServer, correct_answer
from support.tampered_contracts import CONTRACT, TAMPERED, Tampered, refusal, table

from camserve.clients import Classifier
from camserve.clients.answers.served_model import Overrides, read_model
from camserve.contract import CONTRACT_PARAMETER, ModelContract
from camserve.errors import BundleError, ContractError
from camserve.images.pixel_arrays import Pixels

DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"
IMAGE = Pixels(np.zeros((8, 8, 3), np.uint8), "rgb")
OVER_THE_NETWORK = [each for each in TAMPERED if "\\ud800" not in each.change][::8]


@pytest.mark.parametrize("tampered", TAMPERED, ids=lambda each: each.change[:60])
def test_tampered_contract_is_refused(tampered: Tampered) -> None:
    assert len(TAMPERED) > 100
    model = served(CONTRACT)
    model = type(model)(**{**vars(model), "parameters": {**model.parameters, CONTRACT_PARAMETER: tampered.text}})
    with pytest.raises(ContractError) as caught:
        read_model(model, Overrides())
    assert "toy" in caught.value.message
    assert len(caught.value.message) < 400
    assert caught.value.message.isprintable()
    assert caught.value.hint
    assert "camserve" in caught.value.hint


@pytest.mark.parametrize("tampered", OVER_THE_NETWORK, ids=lambda each: each.change[:60])
def test_nothing_is_sent_to_a_server_with_a_tampered_contract(tampered: Tampered) -> None:
    server = StubServer(CONTRACT, lambda names, count: {name: correct_answer(CONTRACT, count)[name] for name in names})
    server.contract_text = tampered.text
    with server, pytest.raises(ContractError, match="contract of model 'toy'"), Classifier(server.url, "toy") as found:
        found.classify(IMAGE)
    assert server.batch_sizes == []


def test_the_contract_itself_is_accepted() -> None:
    with pytest.raises(AssertionError, match="accepted"):
        refusal(CONTRACT.to_json())
    server = StubServer(CONTRACT, lambda names, count: {name: correct_answer(CONTRACT, count)[name] for name in names})
    with server, Classifier(server.url, "toy") as classifier:
        assert classifier.classify(IMAGE).top[0].index == 1


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (("a", "b", "c"), "has 4 classes, but 3 labels"),
        (("a", "b", "c", "d", "e"), "has 4 classes, but 5 labels"),
        (("a", "", "c", "d"), "the label of class 1 of model 'toy' is empty"),
        (("a", "b\x1b[2J", "c", "d"), r"the label of class 1 of model 'toy' contains the control character \\x1b"),
        (("a", "b", "c", "n01\td\0"), r"the label of class 3 of model 'toy' contains the control character \\x00"),
    ],
)
def test_tampered_labels_are_refused(labels: tuple[str, ...], why: str) -> None:
    with pytest.raises(ContractError, match=why):
        read_model(served(CONTRACT, labels=labels), Overrides())


def test_the_document_lists_what_the_client_says() -> None:
    assert table() in DOCUMENT.read_text(encoding="utf-8"), (
        "replace the table of docs/reliability.md by the output of: cd tests && python -m support.tampered_contracts"
    )


def test_later_version_asks_for_a_later_camserve() -> None:
    with pytest.raises(BundleError, match="is of version 3, and this camserve reads versions 1 to 2") as caught:
        ModelContract.from_json(CONTRACT.to_json().replace('"version":1', '"version":3,"new":[]'))
    assert caught.value.hint == "Install the camserve that exported the model: pip install --upgrade camserve"
