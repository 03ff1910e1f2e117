"""The refusal of a model for GPUs on a host without one, in plain words."""

from __future__ import annotations

import pytest

from camserve.serving.live.no_gpu import explain_missing_gpu, lacks_gpu

_CAUSE = "it was published for GPUs, and Triton finds no GPU that it can use on its host"
_INVALID = "instance group g_0 of model g specifies invalid or unsupported gpu id 3. GPUs with at least the minimum "
_INVALID += "required CUDA compute compatibility of 6.000000 are:"


@pytest.mark.parametrize(
    "refusal", ["instance group g_0 of model g has kind KIND_GPU but no GPUs are available", _INVALID, _INVALID[:-1]]
)
def test_a_missing_gpu_is_named_as_the_cause(refusal: str) -> None:
    explained = explain_missing_gpu(f"model g version 1: {refusal}")
    assert explained == f"model g version 1: {_CAUSE}"
    assert lacks_gpu(explained)


@pytest.mark.parametrize("message", [f"{_INVALID} 0, 1", "model g version 1: onnxruntime cannot load model.onnx"])
def test_another_cause_is_kept(message: str) -> None:
    assert explain_missing_gpu(message) == message
    assert not lacks_gpu(message)


def test_a_refusal_of_a_backend_is_kept_and_recognized() -> None:
    message = "a GPU instance requires the CUDA provider of ONNX Runtime, but NVIDIA's driver cannot be loaded"
    assert explain_missing_gpu(message) == message
    assert lacks_gpu(message)
