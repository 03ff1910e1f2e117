"""Answers to image files that violate the contract: each is an error of the model, never a class nor a bad image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from support.image_files import draw, save
from support.stub_server import StubServer, Tensors, correct_answer
from support.toy import toy_contract

from camserve.clients import Classifier
from camserve.errors import CamserveError, ContractError, RequestError

CONTRACT = toy_contract()
PNG = save(draw("RGB", (20, 10)), "PNG")


def correct(names: Sequence[str], count: int) -> dict[str, np.ndarray[Any, Any]]:
    """Return the outputs of `NAME_file` for so many files."""
    probabilities = correct_answer(CONTRACT, count)["probabilities"]
    index = np.argsort(-probabilities, axis=1, kind="stable").astype(np.int32)
    tensors = {"probabilities": probabilities, "index": index, "version": np.ones((count, 1), np.int64)}
    return {name: tensors[name] for name in names}


def with_first(name: str, value: float) -> Callable[[Sequence[str], int], Tensors]:
    """Return answers whose output has another first value."""

    def answer(names: Sequence[str], count: int) -> Tensors:
        tensors = correct(names, count)
        tensors[name].flat[0] = value
        return tensors

    return answer


BROKEN: list[tuple[str, float, type[CamserveError], str]] = [
    ("probabilities", np.nan, RequestError, "NaN or infinity in probabilities"),
    ("probabilities", np.inf, RequestError, "NaN or infinity in probabilities"),
    ("probabilities", 0.9, ContractError, "which a softmax cannot return"),
    ("probabilities", -0.1, ContractError, "which a softmax cannot return"),
    ("index", 4, ContractError, "model 'toy_file' returned no valid output 'index'"),
    ("index", 0, ContractError, "model 'toy_file' returned no valid output 'index'"),  # class 0 twice
]


@pytest.mark.parametrize(("name", "value", "kind", "why"), BROKEN)
def test_invalid_answer_is_an_error_and_the_next_succeeds(
    name: str, value: float, kind: type[CamserveError], why: str
) -> None:
    with (
        StubServer(CONTRACT, with_first(name, value)) as server,
        Classifier(server.url, "toy", send="files") as classifier,
    ):
        with pytest.raises(kind, match=why) as caught:
            classifier.classify(PNG)
        assert caught.value.hint
        server.answer = correct
        assert [each.label for each in classifier.classify(PNG).top] == ["b", "a", "c", "d"]


def test_nan_is_an_error_in_a_stream() -> None:
    with (
        StubServer(CONTRACT, with_first("probabilities", np.nan)) as server,
        Classifier(server.url, "toy", send="files") as classifier,
    ):
        (found,) = classifier.classify_many([PNG], errors="yield")
    assert isinstance(found, RequestError)


@pytest.mark.parametrize("name", ["probabilities", "index", "version"])
def test_missing_output_is_named(name: str) -> None:
    def answer(names: Sequence[str], count: int) -> Tensors:
        return correct([each for each in names if each != name], count)

    with (
        StubServer(CONTRACT, answer) as server,
        Classifier(server.url, "toy", send="files") as classifier,
        pytest.raises(ContractError, match=name) as caught,
    ):
        classifier.classify(PNG)
    assert caught.value.hint
