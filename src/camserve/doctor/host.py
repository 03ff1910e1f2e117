"""The facts about this host, each of which is found out when it is first needed."""

from __future__ import annotations

from functools import cached_property
from shutil import which

from camserve.doctor.cpu import Cpu, read_cpu
from camserve.doctor.cuda_libraries import cudnn_packages, find_cuda_libraries
from camserve.doctor.embedded_triton import EmbeddedTriton, check_triton
from camserve.doctor.export_tools import ExportTools, try_export_tools
from camserve.doctor.gpus import Gpus, find_gpus
from camserve.doctor.memory import Memory, read_memory
from camserve.doctor.onnx_runtime import OnnxRuntime, try_provider
from camserve.doctor.openvino import OpenVino, try_openvino
from camserve.doctor.session_attempt import CPU, CUDA, TENSORRT

__all__ = ["Host"]

_CONTAINER_TOOLS = {"Docker": "docker", "the NVIDIA Container Toolkit": "nvidia-ctk"}


class Host:
    """The facts about this host."""

    @cached_property
    def cpu(self) -> Cpu:
        """The processor."""
        return read_cpu()

    @cached_property
    def memory(self) -> Memory:
        """Memory."""
        return read_memory()

    @cached_property
    def gpus(self) -> Gpus:
        """GPUs and their driver."""
        return find_gpus()

    @cached_property
    def libraries(self) -> dict[str, str]:
        """The files of CUDA's libraries by name."""
        return find_cuda_libraries()

    @cached_property
    def cudnn_packages(self) -> list[str]:
        """Installed packages of cuDNN."""
        return cudnn_packages()

    @cached_property
    def on_cpu(self) -> OnnxRuntime:
        """ONNX Runtime on the CPU."""
        return try_provider(CPU)

    @cached_property
    def on_cuda(self) -> OnnxRuntime:
        """ONNX Runtime on CUDA."""
        return try_provider(CUDA)

    @cached_property
    def on_tensorrt(self) -> OnnxRuntime | None:
        """ONNX Runtime on TensorRT; None if its library is missing, which only NVIDIA's container contains."""
        return try_provider(TENSORRT) if any(name.startswith("libnvinfer.") for name in self.libraries) else None

    @cached_property
    def openvino(self) -> OpenVino:
        """OpenVINO."""
        return try_openvino()

    @cached_property
    def export_tools(self) -> ExportTools:
        """The export tools."""
        return try_export_tools()

    @cached_property
    def triton(self) -> EmbeddedTriton:
        """The embedded Triton."""
        return check_triton()

    @cached_property
    def missing_container_tools(self) -> list[str]:
        """What NVIDIA's container requires and is not on the PATH."""
        return [name for name, program in _CONTAINER_TOOLS.items() if which(program) is None]
