"""How exactly a server computes a published model: the tolerance of its answers, and what a publisher should know.

Source of the measured values: ResNet50 with random weights, float32 and fp16, in ONNX Runtime 1.31 on an H100.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tritonclient.grpc import model_config_pb2

from camserve.serving.config.accelerator_options import Auto, Cuda, OpenVINO, TensorRT
from camserve.serving.config.backends import backend_of
from camserve.serving.config.message import read_options
from camserve.serving.publishing.backend_notes import OWN_BACKEND

__all__ = ["TF32_TOLERANCE", "Arithmetic", "arithmetic_warnings"]

TF32_TOLERANCE = 1e-2
"""Four times the largest measured difference of TF32 from Keras: logits 1.1e-3, maps 1.9e-3, probabilities 2.3e-3.

It is the tolerance of fp16, whose products have as many bits.
"""

_COMPILED_TOLERANCE = 2e-2
"""TensorRT and OpenVINO choose the precision of each layer, which changes values but not classes."""

_CPU = model_config_pb2.ModelInstanceGroup.KIND_CPU

_TF32_HINT = "The difference is that of TF32: accept it with --gpu-math tf32, or publish with --accelerator none"
_INT8_HINT = "Publish with --accelerator none or --accelerator tensorrt: int8 on CUDA gives other answers than on a CPU"

_TF32 = (
    "gpu_math tf32: on an H100, answers differ from Keras by 1.1e-3 (logits), 1.9e-3 (maps) and 2.3e-3 "
    "(probabilities); those of float32 by 2e-6, at 0.3 to 0.6 of the speed. For exact answers, publish with "
    "--gpu-math float32"
)
_UNSET = (
    "gpu_math is unset: a GPU may multiply in TF32, as in NVIDIA's backend, which changes answers by about 2e-3. For "
    "exact answers, publish with --gpu-math float32"
)
_INT8 = (
    "an int8 model on a GPU without TensorRT is slower than an fp16 one and gives other answers than on a CPU. Publish "
    "with --accelerator none or --accelerator tensorrt"
)
_NO_FALLBACK = (
    "its configuration, of an earlier version of camserve, does not allow cpu_fallback: on a host with a GPU that ONNX "
    "Runtime cannot use, the model is refused. To run it on the CPU there, publish with --set cpu_fallback=on"
)


@dataclass(frozen=True, eq=False)
class Arithmetic:
    """How a server computes a model.

    Attributes:
        config: The configuration that the server reports, in which Triton has replaced the automatic choice of a device
            by the device.
        precision: Precision of the served file: `fp32`, `fp16`, `bf16` or `int8`.
        provider: The execution provider that camserve's backend reports, such as `CUDA` or `CPU`; None for another
            backend.
    """

    config: Any
    precision: str
    provider: str | None = None

    def tolerance(self, exported: float) -> float:
        """Return how far answers may differ from those of the export, relative to the largest.

        Args:
            exported: The same for a CPU.
        """
        if self._accelerator in (TensorRT.name, OpenVINO.name) and self.provider != "CPU":
            return max(_COMPILED_TOLERANCE, exported)
        return max(TF32_TOLERANCE, exported) if self._multiplies_in_tf32() else exported

    def hint(self, *, as_tf32: bool) -> str | None:
        """Return what to do about answers that differ too much; None if the arithmetic does not explain them.

        Args:
            as_tf32: Whether the answers are within the tolerance of TF32.
        """
        if self._in_bf16_elsewhere():
            return f"Triton's own OpenVINO backend may compute float32 in bf16. {OWN_BACKEND}"
        if not self._on_cuda():
            return None
        if self.precision == "int8":
            return _INT8_HINT
        return _TF32_HINT if self.precision == "fp32" and as_tf32 else None

    @property
    def _accelerator(self) -> str:
        return str(read_options(self.config)["accelerator"])

    def _in_bf16_elsewhere(self) -> bool:
        """Whether it runs on Triton's own OpenVINO backend, which cannot be kept from computing in bf16."""
        return self.provider is None and self.precision != "bf16" and backend_of(self.config) == "openvino"

    def _on_cuda(self) -> bool:
        groups = self.config.instance_group
        on_cpu = self.provider == "CPU" or (bool(groups) and all(group.kind == _CPU for group in groups))
        return not on_cpu and self._accelerator in (Auto.name, Cuda.name)

    def _multiplies_in_tf32(self) -> bool:
        if self.precision != "fp32" or not self._on_cuda():
            return False
        math, tensorflow = read_options(self.config)["gpu_math"], backend_of(self.config) == "tensorflow"
        if math == "unset":
            return tensorflow or self.provider is None  # camserve's backend for ONNX files computes in float32 then
        # Triton's own TensorFlow backend cannot be told not to use TF32.
        return math != "float32" or (tensorflow and self.provider is None)


def arithmetic_warnings(config: Any, *, precision: str) -> tuple[str, ...]:
    """List what a publisher should know about the answers of a GPU.

    Args:
        config: The configuration of the published model.
        precision: Precision of the served file: `fp32`, `fp16`, `bf16` or `int8`.
    """
    options = read_options(config)
    if options["accelerator"] not in (Auto.name, Cuda.name):
        return ()
    warnings = []
    if precision == "int8":
        warnings.append(_INT8)
    if precision == "fp32" and options["gpu_math"] == "tf32":
        warnings.append(_TF32)
    if precision == "fp32" and options["gpu_math"] == "unset":
        warnings.append(_UNSET)
    if options["accelerator"] == Auto.name and "cpu_fallback" not in config.parameters:
        warnings.append(_NO_FALLBACK)
    return tuple(warnings)
