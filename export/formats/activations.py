"""The ranges that the tensors inside an ONNX graph take on given images."""

from __future__ import annotations

from collections.abc import Collection

from camserve.export.frameworks import onnx, onnxruntime

import numpy as np
import numpy.typing as npt

from camserve.errors import ConversionError

__all__ = ["activation_ranges", "float_tensors"]

_AT_ONCE = 4  # images; their activations alone are held at a time


def float_tensors(model: onnx.ModelProto) -> set[str]:
    """Names of the float32 tensors of a graph that are no weights: its inputs and what its nodes give.

    Raises:
        ConversionError: If the types of the graph cannot be inferred.
    """
    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except Exception as error:  # its exceptions have no common base
        raise ConversionError(f"the types of the ONNX graph cannot be inferred: {error}") from error
    declared = (*graph.input, *graph.output, *graph.value_info)
    return {value.name for value in declared if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}


def activation_ranges(
    model: onnx.ModelProto, tensors: Collection[str], images: npt.NDArray[np.generic]
) -> dict[str, tuple[float, float]]:
    """The least and the largest value of each tensor, over all images.

    Args:
        model: A graph with one input.
        tensors: Names of tensors of float32.
        images: `[n, height, width, channels]`, n > 0, as the graph takes them; a few are run at a time.

    Raises:
        ConversionError: If ONNX Runtime cannot run the graph, or a value is not finite; the message names the tensor.
    """
    names = sorted(tensors)
    session = _tapped(model, names)
    entry = session.get_inputs()[0].name
    taps = [tap for name in names for tap in _taps(name)]
    parts = [images[start : start + _AT_ONCE] for start in range(0, len(images), _AT_ONCE)]
    extremes = np.array([session.run(taps, {entry: part}) for part in parts], np.float64)
    least, largest = extremes[:, 0::2].min(axis=0), extremes[:, 1::2].max(axis=0)
    for name, finite in zip(names, np.isfinite(least) & np.isfinite(largest), strict=True):
        if not finite:
            raise ConversionError(
                f"tensor {name!r} takes values that are not finite on the images it was run on",
                hint="Look for weights that are not numbers, and at how the pixels are prepared",
            )
    return {name: (float(low), float(high)) for name, low, high in zip(names, least, largest, strict=True)}


def _tapped(model: onnx.ModelProto, tensors: list[str]) -> onnxruntime.InferenceSession:
    """A session of the graph that answers with the extremes of tensors, and with nothing else."""
    tapped = onnx.ModelProto()
    tapped.CopyFrom(model)
    del tapped.graph.output[:]
    for name in tensors:
        for operator, tap in zip(("ReduceMin", "ReduceMax"), _taps(name), strict=True):
            tapped.graph.node.append(onnx.helper.make_node(operator, [name], [tap], name=tap, keepdims=0))
            tapped.graph.output.append(onnx.helper.make_tensor_value_info(tap, onnx.TensorProto.FLOAT, ()))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False  # the arena keeps what the largest layer once took
    try:
        return onnxruntime.InferenceSession(tapped.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common base
        raise ConversionError(f"ONNX Runtime cannot run the network: {error}", hint="Try another --opset") from error


def _taps(tensor: str) -> tuple[str, str]:
    return f"{tensor}::least", f"{tensor}::largest"
