"""Small hand-written ONNX classifiers with a head and maps, for tests of graph rewrites."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

__all__ = ["Graph", "images", "operators", "run_onnx"]

Array = npt.NDArray[Any]
SIDE = 8
CLASSES = 4


class Graph:
    """A graph under construction: `image` `[batch, 8, 8, 3]`, first transposed to channels first.

    Args:
        dtype: Data type of the input: FLOAT, or UINT8, which is cast and scaled first.
        seed: Seed of the random weights.
    """

    def __init__(self, dtype: int = TensorProto.FLOAT, seed: int = 0) -> None:
        self.dtype = dtype
        self.features = ""
        self.channels = 3
        self._random = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        image = "image"
        if dtype == TensorProto.UINT8:
            image = self.add("Mul", self.add("Cast", image, to=TensorProto.FLOAT), self.constant(np.float32(1 / 255)))
        self.features = self.add("Transpose", image, perm=[0, 3, 1, 2])

    def constant(self, value: Any) -> str:
        """Add a constant and return its name."""
        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def weights(self, *shape: int) -> Array:
        """Return random weights that preserve the magnitude of their input."""
        fan = int(np.prod(shape[1:])) if len(shape) == 4 else shape[0]
        return self._random.normal(0, (2 / fan) ** 0.5, shape).astype(np.float32)

    def add(self, operator: str, *inputs: str, results: int = 1, name: str = "", **attributes: Any) -> str:
        """Add a node and return the name of its first output."""
        name = name or f"{operator.lower()}{len(self._nodes)}"
        outputs = [name, *(f"{name}:{place}" for place in range(1, results))]
        self._nodes.append(helper.make_node(operator, list(inputs), outputs, name=name, **attributes))
        return name

    def convolve(
        self, source: str, channels: int, kernel: int = 3, *, group: int = 1, before: int = 0, **attributes: Any
    ) -> str:
        """Add a convolution with bias that, unless it has strides, keeps height and width."""
        weights = self.constant(self.weights(channels, (before or self.channels) // group, kernel, kernel))
        bias = self.constant(self._random.normal(0, 0.1, channels).astype(np.float32))
        self.channels = channels
        return self.add("Conv", source, weights, bias, pads=[kernel // 2] * 4, group=group, **attributes)

    def classifier(
        self, features: str, *, opset: int = 17, dense: Array | None = None
    ) -> tuple[onnx.ModelProto, list[str]]:
        """Add pooling, a linear layer, softmax and maps to features `[batch, channels, height, width]`.

        Returns:
            The model, and the names of the nodes of its head.
        """
        body = len(self._nodes)
        kernel = self.weights(self.channels, CLASSES) if dense is None else dense
        pooled = self.add("Flatten", self.add("GlobalAveragePool", features))
        self.add(
            "Gemm", pooled, self.constant(kernel), self.constant(np.arange(CLASSES, dtype=np.float32)), name="logits"
        )
        self.add("Softmax", "logits", name="probabilities", axis=1)
        columns = self.add("Reshape", features, self.constant(np.array([0, 0, -1])))
        self.add("MatMul", self.constant(kernel.T.copy()), columns, name="cam")
        return self.model(("probabilities", "logits", "cam"), opset=opset), [node.name for node in self._nodes[body:]]

    def model(self, outputs: tuple[str, ...], *, opset: int = 17) -> onnx.ModelProto:
        """Return the checked graph."""
        image = helper.make_tensor_value_info("image", self.dtype, ["batch", SIDE, SIDE, 3])
        results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self._nodes, "by hand", [image], results, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
        del model.graph.value_info[:]
        onnx.checker.check_model(model, full_check=True)
        return model


def images(count: int, dtype: int = TensorProto.FLOAT, seed: int = 1) -> Array:
    """Return random input images: float32 in 0 to 1, or uint8."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)
    return pixels if dtype == TensorProto.UINT8 else pixels.astype(np.float32) / 255


def run_onnx(model: onnx.ModelProto, batch: Array) -> dict[str, Array]:
    """Return the outputs of ONNX Runtime by name."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": batch}), strict=True))


def operators(model: onnx.ModelProto) -> list[str]:
    """Return the operators of the graph, in its order."""
    return [node.op_type for node in model.graph.node]
