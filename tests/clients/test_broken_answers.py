"""Answers that break the contract, or from which nothing can be read: each is an error, and never a class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from support.stub_server import StubServer, correct_answer
from support.toy import toy_contract

from camserve.clients import Classifier
from camserve.clients.images.crops import Crops
from camserve.clients.images.pixel_arrays import Pixels
from camserve.errors import CamserveError, ContractError, RequestError

Array = np.ndarray[Any, Any]
Tensors = dict[str, Array]

CONTRACT = toy_contract()
IMAGE = Pixels(np.zeros((8, 8, 3), np.uint8), "rgb")


def answered(change: Callable[[Tensors], Mapping[str, Array]]) -> StubServer:
    """A server whose right answers are changed before they are sent."""
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
def test_an_answer_that_breaks_its_promise_is_an_error_and_the_next_right_one_is_read(
    change: Callable[[Tensors], Tensors], kind: type[CamserveError], why: str
) -> None:
    with answered(change) as server, Classifier(server.url, "toy") as classifier:
        with pytest.raises(kind, match=why) as caught:
            classifier.classify(IMAGE, cam=True)
        assert caught.value.hint
        server.answer = lambda names, count: {name: correct_answer(CONTRACT, count)[name] for name in names}
        assert classifier.classify(IMAGE, cam=True).top[0].label == "b"


def test_a_right_answer_is_read_in_any_order_of_its_outputs() -> None:
    with answered(reordered) as server, Classifier(server.url, "toy") as classifier:
        result = classifier.classify(IMAGE, cam=True)
    assert [each.label for each in result.top] == ["b", "a", "c", "d"]
    assert [each.index for each in result.cams] == [1, 0, 2]


def test_a_crop_that_is_answered_nan_is_an_error_although_another_is_sure() -> None:
    def change(tensors: Tensors) -> Tensors:
        tensors["probabilities"][-1] = np.nan
        return tensors

    with answered(change) as server, Classifier(server.url, "toy") as classifier:
        for choose in ("highest", "average"):
            with pytest.raises(RequestError, match="NaN"):
                classifier.classify(IMAGE, crops=Crops(count=3, choose=choose))


def test_the_crops_of_a_image_go_as_one_batch() -> None:
    with answered(dict) as server, Classifier(server.url, "toy") as classifier:
        classifier.classify(IMAGE, crops=Crops(count=5))
    assert server.asked == [5]


def test_a_batch_over_the_maximum_is_split_and_joined_in_order() -> None:
    def numbered(names: Any, count: int) -> Tensors:
        begin = sum(server.asked[:-1])
        return {"logits": np.repeat(np.arange(begin, begin + count, dtype=np.float32)[:, np.newaxis], 4, axis=1)}

    server = StubServer(CONTRACT, numbered, max_batch_size=8)
    with server, Classifier(server.url, "toy") as classifier:
        logits = classifier.infer(np.zeros((19, 8, 8, 3), np.float32), ["logits"])["logits"]
    assert server.asked == [8, 8, 3]
    assert logits[:, 0].tolist() == list(range(19))


def test_parts_that_two_versions_answered_are_asked_again() -> None:
    def swapping(names: Any, count: int) -> Tensors:
        server.version = "1" if len(server.asked) == 1 else "2"
        return {"logits": np.full((count, 4), float(server.version), np.float32)}

    server = StubServer(CONTRACT, swapping, max_batch_size=8)
    with server, Classifier(server.url, "toy") as classifier:
        logits = classifier.infer(np.zeros((10, 8, 8, 3), np.float32), ["logits"])["logits"]
    assert server.asked == [8, 2, 8, 2]
    assert np.unique(logits).tolist() == [2.0]


def test_parts_go_to_one_server_where_servers_follow_different_versions() -> None:
    def numbered(server: StubServer) -> Callable[[Any, int], Tensors]:
        return lambda names, count: {"logits": np.full((count, 4), float(server.version), np.float32)}

    old, new = (StubServer(CONTRACT, lambda names, count: {}, max_batch_size=4) for _ in range(2))
    old.answer, new.answer, new.version = numbered(old), numbered(new), "2"
    with old, new, Classifier([old.url, new.url], "toy") as classifier:
        for _ in range(4):
            logits = classifier.infer(np.zeros((10, 8, 8, 3), np.float32), ["logits"])["logits"]
            assert logits.shape == (10, 4)
            assert len(np.unique(logits)) == 1
    assert len(old.asked) + len(new.asked) == 4 * (3 + 3)  # once to see it, once to one of them


def test_a_refusal_is_told_at_once_though_servers_take_different_numbers_of_images() -> None:
    def refuse(names: Any, count: int) -> Tensors:
        raise ValueError("out of order")

    few, many = (StubServer(CONTRACT, refuse, max_batch_size=most) for most in (4, 8))
    with few, many, Classifier([few.url, many.url], "toy") as classifier, pytest.raises(RequestError, match="out of"):
        classifier.infer(np.zeros((2, 8, 8, 3), np.float32), ["logits"])
    assert len(few.asked) + len(many.asked) == 1
