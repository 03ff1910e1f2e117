"""Questions and what their answers say, without a server."""

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
from camserve.clients.images.crops import Crops, crop_image
from camserve.clients.images.decode_options import DecodeOptions
from camserve.clients.wire.messages import Reply, Statistics
from camserve.contract import ModelContract
from camserve.errors import ContractError, RequestError, UsageError

Array = np.ndarray[Any, Any]

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))
SPENT = Timings(prepare=0.1, call=0.2, read=0.0)


def without(contract: ModelContract, *outputs: str) -> ModelContract:
    return contract.model_copy(
        update={"outputs": tuple(output for output in contract.outputs if output.name not in outputs)}
    )


def replied(model: Model, question: Any, *parts: dict[str, Array]) -> Answer:
    replies = [Reply("1", "127.0.0.1:8001", part, 0.1, 1, 100) for part in parts]
    return validate_replies(question, replies, SPENT)


def classified(model: Model, wanted: ClassifyRequest, tensors: dict[str, Array]) -> Any:
    question = query_classes(lambda: IMAGE, model, wanted)
    return read_classes(replied(model, question, {name: tensors[name] for name in question.outputs}), wanted)


def asked_for(model: Model, class_: int | str | None) -> tuple[str, ...]:
    return query_classes(lambda: IMAGE, model, ClassifyRequest(cam=True, class_=class_)).outputs


def test_only_what_is_wanted_is_asked_for() -> None:
    model = model_of()
    assert query_classes(lambda: IMAGE, model, ClassifyRequest()).outputs == ("probabilities",)
    assert query_classes(lambda: IMAGE, model, ClassifyRequest(cam=True)).outputs == (
        "probabilities",
        "cam",
        "cam_class",
    )
    assert query_logits(lambda: IMAGE, model).outputs == ("logits",)
    assert asked_for(model, "b") == ("probabilities", "cam", "cam_class")
    of_all = model_of(toy_contract(all_maps=True))
    assert asked_for(of_all, None) == ("probabilities", "cam", "cam_class")
    assert asked_for(of_all, "b") == ("probabilities", "cam_all")


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "linear"])
def test_a_model_that_gives_only_logits_is_read_through_its_activation(activation: str) -> None:
    contract = without(toy_contract().model_copy(update={"activation": activation}), "probabilities")
    logits = np.array([[-900.0, 2.0, 1.0, 900.0]], np.float32)
    found = classified(model_of(contract), ClassifyRequest(), {"logits": logits}).probabilities
    exact = logits[0].astype(np.float64)
    right = {
        "softmax": np.array([0.0, 0.0, 0.0, 1.0]),
        "sigmoid": np.array([0.0, 1 / (1 + np.exp(-2.0)), 1 / (1 + np.exp(-1.0)), 1.0]),
        "linear": exact,
    }[activation]
    assert found.dtype == np.float32
    assert np.abs(found - right).max() < 1e-6


def test_the_surest_crop_counts_with_its_maps_and_its_place() -> None:
    crops = Crops(count=3, seed=4)
    tensors = {name: array.copy() for name, array in correct_answer(toy_contract(), 3).items()}
    tensors["probabilities"][2] = [0.05, 0.0, 0.05, 0.9]
    tensors["cam_class"][2] = [3, 0, 2]
    tensors["cam"][2] = 7.0
    result = classified(model_of(), ClassifyRequest(top=1, cam=True, crops=crops), tensors)
    chosen = crop_image(IMAGE, toy_contract(), crops)[2]
    assert (result.top[0].index, result.top[0].probability) == (3, pytest.approx(0.9))
    assert np.array_equal(result.probabilities, tensors["probabilities"][2])
    (cam,) = result.cams
    assert (cam.index, cam.placement) == (3, chosen.placement)
    assert np.array_equal(np.asarray(cam.image), np.asarray(chosen.image))
    assert cam.grid.max() == 7.0


