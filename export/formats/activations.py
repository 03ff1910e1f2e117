"""Value ranges of the tensors inside an ONNX graph, measured on images."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property

from camserve.export.frameworks import onnx, onnxruntime

import numpy as np
import numpy.typing as npt

from camserve.errors import ConversionError
from camserve.export.framework_errors import reason

__all__ = ["ActivationRanges", "activation_ranges", "float_tensors"]

_SHARE = 0.99
"""The share of the images whose values int8 represents up to the last.

In networks with swish, whose activations have no upper end, a few images reach values several times as large as all
others, and would take most of the 256 values for themselves.
"""


def float_tensors(model: onnx.ModelProto) -> set[str]:
    """Return the names of the float32 tensors of a graph that are not weights: its inputs and the outputs of its nodes.

    Raises:
        ConversionError: If the types of the graph cannot be inferred.
    """
    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except Exception as error:  # noqa: BLE001  its exceptions have no common base
        raise ConversionError(
            f"cannot infer the types of the ONNX graph: {reason(error)}", hint="Export with --precision fp32"
        ) from None
    declared = (*graph.input, *graph.output, *graph.value_info)
    return {value.name for value in declared if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}


class ActivationRanges:
    """The ranges of the tensors of a graph on calibration images, each measured once.

    Args:
        model: A graph with one input.
        images: Input images of the graph, `[n, height, width, channels]` with n > 0, float32 or uint8.
    """

    def __init__(self, model: onnx.ModelProto, images: npt.NDArray[np.generic]) -> None:
        self._model = model
        self._images = images
        self._found: dict[str, tuple[float, float]] = {}

    @cached_property
    def tensors(self) -> frozenset[str]:
        """The names of the float32 tensors of the graph, as `float_tensors` returns them."""
        return frozenset(float_tensors(self._model))

    def of(self, tensors: Collection[str]) -> dict[str, tuple[float, float]]:
        """Return the minimum and maximum of each tensor, over at least 99 of 100 images at either end.

        Of fewer than 100 images, none is left out.

        Args:
            tensors: Names of float32 tensors.

        Raises:
            ConversionError: If ONNX Runtime cannot run the graph, or a tensor has NaN or infinite values.
        """
        missing = set(tensors) - set(self._found)
        if missing:
            self._found |= activation_ranges(self._model, missing, self._images, _SHARE)
        return {name: self._found[name] for name in tensors}


def activation_ranges(
    model: onnx.ModelProto, tensors: Collection[str], images: npt.NDArray[np.generic], share: float = 1.0
) -> dict[str, tuple[float, float]]:
    """Return the range of each tensor that contains all values of a share of the images, at either end.

    Law: repeated images change nothing.

    Args:
        model: A graph with one input.
        tensors: Names of float32 tensors.
        images: Input images of the graph, `[n, height, width, channels]` with n > 0, float32 or uint8.
        share: The least share of the images; 1 for the minimum and maximum over all.

    Raises:
        ConversionError: If ONNX Runtime cannot run the graph, or a tensor has NaN or infinite values.
    """
    names = sorted(tensors)
    session = _extremes_session(model, names)
    entry = session.get_inputs()[0].name
    outputs = [output for name in names for output in _extreme_names(name)]
    extremes = np.array([session.run(outputs, {entry: image[np.newaxis]}) for image in images], np.float64)
    maximum = _quantile(extremes[:, 1::2], share)
    minimum = -_quantile(-extremes[:, 0::2], share)
    finite = np.isfinite(extremes).all(axis=0)
    for name, usable in zip(names, finite[0::2] & finite[1::2], strict=True):
        if not usable:
            raise ConversionError(
                f"tensor {name!r} has NaN or infinite values",
                hint="Check the weights of the model, and its preprocessing: --preprocess PRESET",
            )
    return {name: (float(low), float(high)) for name, low, high in zip(names, minimum, maximum, strict=True)}


def _quantile(values: npt.NDArray[np.float64], share: float) -> npt.NDArray[np.float64]:
    """Return, for each column, the least of its values that at least a share of its values do not exceed."""
    found: npt.NDArray[np.float64] = np.quantile(values, share, axis=0, method="inverted_cdf")
    return found


def _extremes_session(model: onnx.ModelProto, tensors: list[str]) -> onnxruntime.InferenceSession:
    """Return a session of the graph whose only outputs are the minimum and maximum of each tensor."""
    extended = onnx.ModelProto()
    extended.CopyFrom(model)
    del extended.graph.output[:]
    for name in tensors:
        for operator, output in zip(("ReduceMin", "ReduceMax"), _extreme_names(name), strict=True):
            extended.graph.node.append(onnx.helper.make_node(operator, [name], [output], name=output, keepdims=0))
            extended.graph.output.append(onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, ()))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False  # the arena would keep the memory of the largest layer
    try:
        return onnxruntime.InferenceSession(extended.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  its exceptions have no common base
        raise ConversionError(
            f"ONNX Runtime cannot load the network: {reason(error)}", hint="Choose another opset: --opset N"
        ) from None


def _extreme_names(tensor: str) -> tuple[str, str]:
    return f"{tensor}::minimum", f"{tensor}::maximum"
