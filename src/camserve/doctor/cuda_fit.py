"""Whether the driver and the GPUs fit the CUDA version that ONNX Runtime is built for."""

from __future__ import annotations

from camserve.doctor.host import Host
from camserve.doctor.problem import Problem

__all__ = ["cuda_mismatch"]

_CUDA_13 = 13
_OLDEST_OF_CUDA_13 = (7, 5)
_FOR_CUDA_12 = (
    "Install one for CUDA 12: pip uninstall --yes onnxruntime-gpu nvidia-cudnn-cu13 "
    "&& pip install 'camserve[server-gpu]' 'onnxruntime-gpu<1.27'"
)


def cuda_mismatch(host: Host) -> Problem | None:
    """Return why CUDA cannot work: the driver or a GPU is too old for this onnxruntime-gpu; None if they fit."""
    if host.on_cuda.cuda is None:
        return None
    built = _numbers(host.on_cuda.cuda)[:1]
    package = f"onnxruntime-gpu {host.on_cuda.version}, which is built for CUDA {built[0]}"
    supported = _numbers(host.gpus.cuda or "")
    if supported and supported[:1] < built:
        what = f"the driver {host.gpus.driver} supports CUDA {host.gpus.cuda}, too old for {package}"
        return Problem(what, _FOR_CUDA_12 if supported >= (12,) else "Update NVIDIA's driver")
    for gpu in host.gpus.found if built >= (_CUDA_13,) else ():
        level = _numbers(gpu.compute_capability)
        if level and level < _OLDEST_OF_CUDA_13:
            what = f"{gpu.name} has the compute capability {gpu.compute_capability}, too low for {package}"
            return Problem(what, _FOR_CUDA_12)
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
