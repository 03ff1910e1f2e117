"""The ONNX format: conversion with tf2onnx, writing, and running with ONNX Runtime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from camserve.export.frameworks import onnx, onnxruntime, tf

import numpy as np
import numpy.typing as npt

from camserve import __version__
from camserve.contract import TensorSpec
from camserve.errors import ConversionError
from camserve.export.formats.canonical import canonicalize, layer_of
from camserve.export.formats.conversion import to_onnx
from camserve.export.formats.head_weights import multiply_by_transposed, share_head_weights
from camserve.export.formats.input_layout import transpose_input_first
from camserve.export.formats.position_matmuls import split_position_products
from camserve.export.formats.reshapes import inferred_shapes, remove_reshapes_without_effect
from camserve.export.formats.runner import Runner
from camserve.export.formats.simplify import (
    guard_padding_before_max_pool,
    merge_padding,
    remove_multiplication_by_one,
)
from camserve.export.formats.strides import move_strides_up
from camserve.export.framework_errors import reason
from camserve.export.graph.served import ServedGraph
from camserve.tensors import DATA_TYPES
from camserve.text import count

__all__ = ["IR_VERSION", "convert", "count_operators", "open_model", "open_onnx", "write_onnx"]

IR_VERSION = 8
"""ONNX file format version of opset 17, which ONNX Runtime 1.14 and newer read."""

_BATCH = "batch"
_NEWEST_OPSET_OF_IR = 17


def convert(served: ServedGraph, opset: int) -> onnx.ModelProto:
    """Convert the served graph to ONNX, in which only the batch dimension is dynamic.

    Args:
        served: The graph.
        opset: The ONNX operator set.

    Raises:
        ConversionError: If tf2onnx fails, or leaves operators in the graph that ONNX does not define.
    """
    try:
        model = to_onnx(_traced(served), opset)
    except Exception as error:  # tf2onnx may raise anything
        raise ConversionError(
            f"tf2onnx cannot convert the network to opset {opset}: {reason(error)}",
            hint="Choose another opset (--opset N), or export only a SavedModel: --formats savedmodel",
        ) from error
    _refuse_unknown_operators(model.graph, opset, served.steps)
    shapes = inferred_shapes(model.graph, opset)
    remove_reshapes_without_effect(model.graph, opset)
    remove_multiplication_by_one(model.graph)
    merge_padding(model.graph)
    guard_padding_before_max_pool(model.graph)
    move_strides_up(model.graph, opset)
    transpose_input_first(model.graph)
    split_position_products(model.graph, opset)
    _declare(model.graph, served)
    multiply_by_transposed(model.graph, opset)
    share_head_weights(model.graph, shapes)
    converted = onnx.ModelProto(
        ir_version=IR_VERSION if opset <= _NEWEST_OPSET_OF_IR else model.ir_version,
        opset_import=[onnx.helper.make_opsetid("", opset)],
        producer_name="camserve",
        producer_version=__version__,
    )
    canonicalize(model.graph, served.steps, converted.graph)
    return converted


def write_onnx(model: onnx.ModelProto, path: Path, metadata: Mapping[str, str]) -> None:
    """Write the graph with its metadata, and check the file.

    Args:
        model: The graph.
        path: The file.
        metadata: Metadata properties, which replace those of the graph.

    Raises:
        ConversionError: If the graph is not valid ONNX.
    """
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.save(model, str(path))
    try:
        onnx.checker.check_model(str(path))
    except onnx.checker.ValidationError as error:
        raise ConversionError(
            f"the converted graph is not valid ONNX: {reason(error)}",
            hint="Export only a SavedModel: --formats savedmodel",
        ) from None


def open_onnx(path: Path) -> Runner:
    """Load the file in ONNX Runtime on the CPU.

    Raises:
        ConversionError: If ONNX Runtime cannot load the file. The runner raises it if ONNX Runtime cannot run it.
    """
    return _open(str(path), path.name, onnxruntime.SessionOptions())


def open_model(model: onnx.ModelProto, threads: int) -> Runner:
    """Load a graph in ONNX Runtime on the CPU, from memory.

    Args:
        model: The graph.
        threads: Number of threads, which do not spin while they wait, as this would slow down other sessions.

    Raises:
        ConversionError: As `open_onnx`.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return _open(model.SerializeToString(), "the graph", options)


def _open(source: str | bytes, name: str, options: onnxruntime.SessionOptions) -> Runner:
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  its exceptions have no common base
        raise ConversionError(
            f"ONNX Runtime cannot load {name}: {reason(error)}", hint="Choose another opset: --opset N"
        ) from None
    names = [output.name for output in session.get_outputs()]
    (entry,) = session.get_inputs()

    def run(images: npt.NDArray[np.float32]) -> Mapping[str, npt.NDArray[Any]]:
        try:
            return dict(zip(names, session.run(names, {entry.name: images}), strict=True))
        except Exception as error:  # noqa: BLE001  its exceptions have no common base
            raise ConversionError(
                f"ONNX Runtime cannot run {name} on {count(len(images), 'image')}: {reason(error)}",
                hint="Choose another opset (--opset N), or export only a SavedModel: --formats savedmodel",
            ) from None

    return run


def count_operators(model: onnx.ModelProto) -> dict[str, int]:
    """Return the number of nodes by operator, most frequent first."""
    return dict(Counter(node.op_type for node in model.graph.node).most_common())


def _traced(served: ServedGraph) -> Any:
    """Trace the served graph as a concrete function with inner functions inlined.

    Keras compiles a grouped convolution with XLA in an inner function, which the converter cannot read.
    """
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        return tf.function(served.function).get_concrete_function(served.signature)
    finally:
        tf.config.run_functions_eagerly(before)


def _refuse_unknown_operators(graph: onnx.GraphProto, opset: int, steps: Sequence[str]) -> None:
    unknown = [node for node in graph.node if not _is_known(node, opset)]
    if unknown:
        names = dict.fromkeys(f"{node.op_type} of layer {layer_of(node.name, steps)!r}" for node in unknown)
        raise ConversionError(
            f"ONNX opset {opset} has no equivalent of {', '.join(names)}",
            hint="Replace these layers, or export only a SavedModel: --formats savedmodel",
        )


def _is_known(node: onnx.NodeProto, opset: int) -> bool:
    control_flow = any(attribute.type == onnx.AttributeProto.GRAPH for attribute in node.attribute)
    return node.domain == "" and bool(onnx.defs.has(node.op_type, opset)) and not control_flow


def _declare(graph: onnx.GraphProto, served: ServedGraph) -> None:
    """Declare input and outputs in the contract's order, with their exact shapes and a named batch dimension."""
    produced = {name for node in graph.node for name in node.output}
    missing = [output.name for output in served.outputs if output.name not in produced]
    if missing or [entry.name for entry in graph.input] != [served.input.name]:
        raise ConversionError(
            f"the converted graph has the inputs {[entry.name for entry in graph.input]} and lacks the outputs "
            f"{missing}",
            hint="Export only a SavedModel: --formats savedmodel",
        )
    del graph.input[:], graph.output[:], graph.value_info[:]
    graph.input.append(_declared(served.input))
    graph.output.extend(_declared(output) for output in served.outputs)


def _declared(tensor: TensorSpec) -> onnx.ValueInfoProto:
    dtype = onnx.TensorProto.DataType.Value(DATA_TYPES[tensor.dtype].onnx)
    return onnx.helper.make_tensor_value_info(tensor.name, dtype, (_BATCH, *tensor.shape))
