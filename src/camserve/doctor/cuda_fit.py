"""Whether the driver and the GPUs fit the CUDA version that ONNX Runtime is built for."""

from __future__ import annotations

from dataclasses import replace

from camserve.doctor.gpus import Gpu
from camserve.doctor.host import Host
from camserve.doctor.problem import Problem

__all__ = ["cuda_mismatch", "fit_remedy"]

_CUDA_13 = 13
_OLDEST_OF_CUDA_13 = (7, 5)
_INSTALL = "pip install 'camserve[server-gpu]'"
_INSTALL_FOR_CUDA_12 = f"{_INSTALL} 'onnxruntime-gpu<1.27'"
_FOR_CUDA_12 = (
    f"Install one for CUDA 12: pip uninstall --yes onnxruntime-gpu nvidia-cudnn-cu13 && {_INSTALL_FOR_CUDA_12}"
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
    for gpu in _too_old_for_cuda_13(host) if built >= (_CUDA_13,) else ():
        what = f"{gpu.name} has the compute capability {gpu.compute_capability}, too low for {package}"
        return Problem(what, _FOR_CUDA_12)
    return None


def fit_remedy(problem: Problem, host: Host) -> Problem:
    """Return a problem whose remedy, if it installs onnxruntime-gpu, installs one that fits the driver and the GPUs."""
    supported = _numbers(host.gpus.cuda or "")
    too_old = (12,) <= supported < (_CUDA_13,) or bool(_too_old_for_cuda_13(host))
    if host.on_cuda.cuda is None and too_old and problem.remedy and problem.remedy.endswith(_INSTALL):
        return replace(problem, remedy=problem.remedy.removesuffix(_INSTALL) + _INSTALL_FOR_CUDA_12)
    return problem


def _too_old_for_cuda_13(host: Host) -> list[Gpu]:
    levels = [(gpu, _numbers(gpu.compute_capability)) for gpu in host.gpus.found]
    return [gpu for gpu, level in levels if level and level < _OLDEST_OF_CUDA_13]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
