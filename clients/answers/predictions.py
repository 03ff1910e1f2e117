"""Probabilities to classes: the best first, in the order of Keras's `decode_predictions`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from camserve.argument_checks import check_whole
from camserve.contract import Activation
from camserve.errors import ContractError, RequestError, UsageError

__all__ = [
    "Label",
    "Prediction",
    "check_finite",
    "check_probabilities",
    "check_top",
    "parse_label",
    "probabilities_of",
    "ranking",
    "top_predictions",
]

_ROUNDING = 0.02
"""What half precision and int8 may lose in the sum of probabilities."""


@dataclass(frozen=True)
class Label:
    """What a class is called: the name for people and, for ImageNet and its like, the identifier of the data set."""

    name: str
    identifier: str | None = None

    @property
    def line(self) -> str:
        """As it stands in `labels.txt`; `parse_label(label.line) == label`."""
        return self.name if self.identifier is None else f"{self.identifier}\t{self.name}"


@dataclass(frozen=True)
class Prediction:
    """One class and its probability.

    Attributes:
        index: Number of the class.
        label: Its name.
        probability: From 0 to 1; of a model whose activation is linear, any number.
        identifier: Its name in the data set, such as `n02123045`, where the labels have one.
    """

    index: int
    label: str
    probability: float
    identifier: str | None = None


def parse_label(line: str) -> Label:
    """Reads a line of `labels.txt`: the label, or an identifier, a tab and the label."""
    identifier, tab, name = line.partition("\t")
    return Label(name.strip(), identifier.strip()) if tab else Label(line.strip())


def top_predictions(probabilities: np.ndarray[Any, Any], labels: Sequence[Label], top: int) -> tuple[Prediction, ...]:
    """The `top` most probable classes, best first; all of them where there are fewer.

    Law: indices, order and probabilities are those of `keras.applications.imagenet_utils.decode_predictions`, equal
    probabilities included.

    Args:
        probabilities: One probability per class, `[classes]`.
        labels: One label per class.
        top: How many.

    Raises:
        RequestError: If a probability is not finite; the best of such a row would be chance.
    """
    check_top(top)
    check_finite(probabilities, "probabilities")
    return tuple(_prediction(index, labels, probabilities) for index in ranking(probabilities)[:top])


def ranking(probabilities: np.ndarray[Any, Any]) -> list[int]:
    """Every class, the most probable first; of equal ones in the order in which Keras names them."""
    order: list[int] = probabilities.argsort()[::-1].tolist()
    return order


def probabilities_of(logits: np.ndarray[Any, Any], activation: Activation) -> np.ndarray[Any, Any]:
    """What the model's own activation makes of logits `[..., classes]`, all finite: float32 of the same shape."""
    exact = logits.astype(np.float64)
    if activation == "softmax":
        powers = np.exp(exact - exact.max(axis=-1, keepdims=True))
        exact = powers / powers.sum(axis=-1, keepdims=True)
    elif activation == "sigmoid":
        exact = 0.5 * (1.0 + np.tanh(0.5 * exact))  # 1 / (1 + exp(-x)) without its overflow
    return exact.astype(np.float32)


def check_top(top: int) -> None:
    """Refuses a number of classes that is none, or less than one."""
    check_whole("top", top)
    if top < 1:
        raise UsageError(f"top is {top}", hint="Ask for at least one class")


def check_finite(values: np.ndarray[Any, Any], name: str) -> None:
    """Refuses an answer that holds NaN or infinity, from which nothing can be read."""
    if not np.isfinite(values).all():
        raise RequestError(
            f"the model answered NaN or infinity in {name}",
            hint="The network overflows on this image: check its weights and precision",
        )


def check_probabilities(values: np.ndarray[Any, Any], activation: Activation) -> None:
    """Refuses probabilities `[images, classes]` that the model's activation cannot have given, such as its logits.

    Raises:
        ContractError: If one is not from 0 to 1, or those of a softmax do not add up to 1, but for rounding.
    """
    if activation == "linear":
        return
    least, most = float(values.min()), float(values.max())
    sums = values.sum(axis=-1) if activation == "softmax" else np.ones(1)
    if least < 0.0 or most > 1.0 + _ROUNDING or np.abs(sums - 1.0).max() > _ROUNDING:
        raise ContractError(
            f"the model answered probabilities from {least:.3g} to {most:.3g} that are none of a {activation}",
            hint="If these are logits, or of another activation, let the contract say so",
        )


def _prediction(index: int, labels: Sequence[Label], probabilities: np.ndarray[Any, Any]) -> Prediction:
    label = labels[index]
    return Prediction(index, label.name, float(probabilities[index]), label.identifier)