def test_an_average_is_the_mean_of_all_crops_and_has_no_maps() -> None:
    tensors = {"probabilities": np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]], np.float32)}
    wanted = ClassifyRequest(crops=Crops(count=3, choose="average"))
    result = classified(model_of(), wanted, tensors)
    assert result.probabilities.tolist() == pytest.approx([1 / 3, 2 / 3, 0, 0])
    assert result.top[0].index == 1
    with pytest.raises(UsageError, match="average over crops has no maps"):
        ClassifyRequest(cam=True, crops=Crops(count=3, choose="average"))


@pytest.mark.parametrize("choose", ["highest", "average"])
def test_probabilities_cannot_be_written_to_wherever_they_come_from(choose: Any) -> None:
    wanted = ClassifyRequest(crops=Crops(count=3, choose=choose))
    for contract, name in ((toy_contract(), "probabilities"), (without(toy_contract(), "probabilities"), "logits")):
        model = model_of(contract, max_batch_size=2)
        question = query_classes(lambda: IMAGE, model, wanted)
        parts = [{name: correct_answer(toy_contract(), count)[name]} for count in (2, 1)]
        result = read_classes(replied(model, question, *parts), wanted)
        assert not result.probabilities.flags.writeable


def test_maps_stand_in_the_order_of_the_classes_also_where_probabilities_are_equal() -> None:
    tensors = correct_answer(toy_contract())
    tensors["probabilities"][:] = 0.25  # saturated: the logits still rank
    result = classified(model_of(), ClassifyRequest(top=4, cam=True), tensors)
    ranks = [prediction.index for prediction in result.top]
    assert [ranks.index(cam.index) for cam in result.cams] == sorted(ranks.index(cam.index) for cam in result.cams)


def mapped(model: Model, class_: int | str) -> Any:
    wanted = ClassifyRequest(top=1, cam=True, class_=class_, decode_options=DecodeOptions(exif=True))
    question = query_classes(lambda: IMAGE, model, wanted)
    tensors = correct_answer(model.contract)
    if "cam_all" in question.outputs:
        tensors["cam_all"] = np.arange(4, dtype=np.float32).repeat(16).reshape(1, 4, 4, 4)
    return read_classes(replied(model, question, {name: tensors[name] for name in question.outputs}), wanted).cams


def test_the_map_of_any_class_is_had_where_the_model_gives_all() -> None:
    model = model_of(toy_contract(all_maps=True), labels=("a", "b", "c", "n7\td"))
    for class_ in (3, "d", "n7"):
        (found,) = mapped(model, class_)
        assert (found.index, found.label, found.grid.max()) == (3, "d", 3.0)
        assert found.decode_options == DecodeOptions(exif=True)
        assert found.grid.base is None  # or each map that is kept would keep those of all classes
        assert not found.grid.flags.writeable


def test_the_map_of_one_of_the_best_is_had_from_every_model_with_maps() -> None:
    assert [[cam.index for cam in mapped(model_of(), label)] for label in "abcd"] == [[0], [1], [2], []]


def test_who_asks_for_a_map_that_there_is_not_is_told_of_those_that_there_are() -> None:
    model, wanted = model_of(), ClassifyRequest(cam=True, class_="d")
    question = query_classes(lambda: IMAGE, model, wanted)
    tensors = correct_answer(model.contract)
    tensors["probabilities"][:] = (0, 1, 0, 0)  # saturated: the logits still rank
    answer = replied(model, question, {name: tensors[name] for name in question.outputs})
    with pytest.raises(UsageError, match=r"the 3 best classes of an image, and 3 \(d\) is not") as told:
        read_map(answer, wanted)
    assert [name in str(told.value.hint) for name in ("0 (a)", "1 (b)", "2 (c)", "3 (d)")] == [True, True, True, False]


