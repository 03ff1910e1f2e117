"""Answers that violate the contract or cannot be read: each is an error, never a class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from support.stub_server import StubServer, correct_answer
from support.toy import toy_contract

from camserve.clients import Classifier
from camserve.errors import CamserveError, ContractError, RequestError
from camserve.images.crops import Crops
from camserve.images.pixel_arrays import Pixels

Array = np.ndarray[Any, Any]
Tensors = dict[str, Array]

CONTRACT = toy_contract()
IMAGE = Pixels(np.zeros((8, 8, 3), np.uint8), "rgb")


def answered(change: Callable[[Tensors], Mapping[str, Array]]) -> StubServer:
    """Return a server that changes the correct answers before it sends them."""
    return StubServer(
        CONTRACT,
        lambda names, count: change({name: correct_answer(CONTRACT, count)[name] for name in names}),
    )


def with_value(name: str, value: float) -> Callable[[Tensors], Tensors]:
    def change(tensors: Tensors) -> Tensors:
        if name in tensors:
            tensors[name].flat[0] = value
        return tensors

    return change


def without(name: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {each: array for each, array in tensors.items() if each != name}


def replaced(name: str, make: Callable[[Array], Array]) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {each: make(array) if each == name else array for each, array in tensors.items()}


def reordered(tensors: Tensors) -> Tensors:
    return dict(reversed(tensors.items()))


def with_more(tensors: Tensors) -> Tensors:
    return {**tensors, "features": np.zeros((1, 6), np.float32)}


BROKEN: list[tuple[str, Callable[[Tensors], Tensors], type[CamserveError], str]] = [
    ("missing", without("probabilities"), ContractError, "no readable tensor as 'probabilities'"),
    ("missing map", without("cam_class"), ContractError, "no readable tensor as 'cam_class'"),
    ("extra", with_more, ContractError, "'features', which was not requested"),
    ("short", replaced("probabilities", lambda array: array[:, :3]), ContractError, r"float32 \[1, 3\] as 'prob"),
    ("fewer maps", replaced("cam", lambda array: array[:, :2]), ContractError, r"\[1, 2, 4, 4\] as 'cam'"),
    ("two rows", replaced("cam", lambda array: np.concatenate([array, array])), ContractError, r"\[2, 3, 4, 4\]"),
    ("no rows", replaced("probabilities", lambda array: array[:0]), ContractError, r"\[0, 4\]"),
    ("other type", replaced("cam", lambda array: array.astype(np.float64)), ContractError, "float64"),
    ("nan", with_value("probabilities", np.nan), RequestError, "NaN or infinity in probabilities"),
    ("infinite", with_value("probabilities", np.inf), RequestError, "NaN or infinity in probabilities"),
    ("nan in a map", with_value("cam", np.nan), RequestError, "NaN or infinity in cam"),
    ("class too high", with_value("cam_class", 4), RequestError, "class 4, but has 4 classes"),
    ("negative class", with_value("cam_class", -1), RequestError, "class -1, but has 4 classes"),
]


@pytest.mark.parametrize(("change", "kind", "why"), [each[1:] for each in BROKEN], ids=[each[0] for each in BROKEN])
def test_invalid_answer_is_an_error_and_the_next_succeeds(
    change: Callable[[Tensors], Tensors], kind: type[CamserveError], why: str
) -> None:
    with answered(change) as server, Classifier(server.url, "toy") as classifier:
        with pytest.raises(kind, match=why) as caught:
            classifier.classify(IMAGE, cam=True)
        assert caught.value.hint
        server.answer = lambda names, count: {name: correct_answer(CONTRACT, count)[name] for name in names}
        assert classifier.classify(IMAGE, cam=True).top[0].label == "b"


def test_outputs_may_come_in_any_order() -> None:
    with answered(reordered) as server, Classifier(server.url, "toy") as classifier:
        result = classifier.classify(IMAGE, cam=True)
    assert [each.label for each in result.top] == ["b", "a", "c", "d"]
    assert [each.index for each in result.cams] == [1, 0, 2]


def test_nan_for_one_crop_is_an_error() -> None:
    def change(tensors: Tensors) -> Tensors:
        tensors["probabilities"][-1] = np.nan
        return tensors

    with answered(change) as server, Classifier(server.url, "toy") as classifier:
        for choose in ("highest", "average"):
            with pytest.raises(RequestError, match="NaN"):
                classifier.classify(IMAGE, crops=Crops(count=3, choose=choose))


def test_crops_are_sent_as_one_batch() -> None:
    with answered(dict) as server, Classifier(server.url, "toy") as classifier:
        classifier.classify(IMAGE, crops=Crops(count=5))
    assert server.batch_sizes == [5]


def test_large_batch_is_split_and_joined_in_order() -> None:
    def numbered(names: Any, count: int) -> Tensors:
        begin = sum(server.batch_sizes[:-1])
        return {"logits": np.repeat(np.arange(begin, begin + count, dtype=np.float32)[:, np.newaxis], 4, axis=1)}

    server = StubServer(CONTRACT, numbered, max_batch_size=8)
    with server, Classifier(server.url, "toy") as classifier:
        logits = classifier.infer(np.zeros((19, 8, 8, 3), np.float32), ["logits"])["logits"]
    assert server.batch_sizes == [8, 8, 3]
    assert logits[:, 0].tolist() == list(range(19))


def test_batch_is_repeated_after_mixed_versions() -> None:
    def swapping(names: Any, count: int) -> Tensors:
        server.version = "1" if len(server.batch_sizes) == 1 else "2"
        return {"logits": np.full((count, 4), float(server.version), np.float32)}

    server = StubServer(CONTRACT, swapping, max_batch_size=8)
    with server, Classifier(server.url, "toy") as classifier:
        logits = classifier.infer(np.zeros((10, 8, 8, 3), np.float32), ["logits"])["logits"]
    assert server.batch_sizes == [8, 2, 8, 2]
    assert np.unique(logits).tolist() == [2.0]


def test_parts_use_one_server_if_servers_differ_in_version() -> None:
    def numbered(server: StubServer) -> Callable[[Any, int], Tensors]:
        return lambda names, count: {"logits": np.full((count, 4), float(server.version), np.float32)}

    old, new = (StubServer(CONTRACT, lambda names, count: {}, max_batch_size=4) for _ in range(2))
    old.answer, new.answer, new.version = numbered(old), numbered(new), "2"
    with old, new, Classifier([old.url, new.url], "toy") as classifier:
        for _ in range(4):
            logits = classifier.infer(np.zeros((10, 8, 8, 3), np.float32), ["logits"])["logits"]
            assert logits.shape == (10, 4)
            assert len(np.unique(logits)) == 1
    assert len(old.batch_sizes) + len(new.batch_sizes) == 4 * (3 + 3)  # first mixed, then all from one server


def test_refusal_is_raised_at_once_with_different_batch_limits() -> None:
    def refuse(names: Any, count: int) -> Tensors:
        raise ValueError("out of order")

    few, many = (StubServer(CONTRACT, refuse, max_batch_size=most) for most in (4, 8))
    with few, many, Classifier([few.url, many.url], "toy") as classifier, pytest.raises(RequestError, match="out of"):
        classifier.infer(np.zeros((2, 8, 8, 3), np.float32), ["logits"])
    assert len(few.batch_sizes) + len(many.batch_sizes) == 1
