"""The tensors of a served model, and the arithmetic on its pixels."""

from __future__ import annotations

import numpy as np
import pytest

from camserve.contract import PRESETS, CamContract
from camserve.contract.outputs import expected_outputs
from camserve.tensors import DATA_TYPES


def test_outputs_without_maps_are_the_scores() -> None:
    assert [(spec.name, spec.shape) for spec in expected_outputs(7, None)] == [
        ("probabilities", (7,)),
        ("logits", (7,)),
    ]


def test_outputs_with_every_map_include_all_classes() -> None:
    cam = CamContract(kind="flatten", grid=(3, 4), top_k=2, all_classes=True)
    assert [(spec.name, spec.dtype, spec.shape) for spec in expected_outputs(7, cam)[2:]] == [
        ("cam", "FP32", (2, 3, 4)),
        ("cam_class", "INT32", (2,)),
        ("cam_all", "FP32", (7, 3, 4)),
    ]


def test_data_types_have_the_names_of_numpy_and_onnx() -> None:
    assert [np.dtype(dtype.numpy).itemsize for dtype in DATA_TYPES.values()] == [4, 1, 4]
    assert [dtype.onnx_tensor for dtype in DATA_TYPES.values()] == ["tensor(float)", "tensor(uint8)", "tensor(int32)"]


@pytest.mark.parametrize(
    ("preset", "operations"),
    [
        ("caffe", ["subtract"]),
        ("tf", ["divide", "subtract"]),
        ("torch", ["divide", "subtract", "divide"]),
        ("unit", ["divide"]),
        ("raw-rgb", []),
        ("raw-bgr", []),
    ],
)
def test_arithmetic_lists_only_operations_with_an_effect(preset: str, operations: list[str]) -> None:
    assert [name for name, _ in PRESETS[preset].arithmetic] == operations