@pytest.mark.parametrize(
    ("labels", "class_", "why"),
    [
        (("a", "b", "c", "d"), 4, "no class 4. Give a number from 0 to 3"),
        (("a", "b", "c", "d"), -1, "no class -1"),
        (("tabby", "b", "c", "d"), "taby", "no class 'taby'. Did you mean 'tabby'"),
        (("a", "b", "c", "d"), "zebra", "no class 'zebra'. It has 'a', 'b', 'c', 'd'"),
        (("crane", "b", "crane", "d"), "crane", "classes 0, 2 of model 'toy' are all called 'crane'"),
    ],
)
def test_a_class_that_there_is_not_is_refused_before_anything_is_sent(
    labels: tuple[str, ...], class_: int | str, why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        asked_for(model_of(labels=labels), class_)


def test_a_model_without_maps_or_logits_is_not_asked_for_them() -> None:
    bare = model_of(without(toy_contract(), "cam", "cam_class", "logits").model_copy(update={"cam": None}))
    with pytest.raises(UsageError, match="has no maps"):
        query_classes(lambda: IMAGE, bare, ClassifyRequest(cam=True))
    with pytest.raises(UsageError, match="has no maps"):
        asked_for(bare, 0)
    with pytest.raises(UsageError, match="no output 'logits'"):
        query_logits(lambda: IMAGE, bare)


def test_logits_that_are_no_numbers_are_an_error() -> None:
    model = model_of()
    question = query_logits(lambda: IMAGE, model)
    assert read_logits(replied(model, question, {"logits": np.ones((1, 4), np.float32)})).tolist() == [1.0] * 4
    with pytest.raises(RequestError, match="NaN or infinity in logits"):
        read_logits(replied(model, question, {"logits": np.full((1, 4), np.nan, np.float32)}))


def test_a_batch_that_was_prepared_for_another_contract_is_not_sent() -> None:
    batch = np.zeros((1, 8, 8, 3), np.float32)
    assert query_batch(batch, ["logits"], model_of(version="2"), model_of()).model.version == "2"
    other = model_of(toy_contract(preset="raw-rgb"))
    with pytest.raises(ContractError, match="preprocessing changes"):
        query_batch(batch, ["logits"], other, model_of())
    with pytest.raises(ContractError, match="preprocessing changes"):
        query_batch(batch, ["logits"], other, other, toy_contract())
    with pytest.raises(ContractError, match="input changes"):  # which the batch cannot fit, too
        query_batch(
            batch, ["logits"], model_of(toy_contract(size=(9, 8))), model_of(toy_contract(size=(9, 8))), toy_contract()
        )
    with pytest.raises(UsageError, match="invalid type for contract: str"):
        query_batch(batch, ["logits"], other, other, "contract.json")  # type: ignore[arg-type]


def test_the_time_of_the_server_is_what_it_counted_for_this_request() -> None:
    replies = [Reply("1", "one", {}, 0.1, 1, 0), Reply("1", "one", {}, 0.1, 1, 0)]
    before, after = {"one": Statistics(10, 1.0, 5.0)}, {"one": Statistics(12, 1.02, 5.1)}
    spent = with_server_share(SPENT, replies, before, after)
    assert spent.queue == pytest.approx(0.02)
    assert spent.compute == pytest.approx(0.1)
    assert spent.network == pytest.approx(0.08)
    for unknown in ({}, before, {"two": Statistics(12, 1.02, 5.1)}):
        assert with_server_share(SPENT, replies, before, unknown) == SPENT
    quick = with_server_share(replace(SPENT, call=0.01), replies, before, after)
    assert quick.network == 0.0


def test_names_lead_from_the_contract_to_the_model() -> None:
    names = {"image": "input_1", "probabilities": "predictions"}
    model = read_model(served(names=names), Overrides(names=names))
    assert model.input.name == "input_1"
    assert [model.served_name(name) for name in ("probabilities", "logits")] == ["predictions", "logits"]
