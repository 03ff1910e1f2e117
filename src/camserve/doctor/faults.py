"""What is installed on this host and broken."""

from __future__ import annotations

from camserve.doctor.cuda_fit import cuda_mismatch
from camserve.doctor.host import Host
from camserve.doctor.problem import Problem
from camserve.extras import replace_command
from camserve.serving.server.host_memory import ENLARGE_SHARED_MEMORY, MEGABYTE, SHARED_MEMORY, size_text

__all__ = ["find_faults", "shared_memory_faults"]

_SHARED_MEMORY_NEED = 80 * MEGABYTE
"""For the preset `gpu` with images of 224 x 224 in float32: two instances, each with two batches of 32 images."""


def find_faults(host: Host) -> list[Problem]:
    """Return what is installed on a host and broken. What is only missing, such as a GPU, is no fault."""
    return [
        *_package_faults(host),
        *_runtime_faults(host),
        *_driver_faults(host),
        *(shared_memory_faults(host) if host.triton.wheel else []),
        *([host.triton.problem] if host.triton.wheel and host.triton.problem else []),
        *([host.export_tools.problem] if not host.export_tools.missing and host.export_tools.problem else []),
    ]


def shared_memory_faults(host: Host) -> list[Problem]:
    """Return a fault if `/dev/shm` is too small to serve models of the usual size."""
    free = host.memory.shared_free
    if free is None or free >= _SHARED_MEMORY_NEED:
        return []
    needed = f"two instances with batches of 32 images of 224 x 224 need {size_text(_SHARED_MEMORY_NEED)}"
    return [Problem(f"{SHARED_MEMORY} has {size_text(free)} of free space, and {needed}", ENLARGE_SHARED_MEMORY)]


def _package_faults(host: Host) -> list[Problem]:
    faults = []
    runtimes = host.on_cpu.packages
    if len(runtimes) > 1:
        remedy = f"Remove them and install one: {replace_command(list(runtimes))}"
        faults.append(_shared_folder(list(runtimes), remedy))
    if len(host.cudnn_packages) > 1:
        names = " ".join(host.cudnn_packages)
        major = (host.on_cpu.cuda or "12").partition(".")[0]
        command = f"pip uninstall --yes {names} && pip install nvidia-cudnn-cu{major}"
        faults.append(_shared_folder(host.cudnn_packages, f"Remove them and install one: {command}"))
    return faults


def _shared_folder(names: list[str], remedy: str) -> Problem:
    return Problem(f"{' and '.join(names)} are installed in the same folder, with files of both", remedy)


def _runtime_faults(host: Host) -> list[Problem]:
    faults = []
    if host.on_cpu.packages and host.on_cpu.problem:
        faults.append(host.on_cpu.problem)
    if host.openvino.installed and host.openvino.problem:
        faults.append(host.openvino.problem)
    listed = "CUDAExecutionProvider" in host.on_cpu.providers
    if host.gpus.found and listed and host.on_cuda.problem:
        problem = cuda_mismatch(host) or host.on_cuda.problem
        faults.append(Problem(f"ONNX Runtime lists CUDA and cannot use it: {problem.what}", problem.remedy))
    return faults


def _driver_faults(host: Host) -> list[Problem]:
    if host.gpus.driver and host.gpus.problem and "failed" in host.gpus.problem:
        return [Problem(f"NVIDIA's driver {host.gpus.driver} is loaded, and {host.gpus.problem}", "Restart the host")]
    return []
