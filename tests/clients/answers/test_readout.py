"""Queries and decoded replies, without a server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.client_models import model_of, served
from support.stub_server import correct_answer
from support.toy import toy_contract

from camserve.clients.answers.classification import Timings
from camserve.clients.answers.query import ClassifyRequest, query_batch, query_classes, query_logits
from camserve.clients.answers.readout import Answer, read_classes, read_logits, read_map, validate_replies
from camserve.clients.answers.served_model import Model, Overrides, read_model
from camserve.clients.answers.timing import with_server_share
from camserve.clients.wire.values import Reply, Statistics
from camserve.contract import ModelContract
from camserve.errors import ContractError, RequestError, UsageError
from camserve.images.crops import Crops, crop_image
from camserve.images.decode_options import DecodeOptions

Array = np.ndarray[Any, Any]

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))
TIMINGS = Timings(prepare=0.1, call=0.2, read=0.0)


def without(contract: ModelContract, *outputs: str) -> ModelContract:
    return contract.model_copy(
        update={"outputs": tuple(output for output in contract.outputs if output.name not in outputs)}
    )


def answer_to(query: Any, *parts: dict[str, Array]) -> Answer:
    replies = [Reply("1", "127.0.0.1:8001", part, 0.1, 1, 100) for part in parts]
    return validate_replies(query, replies, TIMINGS)


def classify(model: Model, request: ClassifyRequest, tensors: dict[str, Array]) -> Any:
    query = query_classes(lambda: IMAGE, model, request)
    return read_classes(answer_to(query, {name: tensors[name] for name in query.outputs}), request)


def outputs_for(model: Model, class_: int | str | None) -> tuple[str, ...]:
    return query_classes(lambda: IMAGE, model, ClassifyRequest(cam=True, class_=class_)).outputs


def test_only_required_outputs_are_requested() -> None:
    model = model_of()
    assert query_classes(lambda: IMAGE, model, ClassifyRequest()).outputs == ("probabilities", "logits")
    assert query_classes(lambda: IMAGE, model, ClassifyRequest(cam=True)).outputs == (
        "probabilities",
        "logits",
        "cam",
        "cam_class",
    )
    best = ClassifyRequest(top=3, cam=True)  # cam_class is the order of the logits
    assert query_classes(lambda: IMAGE, model, best).outputs == ("probabilities", "cam", "cam_class")
    bare = model_of(without(toy_contract(), "logits"))
    assert query_classes(lambda: IMAGE, bare, ClassifyRequest()).outputs == ("probabilities",)
    linear = model_of(toy_contract().model_copy(update={"activation": "linear"}))
    assert query_classes(lambda: IMAGE, linear, ClassifyRequest()).outputs == ("probabilities",)
    assert query_logits(lambda: IMAGE, model).outputs == ("logits",)
    assert outputs_for(model, "b") == ("probabilities", "logits", "cam", "cam_class")
    of_all = model_of(toy_contract(all_maps=True))
    assert outputs_for(of_all, None) == ("probabilities", "logits", "cam", "cam_class")
    assert outputs_for(of_all, "b") == ("probabilities", "logits", "cam_all")


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "linear"])
def test_probabilities_are_computed_from_logits(activation: str) -> None:
    contract = without(toy_contract().model_copy(update={"activation": activation}), "probabilities")
    logits = np.array([[-900.0, 2.0, 1.0, 900.0]], np.float32)
    found = classify(model_of(contract), ClassifyRequest(), {"logits": logits}).probabilities
    exact = logits[0].astype(np.float64)
    expected = {
        "softmax": np.array([0.0, 0.0, 0.0, 1.0]),
        "sigmoid": np.array([0.0, 1 / (1 + np.exp(-2.0)), 1 / (1 + np.exp(-1.0)), 1.0]),
        "linear": exact,
    }[activation]
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-6


def test_the_crop_with_the_highest_probability_is_chosen() -> None:
    crops = Crops(count=3, seed=4)
    tensors = {name: array.copy() for name, array in correct_answer(toy_contract(), 3).items()}
    tensors["probabilities"][2] = [0.05, 0.0, 0.05, 0.9]
    tensors["logits"][2] = [0.0, -9.0, 0.0, 3.0]
    tensors["cam_class"][2] = [3, 0, 2]
    tensors["cam"][2] = 7.0
    result = classify(model_of(), ClassifyRequest(top=1, cam=True, crops=crops), tensors)
    chosen = crop_image(IMAGE, toy_contract(), crops)[2]
    assert (result.top[0].index, result.top[0].probability) == (3, pytest.approx(0.9))
    assert np.array_equal(result.probabilities, tensors["probabilities"][2])
    (cam,) = result.cams
    assert (cam.index, cam.placement) == (3, chosen.placement)
    assert np.array_equal(np.asarray(cam.image), np.asarray(chosen.image))
    assert cam.grid.max() == 7.0


def test_an_average_over_crops_has_no_maps() -> None:
    probabilities = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]], np.float32)
    tensors = {"probabilities": probabilities, "logits": np.zeros((3, 4), np.float32)}
    request = ClassifyRequest(crops=Crops(count=3, choose="average"))
    result = classify(model_of(), request, tensors)
    assert result.probabilities.tolist() == pytest.approx([1 / 3, 2 / 3, 0, 0])
    assert result.top[0].index == 1
    with pytest.raises(UsageError, match="average of crops has no map"):
        ClassifyRequest(cam=True, crops=Crops(count=3, choose="average"))


@pytest.mark.parametrize("choose", ["highest", "average"])
def test_probabilities_are_read_only(choose: Any) -> None:
    request = ClassifyRequest(crops=Crops(count=3, choose=choose))
    for contract, name in ((toy_contract(), "probabilities"), (without(toy_contract(), "probabilities"), "logits")):
        model = model_of(contract, max_batch_size=2)
        query = query_classes(lambda: IMAGE, model, request)
        names = {name, "logits"}
        parts = [{each: correct_answer(toy_contract(), count)[each] for each in names} for count in (2, 1)]
        result = read_classes(answer_to(query, *parts), request)
        assert not result.probabilities.flags.writeable


def test_maps_are_in_the_order_of_the_classes() -> None:
    tensors = correct_answer(toy_contract())
    tensors["probabilities"][:] = 0.25  # saturated: the logits still rank
    result = classify(model_of(), ClassifyRequest(top=4, cam=True), tensors)
    assert [prediction.index for prediction in result.top] == [1, 0, 2, 3]
    assert [cam.index for cam in result.cams] == [1, 0, 2]


@pytest.mark.parametrize(
    ("outputs", "logits", "expected"),
    [
        (("probabilities", "logits"), [20, 30, 30, 25], [1, 2, 3, 0]),
        (("probabilities",), [20, 30, 30, 25], [0, 1, 2, 3]),
        (("logits",), [20, 30, 30, 25], [1, 2, 3, 0]),
        (("probabilities", "logits"), [np.inf, -np.inf, np.inf, 0], [0, 2, 3, 1]),
    ],
)
def test_equal_probabilities_are_ranked_by_logit_then_by_class(
    outputs: tuple[str, ...], logits: list[float], expected: list[int]
) -> None:
    contract = toy_contract().model_copy(update={"activation": "sigmoid"})
    dropped = {"probabilities", "logits"} - set(outputs)
    tensors = {"probabilities": np.ones((1, 4), np.float32), "logits": np.array([logits], np.float32)}
    result = classify(model_of(without(contract, *dropped)), ClassifyRequest(), tensors)
    assert [each.index for each in result.top] == expected


def test_classes_of_equal_average_probability_are_ranked_by_average_logit() -> None:
    tensors = {
        "probabilities": np.array([[0.5, 1, 1, 0], [0.5, 1, 1, 1]], np.float32),
        "logits": np.array([[0, 20, 20, -90], [0, 30, 40, 90]], np.float32),
    }
    model = model_of(toy_contract().model_copy(update={"activation": "sigmoid"}))
    request = ClassifyRequest(crops=Crops(count=2, choose="average"))
    assert [each.index for each in classify(model, request, tensors).top] == [2, 1, 0, 3]


@pytest.mark.parametrize("top", [3, 4])
def test_the_map_of_another_class_is_not_drawn_for_the_best_one(top: int) -> None:
    tensors = correct_answer(toy_contract())
    tensors["cam_class"][:] = (0, 2, 3)
    with pytest.raises(RequestError, match=r"maps of classes 0, 2, 3, but none of its best class 1 \(b\)"):
        classify(model_of(), ClassifyRequest(top=top, cam=True), tensors)


@pytest.mark.parametrize("top", [1, 3, 4])
def test_the_order_is_the_same_with_and_without_maps(top: int) -> None:
    tensors = correct_answer(toy_contract())
    tensors["probabilities"][:] = 0.25
    for order in ([3, 1, 0, 2], [2, 3, 1, 0]):
        tensors["logits"][0, order] = (4.0, 3.0, 2.0, 1.0)
        tensors["cam_class"][0] = order[:3]
        for cam in (False, True):
            result = classify(model_of(), ClassifyRequest(top=top, cam=cam), tensors)
            assert [each.index for each in result.top] == order[:top]
            assert [each.index for each in result.cams] == (order[: min(top, 3)] if cam else [])


def test_maps_in_another_order_do_not_change_the_classes() -> None:
    tensors = correct_answer(toy_contract())
    tensors["cam_class"][:] = (0, 2, 1)
    result = classify(model_of(), ClassifyRequest(top=3, cam=True), tensors)
    assert [each.index for each in result.top] == [each.index for each in result.cams] == [1, 0, 2]


@pytest.mark.parametrize(
    ("name", "bad"),
    [("probabilities", np.nan), ("probabilities", np.inf), ("probabilities", -np.inf), ("logits", np.nan)],
)
def test_nan_and_infinity_are_an_error(name: str, bad: float) -> None:
    tensors = correct_answer(toy_contract())
    tensors[name][0, 1] = bad
    with pytest.raises(RequestError, match=f"NaN or infinity in {name}"):
        classify(model_of(), ClassifyRequest(), tensors)


def maps_of(model: Model, class_: int | str) -> Any:
    request = ClassifyRequest(top=1, cam=True, class_=class_, decode_options=DecodeOptions(exif=True))
    query = query_classes(lambda: IMAGE, model, request)
    tensors = correct_answer(model.contract)
    if "cam_all" in query.outputs:
        tensors["cam_all"] = np.arange(4, dtype=np.float32).repeat(16).reshape(1, 4, 4, 4)
    return read_classes(answer_to(query, {name: tensors[name] for name in query.outputs}), request).cams


def test_cam_all_contains_the_map_of_every_class() -> None:
    model = model_of(toy_contract(all_maps=True), labels=("a", "b", "c", "n7\td"))
    for class_ in (3, "d", "n7"):
        (found,) = maps_of(model, class_)
        assert (found.index, found.label, found.grid.max()) == (3, "d", 3.0)
        assert found.decode_options == DecodeOptions(exif=True)
        assert found.grid.base is None  # a view would keep the maps of all classes in memory
        assert not found.grid.flags.writeable


def test_cam_contains_the_maps_of_the_most_probable_classes() -> None:
    assert [[cam.index for cam in maps_of(model_of(), label)] for label in "abcd"] == [[0], [1], [2], []]


def test_a_missing_map_is_refused_with_the_available_ones() -> None:
    model, request = model_of(), ClassifyRequest(cam=True, class_="d")
    query = query_classes(lambda: IMAGE, model, request)
    tensors = correct_answer(model.contract)
    tensors["probabilities"][:] = (0, 1, 0, 0)  # saturated: the logits still rank
    answer = answer_to(query, {name: tensors[name] for name in query.outputs})
    with pytest.raises(UsageError, match=r"the 3 most probable classes of an image, without class 3 \(d\)") as caught:
        read_map(answer, request)
    assert [name in str(caught.value.hint) for name in ("0 (a)", "1 (b)", "2 (c)", "3 (d)")] == [
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("labels", "class_", "why"),
    [
        (("a", "b", "c", "d"), 4, "no class 4. Choose a number from 0 to 3"),
        (("a", "b", "c", "d"), -1, "no class -1"),
        (("tabby", "b", "c", "d"), "taby", "no class 'taby'. Did you mean 'tabby'"),
        (("a", "b", "c", "d"), "zebra", "no class 'zebra'. Choose one of 'a', 'b', 'c', 'd'"),
        (("crane", "b", "crane", "d"), "crane", "label 'crane' of model 'toy' is ambiguous: classes 0, 2"),
    ],
)
def test_an_unknown_class_is_refused_before_a_request_is_sent(
    labels: tuple[str, ...], class_: int | str, why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        outputs_for(model_of(labels=labels), class_)


def test_maps_and_logits_of_a_model_without_are_refused() -> None:
    bare = model_of(without(toy_contract(), "cam", "cam_class", "logits").model_copy(update={"cam": None}))
    with pytest.raises(UsageError, match="has no maps"):
        query_classes(lambda: IMAGE, bare, ClassifyRequest(cam=True))
    with pytest.raises(UsageError, match="has no maps"):
        outputs_for(bare, 0)
    with pytest.raises(UsageError, match="no output 'logits'"):
        query_logits(lambda: IMAGE, bare)


def test_logits_that_are_nan_are_an_error() -> None:
    model = model_of()
    query = query_logits(lambda: IMAGE, model)
    assert read_logits(answer_to(query, {"logits": np.ones((1, 4), np.float32)})).tolist() == [1.0] * 4
    with pytest.raises(RequestError, match="NaN or infinity in logits"):
        read_logits(answer_to(query, {"logits": np.full((1, 4), np.nan, np.float32)}))


def test_a_batch_for_another_contract_is_not_sent() -> None:
    batch = np.zeros((1, 8, 8, 3), np.float32)
    assert query_batch(batch, ["logits"], model_of(version="2"), model_of()).model.version == "2"
    other = model_of(toy_contract(preset="raw-rgb"))
    with pytest.raises(ContractError, match="preprocessing changes"):
        query_batch(batch, ["logits"], other, model_of())
    with pytest.raises(ContractError, match="preprocessing changes"):
        query_batch(batch, ["logits"], other, other, toy_contract())
    with pytest.raises(ContractError, match="input changes"):  # the batch does not match either
        query_batch(
            batch, ["logits"], model_of(toy_contract(size=(9, 8))), model_of(toy_contract(size=(9, 8))), toy_contract()
        )
    with pytest.raises(UsageError, match="invalid type for contract: str"):
        query_batch(batch, ["logits"], other, other, "contract.json")  # type: ignore[arg-type]


def test_the_time_of_the_server_comes_from_its_statistics() -> None:
    replies = [Reply("1", "one", {}, 0.1, 1, 0), Reply("1", "one", {}, 0.1, 1, 0)]
    before, after = {"one": Statistics(10, 1.0, 5.0)}, {"one": Statistics(12, 1.02, 5.1)}
    timings = with_server_share(TIMINGS, replies, before, after)
    assert timings.queue == pytest.approx(0.02)
    assert timings.compute == pytest.approx(0.1)
    assert timings.network == pytest.approx(0.08)
    for unknown in ({}, before, {"two": Statistics(12, 1.02, 5.1)}):
        assert with_server_share(TIMINGS, replies, before, unknown) == TIMINGS
    fast = with_server_share(replace(TIMINGS, call=0.01), replies, before, after)
    assert fast.network == 0.0


def test_names_map_the_contract_to_the_model() -> None:
    names = {"image": "input_1", "probabilities": "predictions"}
    model = read_model(served(names=names), Overrides(names=names))
    assert model.input.name == "input_1"
    assert [model.served_name(name) for name in ("probabilities", "logits")] == ["predictions", "logits"]
