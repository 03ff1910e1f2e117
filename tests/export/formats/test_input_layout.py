"""The Transpose of the input is moved before the arithmetic on pixels."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers
from onnx import TensorProto, helper, numpy_helper

from camserve.contract import PRESETS
from camserve.export.formats.input_layout import transpose_input_first
from camserve.export.formats.onnx_format import convert
from camserve.export.gate.samples import sample_images
from camserve.export.graph.prepare import prepare

PIXELS = np.random.default_rng(1).integers(0, 256, (2, 8, 9, 3), np.uint8)
MEAN = np.array([103.9, 116.8, 123.7], np.float32)


def arithmetic(*, readers: int = 1, first: str = "Cast") -> onnx.ModelProto:
    """Return a graph that computes 2 - (pixel - mean) / mean, then transposes it."""
    nodes = [
        helper.make_node("Cast", ["image"], ["numbers"], to=TensorProto.FLOAT, name="pixels/cast"),
        helper.make_node("Sub", ["numbers", "mean"], ["centered"], name="sub"),
        helper.make_node("Div", ["centered", "column"], ["scaled"], name="div"),
        helper.make_node("Sub", ["two", "scaled"], ["difference"], name="difference"),
        helper.make_node("Transpose", ["difference"], ["planes"], perm=[0, 3, 1, 2], name="conv/transpose"),
        helper.make_node("Add", ["planes", "two"], ["result"], name="add"),
        *([helper.make_node("Add", ["scaled", "mean"], ["other"], name="reader")] if readers == 2 else []),
    ]
    if first == "Softmax":
        nodes[0] = helper.make_node("Cast", ["image"], ["input"], to=TensorProto.FLOAT)
        nodes.insert(1, helper.make_node("Softmax", ["input"], ["numbers"]))
    names = ["result", *(["other"] if readers == 2 else [])]
    constants = [
        numpy_helper.from_array(MEAN, "mean"),
        numpy_helper.from_array(MEAN.reshape(1, 1, 1, 3), "column"),
        numpy_helper.from_array(np.array(2, np.float32), "two"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 8, 9, 3])
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
    made = helper.make_graph(nodes, "pixels", [image], outputs, constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: onnx.ModelProto) -> Any:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": PIXELS})[0]


def sort(graph: onnx.GraphProto) -> list[str]:
    """Put the nodes in the order in which they can run, and return their operators."""
    waiting, done = list(graph.node), {"image", *(tensor.name for tensor in graph.initializer)}
    del graph.node[:]
    while waiting:
        node = next(node for node in waiting if done.issuperset(node.input))
        done.update(node.output)
        waiting.remove(node)
        graph.node.append(node)
    return [node.op_type for node in graph.node]


def test_arithmetic_runs_on_planes_with_the_same_bits() -> None:
    model = arithmetic()
    expected = run(model)
    transpose_input_first(model.graph)
    assert sort(model.graph) == ["Transpose", "Cast", "Sub", "Div", "Sub", "Add"]
    assert model.graph.node[0].name.startswith("pixels/")
    np.testing.assert_array_equal(run(model), expected)
    moved = model.SerializeToString()
    transpose_input_first(model.graph)
    assert model.SerializeToString() == moved


@pytest.mark.parametrize(
    "model", [arithmetic(readers=2), arithmetic(first="Softmax")], ids=["another reader", "sum over channels"]
)
def test_transpose_stays_behind_other_nodes(model: onnx.ModelProto) -> None:
    before = model.SerializeToString()
    transpose_input_first(model.graph)
    assert model.SerializeToString() == before


@pytest.mark.parametrize("preset", ["raw-bgr", None])
def test_rescaling_in_the_network_runs_on_planes(preset: str | None) -> None:
    image = layers.Input((16, 16, 3))
    x = layers.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.1, 0.2, 0.3])(layers.Rescaling(1 / 255)(image))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="relu")(x))
    model = keras.Model(image, layers.Dense(3, "softmax")(x))
    pixels = None if preset is None else PRESETS[preset]
    graph = convert(prepare(model, cam=True, top_k=3, all_classes=False, pixels=pixels).served, 17)
    names = [node.op_type for node in graph.graph.node]
    assert names[0] == "Transpose"
    assert names.count("Transpose") == 1
    samples = sample_images(3, 16, 16, 3)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    given, seen = (samples.astype(np.float32), samples) if preset is None else (samples, samples[..., ::-1])
    (found,) = session.run(["probabilities"], {"image": given})
    np.testing.assert_allclose(found, model(seen.astype(np.float32), training=False), atol=1e-6)


def test_branches_with_other_axes_have_each_their_transpose() -> None:
    image = layers.Input((16, 16, 3))
    upright, also, turned = (layers.Rescaling(scale, 1.0)(image) for scale in ([1.0, 2, 3], [2.0, 3, 4], [3.0, 1, 2]))
    convolved = [layers.Conv2D(4, 3)(x) for x in (upright, also, layers.Permute((2, 1, 3))(turned))]
    x = layers.GlobalAveragePooling2D()(layers.concatenate(convolved))
    model = keras.Model(image, layers.Dense(3, "softmax")(x))
    graph = convert(prepare(model, cam=False, top_k=3, all_classes=False).served, 17)
    assert [node.op_type for node in graph.graph.node].count("Transpose") == 2
    samples = sample_images(3, 16, 16, 3).astype(np.float32) / 255
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(["probabilities"], {"image": samples})
    np.testing.assert_allclose(found, model(samples, training=False), atol=1e-6)
