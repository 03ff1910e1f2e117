"""Evaluation of a network in float64, as the truth that an export in float32 is compared with.

Keras computes in float32, and the order of its sums differs from that of any other runtime. Its answers are therefore
no better than those of a correct export: both differ from the network's own answers by rounding, which deep networks
amplify. In float64 that rounding is negligible.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from camserve.export.frameworks import keras

import numpy as np
import numpy.typing as npt

from camserve.errors import SourceError
from camserve.export.framework_errors import reason
from camserve.export.graph.grouped_convolution import call_without_xla
from camserve.export.graph.inference import to_float32, to_float64
from camserve.export.graph.network import Network, Step, run
from camserve.export.graph.reference import KerasReference

__all__ = ["Truth", "find_truth"]

_ROUNDING_OF_A_LAYER = 1e-2
"""More than float32 changes the output of one layer, relative to its largest value, even if most digits cancel."""


@dataclass(frozen=True)
class Truth:
    """What an export is compared with, and how precise Keras itself is.

    Attributes:
        exact: The network in float64; in the precision of the model if it cannot be evaluated in float64.
        keras: The network in float32, whose distance from `exact` is Keras's rounding.
        obstacle: Why the network cannot be evaluated in float64; None if it can.
        rounded: Names of the layers that return float32 in the float64 evaluation as well.
    """

    exact: KerasReference
    keras: KerasReference
    obstacle: str | None = None
    rounded: tuple[str, ...] = ()


def find_truth(reference: KerasReference, images: npt.NDArray[np.float32]) -> Truth:
    """Convert a network to float64, and verify that every layer still computes the same.

    A custom layer may fail in float64, or be rebuilt with other settings because its `get_config` is incomplete. Each
    layer is therefore run in both precisions on the same inputs.

    Args:
        reference: The network in the precision of the model.
        images: A small batch of preprocessed images, `[batch, height, width, channels]`.
    """
    single = to_float32(reference.network)
    try:
        double = to_float64(reference.network)
        comparison = _Comparison(single, double)
        run(double, keras.ops.convert_to_tensor(images, double.dtype), [double.output], call=comparison)
    except SourceError as error:
        return Truth(reference, replace(reference, network=single), error.message)
    return Truth(
        replace(reference, network=double), replace(reference, network=single), rounded=tuple(comparison.rounded)
    )


class _Comparison:
    """Runs each step of a network in float64, and compares it with the same step in float32 on the same inputs."""

    def __init__(self, single: Network, double: Network) -> None:
        self.rounded: dict[str, None] = {}
        self._single = single
        self._double = double
        self._call = call_without_xla(double)

    def __call__(self, place: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        step = self._double.steps[place]
        try:
            results = self._call(place, args, kwargs)
        except Exception as error:  # a custom layer may raise anything
            raise SourceError(f"{_name(step)} cannot run in float64: {reason(error)}") from error
        args, kwargs = keras.tree.map_structure(_to_single, (args, kwargs))
        expected = self._single.steps[place].operation(*args, **kwargs)
        for result, other in zip(keras.tree.flatten(results), keras.tree.flatten(expected), strict=True):
            self._compare(step, np.asarray(result), np.asarray(other))
        return results

    def _compare(self, step: Step, result: npt.NDArray[Any], expected: npt.NDArray[Any]) -> None:
        if result.dtype == np.float32 and getattr(step.operation, "weights", None):
            self.rounded[step.name] = None
        if not np.issubdtype(result.dtype, np.floating):
            return
        if not np.array_equal(np.isfinite(result), np.isfinite(expected)):
            raise SourceError(f"{_name(step)} is finite in only one of float32 and float64")
        finite = np.isfinite(result)  # as a mask with -inf is not
        largest = float(np.max(np.abs(result[finite]), initial=0.0))
        difference = float(np.max(np.abs(result[finite] - expected[finite]), initial=0.0))
        if difference > _ROUNDING_OF_A_LAYER * largest:
            share = difference / largest if largest else difference
            raise SourceError(
                f"{_name(step)} computes something else if it is rebuilt in float64, or rounds too much in float32: "
                f"its output differs by {share:.1e}"
            )


def _to_single(value: Any) -> Any:
    is_double = keras.ops.is_tensor(value) and keras.backend.standardize_dtype(value.dtype) == "float64"
    return keras.ops.cast(value, "float32") if is_double else value


def _name(step: Step) -> str:
    return f"layer {step.name!r} ({step.kind})"
