"""Reshapes that change nothing are removed, and no others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers
from onnx import TensorProto, helper, numpy_helper

from camserve.export.formats.onnx_format import convert
from camserve.export.formats.reshapes import remove_reshapes_without_effect
from camserve.export.graph.prepare import prepare

IMAGES = np.random.default_rng(4).normal(size=(3, 16, 16, 4)).astype(np.float32)
SQUEEZE, THERE, BACK = "squeeze", [-1, 3, 2], [-1, 6, 1, 1]


def chain(steps: Sequence[str | list[int]], *, last: str = "Neg", side: Any = 6) -> onnx.ModelProto:
    """Return a graph that pools an image and reshapes the result, `[batch, 6, 1, 1]`, in several steps."""
    nodes = [helper.make_node("GlobalAveragePool", ["image"], ["value"])]
    constants = [numpy_helper.from_array(np.array([2, 3]), "axes")]
    for place, shape in enumerate(steps):
        if shape == SQUEEZE:
            nodes.append(helper.make_node("Squeeze", [nodes[-1].output[0], "axes"], [f"value{place}"]))
        else:
            constants.append(numpy_helper.from_array(np.array(shape), f"shape{place}"))
            nodes.append(helper.make_node("Reshape", [nodes[-1].output[0], f"shape{place}"], [f"value{place}"]))
    nodes.append(helper.make_node(last, [nodes[-1].output[0]], ["result"]))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", side, 5, 5])
    result = helper.make_tensor_value_info("result", TensorProto.FLOAT, None)
    made = helper.make_graph(nodes, "chain", [image], [result], constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def source_of_result(model: onnx.ModelProto) -> str:
    remove_reshapes_without_effect(model.graph, 17)
    return str(model.graph.node[-1].input[0])


@pytest.mark.parametrize(
    "steps", [[BACK], [SQUEEZE, BACK], [SQUEEZE, BACK, BACK], [THERE, [-1, 6], BACK], [BACK, SQUEEZE, BACK]], ids=str
)
def test_reshapes_back_to_the_first_shape_are_skipped(steps: list[str | list[int]]) -> None:
    assert source_of_result(chain(steps)) == "value"


@pytest.mark.parametrize(
    ("steps", "source"),
    [
        ([SQUEEZE], "value0"),
        ([SQUEEZE, [-1, 6]], "value0"),
        ([THERE], "value0"),
        ([[-1, 1, 6, 1]], "value0"),
        ([[-1, 2, 1, 1]], "value0"),  # three rows for each image
        ([THERE, BACK, [-1, 2, 3]], "value2"),
    ],
    ids=str,
)
def test_reshapes_to_another_shape_are_kept(steps: list[str | list[int]], source: str) -> None:
    assert source_of_result(chain(steps)) == source


def test_reshape_of_an_unknown_shape_is_kept() -> None:
    assert source_of_result(chain([SQUEEZE, BACK], side="channels")) == "value1"


def test_squeeze_and_excitation_has_no_reshapes() -> None:
    image = layers.Input((16, 16, 4))
    x = layers.Conv2D(8, 3, activation="relu")(image)
    scale = layers.Reshape((1, 1, 8))(layers.GlobalAveragePooling2D(name="squeezed")(x))
    scale = layers.Conv2D(8, 1, activation="sigmoid")(layers.Conv2D(4, 1, activation="swish")(scale))
    x = layers.Conv2D(8, 3)(layers.multiply([x, scale]))
    model = keras.Model(image, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D(name="pool")(x)))
    graph = convert(prepare(model, cam=False, top_k=3, all_classes=False).served, 17)
    operators = Counter(node.op_type for node in graph.graph.node if not node.name.startswith("pool/"))
    assert operators["GlobalAveragePool"] == 1
    assert not {"Reshape", "Squeeze", "Unsqueeze"} & set(operators)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(["probabilities"], {"image": IMAGES})
    np.testing.assert_allclose(found, model(IMAGES, training=False), atol=1e-6)
