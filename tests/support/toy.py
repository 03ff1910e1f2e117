"""A tiny but real bundle: one convolution, a mean, a linear layer and the exact map, and its expected outputs.

The graph is written by hand with `onnx.helper`, so that tests of serving and of the clients need no Keras.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from camserve import tensors
from camserve.bundle import (
    CONTRACT_NAME,
    GOLDEN_IMAGES_NAME,
    GOLDEN_NAME,
    LABELS_NAME,
    ONNX_NAME,
    REPORT_NAME,
    Bundle,
    load_bundle,
)
from camserve.contract import CONTRACT_PARAMETER, PRESETS, CamContract, ModelContract, Operation, TensorSpec
from camserve.contract.maps import MapKind, version_for
from camserve.contract.outputs import expected_outputs as outputs_of
from camserve.expected_answers import ExpectedAnswers
from camserve.golden import IMAGES, Golden, with_rounding, write_golden
from camserve.golden_images import GoldenImages, write_golden_images
from camserve.images import load_image, prepare
from camserve.manifest import write_manifest
from camserve.openvino_runtime import open_network
from camserve.pixels import graph_input, normalize

__all__ = [
    "add_golden_images",
    "expected_outputs",
    "in_bf16",
    "in_int8",
    "toy_contract",
    "toy_images",
    "toy_pixels",
    "with_pixels",
    "write_toy_bundle",
]

Array = npt.NDArray[Any]
_FILTERS = 6
_STRIDE = 2
_OPERATORS: dict[Operation, str] = {"divide": "Div", "subtract": "Sub"}


def write_toy_bundle(
    folder: Path,
    *,
    name: str = "toy",
    size: tuple[int, int] = (8, 8),
    channels: int = 3,
    classes: int = 4,
    preset: str = "unit",
    top_k: int = 3,
    labels: Sequence[str] | None = None,
    seed: int = 0,
    all_maps: bool = False,
) -> Bundle:
    """Write a bundle into `folder` and load it.

    Args:
        folder: Created if missing.
        name: The model's name in its contract.
        size: Height and width of the input in pixels.
        channels: 3, or 1 for gray.
        classes: Number of classes.
        preset: Name in `camserve.contract.PRESETS`.
        top_k: Number of maps.
        labels: One per class (default: `class 0`, `class 1` and so on).
        seed: Seed of the random weights.
        all_maps: Whether there is an output `cam_all`.
    """
    contract = toy_contract(
        name=name, size=size, channels=channels, classes=classes, preset=preset, top_k=top_k, all_maps=all_maps
    )
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(_model(contract, np.random.default_rng(seed)), folder / ONNX_NAME)
    (folder / CONTRACT_NAME).write_text(contract.to_json(indent=2), encoding="utf-8")
    lines = [f"class {index}" for index in range(classes)] if labels is None else labels
    (folder / LABELS_NAME).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    report = {"name": name, "source": "toy", "precision": "fp32", "opset": 17, "formats": ["onnx"], "parity": {}}
    (folder / REPORT_NAME).write_text(json.dumps(report, indent=2), encoding="utf-8")
    pixels = toy_pixels(contract)
    answers = _expected(folder / ONNX_NAME, contract, normalize(pixels, contract.preprocessing))
    write_golden(folder / GOLDEN_NAME, Golden(pixels, answers))
    write_manifest(folder)
    return load_bundle(folder)


def add_golden_images(bundle: Bundle, *, shift: float = 0.0) -> Bundle:
    """Add golden images of 20x12 pixels to a bundle and load it again.

    Args:
        bundle: A toy bundle.
        shift: What is added to the expected probability of the first class.
    """
    random, files = np.random.default_rng(5), []
    for _ in range(2):
        stream = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (12, 20, 3), np.uint8)).save(stream, "PNG")
        files.append(stream.getvalue())
    tensors_of_files = np.stack([prepare(load_image(file), bundle.contract) for file in files])
    answers = expected_outputs(bundle, tensors_of_files)["probabilities"].astype(np.float64)
    answers[:, 0] += shift
    expected = ExpectedAnswers(answers.argmax(axis=1), answers)
    write_golden_images(
        bundle.path / GOLDEN_IMAGES_NAME, GoldenImages(("a.png", "b.png"), tuple(files), expected, 0.02)
    )
    write_manifest(bundle.path)
    return load_bundle(bundle.path)


def in_bf16(bundle: Bundle) -> Bundle:
    """Change a bundle to one of precision bf16, with the golden answers of OpenVINO in bf16."""
    assert bundle.onnx_path is not None
    pixels, names = toy_pixels(bundle.contract), [spec.name for spec in bundle.contract.outputs]
    network = open_network(bundle.onnx_path, "bf16", purpose="a toy in bf16")
    images = graph_input(pixels, bundle.contract.preprocessing)
    float32 = expected_outputs(bundle, images)
    write_golden(
        bundle.path / GOLDEN_NAME,
        with_rounding(Golden(pixels, network.run(images, names)), bundle.contract, float32),
    )
    return _with_precision(bundle, "bf16")


def in_int8(bundle: Bundle) -> Bundle:
    """Quantize the convolution of a bundle, with the golden answers of ONNX Runtime."""
    from onnxruntime import InferenceSession
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    assert bundle.onnx_path is not None
    pixels, names = toy_pixels(bundle.contract), [spec.name for spec in bundle.contract.outputs]
    images = graph_input(pixels, bundle.contract.preprocessing)

    class Images(CalibrationDataReader):  # type: ignore[misc]
        batches = iter([{"image": images}])

        def get_next(self) -> Any:
            return next(self.batches, None)

    # Without results in 8 bits, of which OpenVINO computes the toy's maps wrongly, unlike those of exported networks.
    only_inputs = {"OpTypesToExcludeOutputQuantization": ["Conv"]}
    path = bundle.onnx_path
    quantize_static(path, path, Images(), op_types_to_quantize=["Conv"], per_channel=True, extra_options=only_inputs)
    session = InferenceSession(bundle.onnx_path, providers=["CPUExecutionProvider"])
    answers = dict(zip(names, session.run(names, {"image": images}), strict=True))
    write_golden(bundle.path / GOLDEN_NAME, Golden(pixels, answers))
    return _with_precision(bundle, "int8 (cpu)")


def _with_precision(bundle: Bundle, precision: str) -> Bundle:
    report = json.loads((bundle.path / REPORT_NAME).read_text())
    (bundle.path / REPORT_NAME).write_text(json.dumps({**report, "precision": precision}))
    write_manifest(bundle.path)
    return load_bundle(bundle.path)


def with_pixels(bundle: Bundle) -> Bundle:
    """Change the input of an RGB bundle to uint8 pixels, which the graph preprocesses."""
    model = onnx.load(bundle.onnx_path)
    contract = json.loads((bundle.path / CONTRACT_NAME).read_text())
    contract["input"]["dtype"] = "UINT8"
    contract["preprocessing"] |= {"in_graph": True}
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    nodes, last = [helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT)], "pixels"
    for place, (operation, operands) in enumerate(bundle.contract.preprocessing.arithmetic):
        operand, result = f"operand_{place}", f"normalized_{place}"
        model.graph.initializer.append(numpy_helper.from_array(np.array(operands, np.float32), operand))
        nodes.append(helper.make_node(_OPERATORS[operation], [last, operand], [result]))
        last = result
    model.graph.node[0].input[0] = last
    for place, node in enumerate(nodes):
        model.graph.node.insert(place, node)
    text = ModelContract.from_json(json.dumps(contract)).to_json()
    helper.set_model_props(model, {entry.key: text for entry in model.metadata_props})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, bundle.path / ONNX_NAME)
    (bundle.path / CONTRACT_NAME).write_text(text)
    write_manifest(bundle.path)
    return load_bundle(bundle.path)


def toy_pixels(contract: ModelContract, count: int = IMAGES, *, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Return random images `[count, H, W, C]`."""
    shape = (count, *contract.input.shape)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def toy_contract(
    *,
    name: str = "toy",
    size: tuple[int, int] = (8, 8),
    channels: int = 3,
    classes: int = 4,
    preset: str = "unit",
    top_k: int = 3,
    all_maps: bool = False,
    kind: MapKind = "global-average",
) -> ModelContract:
    """Return the contract of a toy bundle."""
    preprocessing = PRESETS[preset] if channels == 3 else PRESETS[preset].in_gray()
    grid = (-(-size[0] // _STRIDE), -(-size[1] // _STRIDE))
    cam = CamContract(kind=kind, grid=grid, top_k=top_k, all_classes=all_maps)
    return ModelContract(
        version=version_for(cam),
        name=name,
        input=TensorSpec(name=tensors.IMAGE, dtype="FP32", shape=(*size, channels)),
        outputs=outputs_of(classes, cam),
        preprocessing=preprocessing,
        activation="softmax",
        classes=classes,
        cam=cam,
    )


def toy_images(bundle: Bundle, count: int = 1, *, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return random input tensors `[count, H, W, C]` in [0, 1)."""
    shape = (count, *bundle.contract.input.shape)
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def expected_outputs(bundle: Bundle, images: Array) -> dict[str, Array]:
    """Return the expected outputs for input tensors `[batch, H, W, C]`, by name, computed in float64 by numpy."""
    return _expected(bundle.path / ONNX_NAME, bundle.contract, images)


def _expected(path: Path, contract: ModelContract, images: Array) -> dict[str, Array]:
    weights = _weights(path)
    features = _features(images.astype(np.float64), weights["kernel"], weights["kernel_bias"])
    logits = features.mean(axis=(2, 3)) @ weights["dense"] + weights["dense_bias"]
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    top_k = contract.cam.top_k if contract.cam else 0
    best = np.argsort(-logits, axis=1, kind="stable")[:, :top_k]
    maps = np.einsum("bfhw,fc->bchw", features, weights["dense"])
    answers = {
        "probabilities": (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32),
        "logits": logits.astype(np.float32),
        "cam": np.take_along_axis(maps, best[:, :, None, None], axis=1).astype(np.float32),
        "cam_class": best.astype(np.int32),
        "cam_all": maps.astype(np.float32),
    }
    return {output.name: answers[output.name] for output in contract.outputs}


def _weights(path: Path) -> dict[str, Array]:
    graph = onnx.load(path).graph
    return {tensor.name: numpy_helper.to_array(tensor).astype(np.float64) for tensor in graph.initializer}


def _features(images: Array, kernel: Array, bias: Array) -> Array:
    padded = np.pad(images.transpose(0, 3, 1, 2), ((0, 0), (0, 0), (1, 1), (1, 1)))
    view = np.lib.stride_tricks.sliding_window_view
    windows = view(view(padded, 3, axis=2), 3, axis=3)[:, :, ::_STRIDE, ::_STRIDE]
    convolved: Array = np.einsum("bchwij,fcij->bfhw", windows, kernel) + bias[:, None, None]
    return np.maximum(convolved, 0.0)


def _model(contract: ModelContract, random: np.random.Generator) -> onnx.ModelProto:
    graph = helper.make_graph(_nodes(contract), "toy", [_value(contract.input)], [_value(o) for o in contract.outputs])
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in _arrays(contract, random).items())
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {CONTRACT_PARAMETER: contract.to_json()})
    onnx.checker.check_model(model, full_check=True)
    return model


def _arrays(contract: ModelContract, random: np.random.Generator) -> dict[str, Array]:
    if contract.cam is None:
        raise ValueError("a toy contract always has maps")
    height, width = contract.cam.grid
    channels = contract.input.shape[2]
    return {
        "kernel": random.normal(0, 0.5, (_FILTERS, channels, 3, 3)).astype(np.float32),
        "kernel_bias": random.normal(0, 0.1, _FILTERS).astype(np.float32),
        "dense": random.normal(0, 1.0, (_FILTERS, contract.classes)).astype(np.float32),
        "dense_bias": random.normal(0, 0.1, contract.classes).astype(np.float32),
        "top_k": np.array([contract.cam.top_k], dtype=np.int64),
        "last_axis": np.array([2], dtype=np.int64),
        "flat_grid": np.array([0, _FILTERS, height * width], dtype=np.int64),
        "grid": np.array([0, contract.cam.top_k, height, width], dtype=np.int64),
        **({"whole_grid": np.array([0, contract.classes, height, width])} if contract.cam.all_classes else {}),
    }


def _nodes(contract: ModelContract) -> list[onnx.NodeProto]:
    node = helper.make_node
    every_map = [node("Reshape", ["all_maps", "whole_grid"], ["cam_all"])]
    return [
        node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
        node("Conv", ["planes", "kernel", "kernel_bias"], ["convolved"], pads=[1, 1, 1, 1], strides=[_STRIDE, _STRIDE]),
        node("Relu", ["convolved"], ["features"]),
        node("ReduceMean", ["features"], ["pooled"], axes=[2, 3], keepdims=0),
        node("MatMul", ["pooled", "dense"], ["products"]),
        node("Add", ["products", "dense_bias"], ["logits"]),
        node("Softmax", ["logits"], ["probabilities"], axis=1),
        node("TopK", ["logits", "top_k"], ["best_logits", "best"], axis=1),
        node("Cast", ["best"], ["cam_class"], to=TensorProto.INT32),
        node("Reshape", ["features", "flat_grid"], ["flat_features"]),
        node("Transpose", ["dense"], ["class_weights"], perm=[1, 0]),
        node("MatMul", ["class_weights", "flat_features"], ["all_maps"]),
        node("Unsqueeze", ["best", "last_axis"], ["best_indices"]),
        node("GatherND", ["all_maps", "best_indices"], ["best_maps"], batch_dims=1),
        node("Reshape", ["best_maps", "grid"], ["cam"]),
        *(every_map if contract.output("cam_all") else ()),
    ]


def _value(spec: TensorSpec) -> onnx.ValueInfoProto:
    dtype = TensorProto.DataType.Value(tensors.DATA_TYPES[spec.dtype].onnx)
    return helper.make_tensor_value_info(spec.name, dtype, ["batch", *spec.shape])
