"""The batch is the only free dimension, so that ONNX Runtime can fix all shapes by its name."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime
import pytest
from support.networks import small_network

from camserve.bundle import ONNX_NAME
from camserve.contract import PRESETS
from camserve.export.formats.half import to_half_precision
from camserve.export.formats.onnx_settings import OnnxSettings
from camserve.export.formats.quantize import quantize
from camserve.export.formats.writing import ConvertedGraph, convert, write_onnx
from camserve.export.gate.samples import sample_images
from camserve.export.graph.prepare import prepare

BATCH = 7
IMAGES = sample_images(12, 16, 16, 3)
SETTINGS = [
    OnnxSettings(),
    OnnxSettings(precision="fp16"),
    OnnxSettings(precision="int8"),
    OnnxSettings(precision="int8", target="tensorrt"),
]


def with_fixed_batch(path: Path, name: str) -> onnx.GraphProto:
    """Return the graph that ONNX Runtime makes of a file for one batch size, with the shapes of its tensors."""
    options = onnxruntime.SessionOptions()
    options.add_free_dimension_override_by_name(name, BATCH)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path.with_suffix(".fixed.onnx"))
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return onnx.shape_inference.infer_shapes(onnx.load(options.optimized_model_filepath), data_prop=True).graph


def in_precision(graph: ConvertedGraph, settings: OnnxSettings) -> onnx.ModelProto:
    """Return the graph in the precision of the settings, calibrated with synthetic images."""
    if settings.precision == "int8":
        return quantize(graph.model, IMAGES, graph.stay_float, settings.target)
    return to_half_precision(graph.model, graph.stay_float) if settings.precision == "fp16" else graph.model


def free_tensors(graph: onnx.GraphProto) -> list[str]:
    """Return the tensors with a dimension that is not known."""
    values = {value.name: value for value in (*graph.input, *graph.value_info, *graph.output)}
    computed = [name for node in graph.node for name in node.output if name]
    return [
        name
        for name in (*(entry.name for entry in graph.input), *computed)
        if name not in values or not all(dim.HasField("dim_value") for dim in values[name].type.tensor_type.shape.dim)
    ]


@pytest.mark.parametrize(
    ("pooling", "all_classes", "settings"),
    [
        *(("global-average", False, settings) for settings in SETTINGS),
        ("global-average", True, OnnxSettings()),
        ("average", False, OnnxSettings()),
        ("flatten", True, OnnxSettings()),
    ],
    ids=str,
)
def test_a_fixed_batch_leaves_no_free_dimension(
    pooling: str, all_classes: bool, settings: OnnxSettings, tmp_path: Path
) -> None:
    prepared = prepare(small_network(pooling), cam=True, top_k=3, all_classes=all_classes, pixels=PRESETS["caffe"])
    write_onnx(tmp_path, in_precision(convert(prepared.served, settings.opset), settings), {})
    fixed = with_fixed_batch(tmp_path / ONNX_NAME, "batch")
    assert free_tensors(fixed) == []
    sizes = {value.name: value.type.tensor_type.shape.dim[0].dim_value for value in (*fixed.input, *fixed.output)}
    assert set(sizes.values()) == {BATCH}
    assert {"image", "logits", "probabilities", "cam", "cam_class"} <= sizes.keys()
    assert free_tensors(with_fixed_batch(tmp_path / ONNX_NAME, "another name")) != []
