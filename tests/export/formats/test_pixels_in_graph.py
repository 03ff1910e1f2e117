"""Preprocessing in the graph: the same outputs as with preprocessing in the client."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers
from support.networks import enliven, small_network

from camserve.bundle import Bundle
from camserve.choices import InputType
from camserve.contract import PRESETS, Preprocessing
from camserve.export import export_model
from camserve.export.formats.onnx_format import convert
from camserve.export.gate.samples import sample_images
from camserve.export.graph.prepare import prepare
from camserve.export.graph.served import preprocess
from camserve.pixels import normalize

PIXELS = sample_images(5, 16, 16, 3)
GRAY = Preprocessing(color="gray", scale=(127.5,), mean=(1.0,), std=(1.0,))


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_graph_preprocesses_as_the_client(preset: str) -> None:
    prepared = np.asarray(preprocess(PIXELS, PRESETS[preset]))
    np.testing.assert_array_equal(prepared, normalize(PIXELS, PRESETS[preset]))


def test_graph_preprocesses_gray_images_as_the_client() -> None:
    gray = sample_images(3, 8, 8, 1)
    np.testing.assert_array_equal(np.asarray(preprocess(gray, GRAY)), normalize(gray, GRAY))


def outputs(bundle: Bundle, images: Any) -> list[Any]:
    session = onnxruntime.InferenceSession(str(bundle.onnx_path), providers=["CPUExecutionProvider"])
    return list(session.run(["logits", "cam", "cam_class"], {"image": images}))


@pytest.mark.parametrize("preset", ["caffe", "torch", "raw-rgb"])
def test_uint8_input_gives_the_same_outputs(preset: str, tmp_path: Path) -> None:
    model = enliven(small_network("average"), PRESETS[preset])
    dtypes: tuple[InputType, ...] = ("float32", "uint8")
    bundles = {
        dtype: export_model(model, tmp_path / dtype, preprocessing=preset, resize="nearest", input_dtype=dtype)
        for dtype in dtypes
    }
    contract = bundles["uint8"].contract
    assert (contract.input.dtype, contract.preprocessing.in_graph) == ("UINT8", True)
    assert contract.preprocessing.mean == PRESETS[preset].mean
    prepared = outputs(bundles["float32"], normalize(PIXELS, PRESETS[preset]))
    # The first convolution sums over RGB instead of BGR, which rounds otherwise.
    rounding = 1e-5 if contract.preprocessing.color == "bgr" else 1e-6
    for output, expected in zip(outputs(bundles["uint8"], PIXELS), prepared, strict=True):
        np.testing.assert_allclose(output, expected, rtol=rounding, atol=rounding)


def graph_of(model: keras.Model, preset: str) -> Any:
    prepared = prepare(model, cam=True, top_k=3, all_classes=False, pixels=PRESETS[preset])
    return convert(prepared.served, 17).graph


def operators_of(model: keras.Model, preset: str) -> list[str]:
    nodes = graph_of(model, preset).node
    assert Counter(node.op_type for node in nodes)["Transpose"] == 1
    return [node.op_type for node in nodes if node.name.startswith("pixels/")]


def test_reversed_channels_are_part_of_the_first_kernel() -> None:
    model = enliven(small_network("global-average"), PRESETS["caffe"])
    assert operators_of(model, "caffe") == ["Transpose", "Cast", "Sub"]
    kernels = [
        next(onnx.numpy_helper.to_array(each) for each in graph_of(model, preset).initializer if len(each.dims) == 4)
        for preset in ("raw-bgr", "raw-rgb")
    ]
    np.testing.assert_array_equal(kernels[0], kernels[1][:, ::-1])


def test_channels_are_reordered_as_uint8_where_that_is_needed() -> None:
    image = layers.Input((16, 16, 3))
    x = layers.add([image, layers.Conv2D(3, 3, padding="same")(image)])
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(x))
    assert operators_of(keras.Model(image, layers.Dense(3)(x)), "caffe") == ["Transpose", "Gather", "Cast", "Sub"]


def test_model_with_uint8_input_accepts_uint8_pixels(tmp_path: Path) -> None:
    image = layers.Input((16, 16, 3), dtype="uint8")
    x = layers.Conv2D(8, 3, activation="relu")(layers.Rescaling(1 / 255)(image))
    model = keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    bundle = export_model(model, tmp_path / "bundle", preprocessing="raw-rgb", resize="nearest", input_dtype="uint8")
    assert bundle.contract.input.dtype == "UINT8"
