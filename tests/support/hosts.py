"""Hosts of which every fact is given, for `camserve.doctor`."""

from __future__ import annotations

from typing import Any

from camserve.doctor.cpu import Cpu
from camserve.doctor.embedded_triton import EmbeddedTriton
from camserve.doctor.export_tools import ExportTools
from camserve.doctor.gpus import Gpu, Gpus
from camserve.doctor.host import Host
from camserve.doctor.memory import Memory
from camserve.doctor.onnx_runtime import OnnxRuntime
from camserve.doctor.openvino import OpenVino
from camserve.doctor.problem import Problem

__all__ = ["GPU_HOST", "LAPTOP", "NO_GPU", "NO_PROVIDER", "host_with", "runtime"]

GIGABYTE = 2**30
NO_GPU = Gpus((), None, None, "nvidia-smi is not on the PATH", None)
NO_PROVIDER = Problem("onnxruntime 1.31.1 is installed, which is built without CUDA", "Replace it: pip ...")


def runtime(*packages: str, cuda: str | None = None, problem: Problem | None = None) -> OnnxRuntime:
    """Return ONNX Runtime 1.31.1 from these packages."""
    providers = ("CUDAExecutionProvider", "CPUExecutionProvider") if cuda else ("CPUExecutionProvider",)
    return OnnxRuntime(dict.fromkeys(packages, "1.31.1"), "1.31.1", cuda, providers, problem)


LAPTOP: dict[str, Any] = {
    "cpu": Cpu("Intel(R) Core(TM) i7-1355U", 8, ("AVX2", "VNNI")),
    "memory": Memory(16 * GIGABYTE, 8 * GIGABYTE, None, 8 * GIGABYTE, 8 * GIGABYTE),
    "gpus": NO_GPU,
    "libraries": {},
    "cudnn_packages": [],
    "on_cpu": runtime("onnxruntime"),
    "on_cuda": runtime("onnxruntime", problem=NO_PROVIDER),
    "on_tensorrt": None,
    "openvino": OpenVino("2026.4.1", ("FP32", "INT8"), None),
    "export_tools": ExportTools("2.21.0", "3.15.1", (), 0, None),
    "triton": EmbeddedTriton("0.7.0", "/site-packages/pytriton/tritonserver/bin/tritonserver", None),
    "missing_container_tools": ["Docker", "the NVIDIA Container Toolkit"],
}
"""A host without a GPU on which the demo runs."""

GPU_HOST: dict[str, Any] = {
    **LAPTOP,
    "cpu": Cpu("Intel(R) Xeon(R) Platinum 8480+", 16, ("AVX2", "AVX-512", "VNNI", "AMX", "bf16")),
    "gpus": Gpus((Gpu("NVIDIA H100 80GB HBM3", 81559, "9.0"),), "580.95.05", "13.0", None, None),
    "libraries": {
        "libcudart.so.13": "/site-packages/nvidia/cu13/lib/libcudart.so.13",
        "libcudnn.so.9": "/site-packages/nvidia/cudnn/lib/libcudnn.so.9",
    },
    "cudnn_packages": ["nvidia-cudnn-cu13"],
    "on_cpu": runtime("onnxruntime-gpu", cuda="13.0"),
    "on_cuda": runtime("onnxruntime-gpu", cuda="13.0"),
    "openvino": OpenVino("2026.4.1", ("FP32", "FP16", "BF16", "INT8"), None),
    "missing_container_tools": [],
}
"""A host with a GPU that works."""


def host_with(facts: dict[str, Any], **others: Any) -> Host:
    """Return a host with these facts, of which others take precedence."""
    host = Host()
    vars(host).update({**facts, **others})
    return host
