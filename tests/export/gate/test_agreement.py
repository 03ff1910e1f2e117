"""The gate of lower precision: each figure, and an export that it must stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from camserve.contract import Activation
from camserve.errors import ParityError
from camserve.export.gate.agreement import measure_agreement
from camserve.export.gate.differences import cosines
from camserve.export.gate.parity import Metric, judge
from camserve.export.gate.tolerances import Tolerances
from camserve.export.graph.head import LinearHead, Pooling
from camserve.export.graph.reference import Answers, class_maps

CLASSES, CHANNELS, SIDE, MAPS = 6, 5, 4, 3
Answer = dict[str, Any]


def head() -> LinearHead:
    rng = np.random.default_rng(0)
    pooling = Pooling("global-average", (0,) * SIDE, (0,) * SIDE)
    features: Any = None
    return LinearHead(features, pooling, rng.normal(size=(1, 1, CHANNELS, CLASSES)), rng.normal(size=CLASSES), "dense")


def features(count: int, seed: int) -> Any:
    return np.maximum(np.random.default_rng(seed).normal(size=(count, SIDE, SIDE, CHANNELS)), 0)


def answer(values: Any) -> Answer:
    """What an export with this head says of features."""
    maps = class_maps(values, head())
    logits = maps.mean(axis=(2, 3)) + head().bias
    best = np.argsort(-logits, axis=1)[:, :MAPS]
    exponentials = np.exp(logits)
    return {
        "logits": logits.astype(np.float32),
        "probabilities": (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32),
        "cam": np.take_along_axis(maps, best[:, :, np.newaxis, np.newaxis], axis=1).astype(np.float32),
        "cam_class": best.astype(np.int32),
    }


def keras_says(values: Any) -> Answers:
    said = answer(values)
    return Answers(said["probabilities"].astype(float), said["logits"].astype(float), class_maps(values, head()))


def batches(sizes: tuple[int, ...] = (8, 8, 3)) -> Iterator[tuple[Any, Answers]]:
    for seed, size in enumerate(sizes):
        values = features(size, seed)
        yield values, keras_says(values)


def rounded(values: Any) -> Any:
    return np.round(values * 64) / 64


def figures(change: Callable[[Answer], Answer] = lambda said: said, **options: Any) -> dict[str, Metric]:
    """Of an export that rounds its features, and whose answers are then changed."""
    found = measure_agreement(
        "onnx", lambda images: change(answer(rounded(images))), batches(), head(), Tolerances(**options)
    )
    return {figure.figure: figure for figure in found}


def missed(change: Callable[[Answer], Answer]) -> set[str]:
    return {name for name, figure in figures(change).items() if not figure.passed}


def test_an_export_that_rounds_passes_and_every_figure_is_told() -> None:
    found = figures()
    judge(list(found.values()))
    assert {name for name, figure in found.items() if figure.bound is None} == {"cam"}
    assert set(found) - {"cam"} == {
        "logits",
        "probabilities",
        "top1_disagreement",
        "cam_distance",
        "cam_identity",
        "cam_class",
    }
    assert {figure.batch for figure in found.values()} == {19}
    assert 1e-4 < found["logits"].value < 0.05
    assert 0 < found["cam_distance"].value < 1e-3


def test_figures_do_not_depend_on_how_the_images_are_batched() -> None:
    images = np.concatenate([part for part, _ in batches()])
    whole = measure_agreement(
        "onnx", lambda part: answer(rounded(part)), [(images, keras_says(images))], head(), Tolerances()
    )
    for figure in whole:
        assert figure.value == pytest.approx(figures()[figure.figure].value, rel=1e-9)


def test_no_batch_is_held_once_it_is_measured() -> None:
    alive = 0

    class Images(np.ndarray[Any, Any]):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def one_by_one() -> Iterator[tuple[Any, Answers]]:
        nonlocal alive
        for seed in range(20):
            values = features(2, seed).view(Images)
            alive += 1
            yield values, keras_says(np.asarray(values))
            del values
            assert alive <= 2

    measure_agreement("onnx", lambda images: answer(rounded(np.asarray(images))), one_by_one(), head(), Tolerances())


def test_another_best_class_is_counted() -> None:
    def swap_in_one(said: Answer) -> Answer:
        if len(said["logits"]) == 3:
            said["logits"] = said["logits"].copy()
            said["logits"][1] = said["logits"][1][::-1]
        return said

    found = figures(swap_in_one)
    assert found["top1_disagreement"].value == pytest.approx(1 / 19)
    assert not found["top1_disagreement"].passed
    assert figures(swap_in_one, top1_disagreement=0.06)["top1_disagreement"].passed


def test_a_tie_of_keras_is_no_disagreement() -> None:
    keras = Answers(np.full((1, 2), 0.5), np.array([[1.0, 1.0]]), None)
    run = {"logits": np.array([[0.9, 1.1]]), "probabilities": np.array([[0.4, 0.6]])}
    (top1, *_) = measure_agreement("onnx", lambda images: run, [(np.zeros(1), keras)], None, Tolerances())
    assert (top1.figure, top1.value) == ("top1_disagreement", 0.0)


def test_maps_in_another_order_are_stopped() -> None:
    assert missed(lambda said: {**said, "cam": said["cam"][:, ::-1]}) == {"cam_distance", "cam_identity"}


def test_classes_in_another_order_are_stopped() -> None:
    assert missed(lambda said: {**said, "cam_class": said["cam_class"][:, ::-1]}) == {
        "cam_distance",
        "cam_identity",
        "cam_class",
    }


def test_maps_of_other_classes_than_the_best_are_stopped() -> None:
    def of_the_worst(said: Answer) -> Answer:
        worst = answer_of_worst[len(said["logits"])]
        return {**said, **worst}

    answer_of_worst = {}
    for values, _ in batches():
        said = answer(rounded(values))
        worst = np.argsort(said["logits"], axis=1)[:, :MAPS]
        maps = np.take_along_axis(class_maps(rounded(values), head()), worst[:, :, np.newaxis, np.newaxis], axis=1)
        answer_of_worst[len(values)] = {"cam": maps, "cam_class": worst}
    values = features(3, 2)
    found = measure_agreement(
        "onnx",
        lambda images: of_the_worst(answer(rounded(images))),
        [(values, keras_says(values))],
        head(),
        Tolerances(),
    )
    assert {figure.figure for figure in found if not figure.passed} == {"cam_class"}


def test_one_class_told_twice_is_stopped() -> None:
    def twice(said: Answer) -> Answer:
        classes, maps = said["cam_class"].copy(), said["cam"].copy()
        classes[:, 1], maps[:, 1] = classes[:, 0], maps[:, 0]
        return {**said, "cam_class": classes, "cam": maps}

    assert missed(twice) == {"cam_class"}


def test_a_map_of_half_the_height_keeps_its_direction_and_loses_its_identity() -> None:
    assert missed(lambda said: {**said, "cam": said["cam"] / 2}) == {"cam_identity"}


def test_a_mirrored_map_keeps_its_identity_and_loses_its_direction() -> None:
    assert missed(lambda said: {**said, "cam": said["cam"][..., ::-1]}) == {"cam_distance"}


@pytest.mark.parametrize(
    ("output", "stopping"),
    [
        ("logits", {"logits", "top1_disagreement", "cam_identity", "cam_class"}),
        ("probabilities", {"probabilities"}),
        ("cam", {"cam", "cam_distance", "cam_identity"}),
    ],
)
@pytest.mark.parametrize("wrong", [float("nan"), float("inf")], ids=str)
@pytest.mark.parametrize("batch", [8, 3], ids=["early", "late"])
def test_a_value_that_is_no_number_is_stopped(output: str, stopping: set[str], wrong: float, batch: int) -> None:
    def spoil(said: Answer) -> Answer:
        if len(said[output]) == batch:
            said[output] = np.full_like(said[output], wrong)
        return said

    found = missed(spoil)
    assert output in found
    assert found <= stopping


@pytest.mark.parametrize("times", [-1.0, 0.5, 2.0, 100.0])
def test_answers_of_another_size_are_stopped(times: float) -> None:
    def scaled(said: Answer) -> Answer:
        return {**said, "logits": said["logits"] * times, "cam": said["cam"] * times}

    assert "logits" in missed(scaled)


def test_a_network_that_always_says_the_same_is_stopped() -> None:
    def constant(said: Answer) -> Answer:
        return {**said, "logits": np.broadcast_to(said["logits"][:1], said["logits"].shape)}

    assert "logits" in missed(constant)


def test_the_bound_of_logits_in_lower_precision_can_be_chosen() -> None:
    def a_tenth_more(said: Answer) -> Answer:
        return {**said, "logits": said["logits"] * 1.1}

    assert figures(a_tenth_more)["logits"].passed
    assert not figures(a_tenth_more, lower_logits=0.05)["logits"].passed


WRONG_PROBABILITIES: dict[str, Callable[[Any], Any]] = {
    "seven": lambda said: np.full_like(said, 7.0),
    "a half of each": lambda said: said / 2,
    "one below zero": lambda said: (
        said + np.eye(CLASSES)[0] * -0.2 + np.eye(CLASSES)[1] * 0.2 - said * np.eye(CLASSES)[0]
    ),
    "another class": lambda said: np.eye(CLASSES)[said.argmin(axis=1)],
}


@pytest.mark.parametrize("wrong", WRONG_PROBABILITIES)
def test_probabilities_that_are_none_or_of_another_class_are_stopped(wrong: str) -> None:
    def spoil(said: Answer) -> Answer:
        return {**said, "probabilities": WRONG_PROBABILITIES[wrong](said["probabilities"])}

    assert missed(spoil) == {"probabilities"}


def of_activation(activation: Activation, said: Any, logits: Any) -> Metric:
    """The figure of probabilities, where the export says the logits of Keras."""
    keras = Answers(logits if activation == "linear" else 1 / (1 + np.exp(-logits)), logits, None)
    run = {"logits": logits, "probabilities": said}
    found = measure_agreement(
        "onnx", lambda images: run, [(np.zeros(1), keras)], None, Tolerances(), activation=activation
    )
    return next(figure for figure in found if figure.figure == "probabilities")


def test_probabilities_of_a_sigmoid_need_not_sum_to_one() -> None:
    logits = np.array([[2.0, 1.0, -3.0]])
    probabilities = 1 / (1 + np.exp(-logits))
    assert of_activation("sigmoid", probabilities, logits).passed
    assert of_activation("sigmoid", probabilities * [[1, 1, -1]], logits).value == np.inf
    assert of_activation("softmax", probabilities, logits).value == np.inf


def test_without_an_activation_probabilities_are_held_to_the_bound_of_logits() -> None:
    logits = np.array([[20.0, -30.0, 5.0]])
    honest, twice = (of_activation("linear", logits * times, logits) for times in (1.1, 2.0))
    assert honest.passed
    assert honest.bound == Tolerances().lower_logits
    assert honest.value == pytest.approx(0.1)
    assert not twice.passed


def test_every_map_counts_where_all_are_given() -> None:
    def with_all(said: Answer) -> Answer:
        return {**said, "cam_all": np.full((len(said["cam"]), CLASSES, SIDE, SIDE), 9.0)}

    assert figures(with_all)["cam"].value > figures()["cam"].value


def test_a_classifier_without_maps_is_measured_by_its_answers() -> None:
    found = measure_agreement("onnx", lambda images: answer(rounded(images)), batches(), None, Tolerances())
    assert [figure.figure for figure in found] == ["top1_disagreement", "logits", "probabilities"]


def test_no_images_measure_nothing() -> None:
    with pytest.raises(ParityError, match="no images to measure"):
        measure_agreement("onnx", lambda images: {}, [], head(), Tolerances())


def test_the_cosine_is_one_of_alike_none_of_zero_and_one_of_two_zeros() -> None:
    maps = np.array([[[1.0, 2.0]], [[0.0, 0.0]], [[0.0, 0.0]], [[1.0, 0.0]], [[1.0, np.nan]]])
    others = np.array([[[2.0, 4.0]], [[1.0, 0.0]], [[0.0, 0.0]], [[-3.0, 0.0]], [[1.0, 1.0]]])
    np.testing.assert_allclose(cosines(maps, others), [1, 0, 1, -1, np.nan])


def test_what_stops_lower_precision_says_what_helps() -> None:
    with pytest.raises(ParityError, match=r"top1_disagreement of onnx, batch 64: 0\.125 > 0\.01") as stop:
        judge([Metric("onnx", "top1_disagreement", 64, 0.125, 0.01)])
    assert "calibration" in str(stop.value.hint)


def test_what_stops_logits_of_lower_precision_says_what_helps_there_and_only_there() -> None:
    told = Metric("onnx", "top1_disagreement", 64, 0.0, 0.01)
    with pytest.raises(ParityError) as stop:
        judge([told, Metric("onnx", "logits", 64, 1.0, 0.25)])
    assert "too coarse" in str(stop.value.hint)
    with pytest.raises(ParityError) as stop:
        judge([told, Metric("savedmodel", "logits", 8, 1.0, 1e-4)])
    assert "too coarse" not in str(stop.value.hint)


def test_an_activation_beyond_half_precision_is_stopped() -> None:
    with pytest.raises(ParityError, match=r"half_range of onnx, batch 8: 7e\+04 > 6\.55e\+04"):
        judge([Metric("onnx", "half_range", 8, 70_000.0, 65504.0)])
    judge([Metric("onnx", "half_range", 8, 65504.0, 65504.0)])
