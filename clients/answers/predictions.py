"""Decode probabilities into classes."""

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
    "top_predictions",
]

_ROUNDING = 0.02
"""Largest error of the sum of probabilities in half precision and int8."""


@dataclass(frozen=True)
class Label:
    """The label of a class and, for ImageNet and similar data sets, the identifier of the data set."""

    name: str
    identifier: str | None = None

    @property
    def line(self) -> str:
        """The line of `labels.txt`; `parse_label(label.line) == label`."""
        return self.name if self.identifier is None else f"{self.identifier}\t{self.name}"


@dataclass(frozen=True)
class Prediction:
    """One class and its probability.

    Attributes:
        index: Number of the class.
        label: Label of the class.
        probability: From 0 to 1; any number if the activation of the model is linear.
        identifier: Identifier of the class in the data set, such as `n02123045`, if the labels contain one.
    """

    index: int
    label: str
    probability: float
    identifier: str | None = None


def parse_label(line: str) -> Label:
    """Parse a line of `labels.txt`: the label, or identifier, tab and label."""
    identifier, tab, name = line.partition("\t")
    return Label(name.strip(), identifier.strip()) if tab else Label(line.strip())


def top_predictions(
    probabilities: np.ndarray[Any, Any], ranked: Sequence[int], labels: Sequence[Label], top: int
) -> tuple[Prediction, ...]:
    """Return the `top` best classes, or all classes if there are fewer.

    Law: wherever probabilities differ, the classes, their order and their probabilities are those of
    `keras.applications.imagenet_utils.decode_predictions`. Of equal probabilities, that function returns the higher
    class number first, or another one: its sort is not stable.

    Args:
        probabilities: One probability per class, `[classes]`.
        ranked: The numbers of all classes, best first, from `rank_classes`.
        labels: One label per class.
        top: Number of classes.
    """
    check_top(top)
    return tuple(_prediction(index, labels, probabilities) for index in ranked[:top])


def probabilities_of(logits: np.ndarray[Any, Any], activation: Activation) -> np.ndarray[Any, Any]:
    """Apply the activation of the model to finite logits `[..., classes]`; returns float32 of the same shape."""
    exact = logits.astype(np.float64)
    if activation == "softmax":
        powers = np.exp(exact - exact.max(axis=-1, keepdims=True))
        exact = powers / powers.sum(axis=-1, keepdims=True)
    elif activation == "sigmoid":
        exact = 0.5 * (1.0 + np.tanh(0.5 * exact))  # 1 / (1 + exp(-x)) without overflow
    return exact.astype(np.float32)


def check_top(top: int) -> None:
    """Check that a number of classes is a whole number of at least 1."""
    check_whole("top", top)
    if top < 1:
        raise UsageError(f"top must be at least 1, got {top}", hint="Pass the number of classes to return, such as 5")


def check_finite(values: np.ndarray[Any, Any], name: str) -> None:
    """Check that an output contains neither NaN nor infinity."""
    if not np.isfinite(values).all():
        raise RequestError(
            f"the model returned NaN or infinity in {name}",
            hint="Check the weights and the precision of the model: it overflows on this image",
        )


def check_probabilities(values: np.ndarray[Any, Any], activation: Activation) -> None:
    """Check that probabilities `[images, classes]` can be the result of an activation; logits usually cannot.

    Raises:
        ContractError: If a value is not from 0 to 1, or the sum of a softmax is not 1, except for rounding.
    """
    if activation == "linear":
        return
    lowest, highest = float(values.min()), float(values.max())
    sums = values.sum(axis=-1) if activation == "softmax" else np.ones(1)
    if lowest < 0.0 or highest > 1.0 + _ROUNDING or np.abs(sums - 1.0).max() > _ROUNDING:
        raise ContractError(
            f"the model returned probabilities from {lowest:.3g} to {highest:.3g}, which a {activation} cannot return",
            hint="Correct the contract: these may be logits, or the result of another activation",
        )


def _prediction(index: int, labels: Sequence[Label], probabilities: np.ndarray[Any, Any]) -> Prediction:
    label = labels[index]
    return Prediction(index, label.name, float(probabilities[index]), label.identifier)
