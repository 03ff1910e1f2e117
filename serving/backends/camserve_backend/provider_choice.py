"""The execution providers that an instance can use, and sessions that have the providers they were created for.

By itself, ONNX Runtime only logs that a provider could not be created, or that a run on it failed, and uses the CPU.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from .gpu_obstacles import Obstacle, driver_obstacle, load_problem, refuse_or_warn
from .onnx_providers import CPU, CUDA, LABELS, OPENVINO, TENSORRT, Provider, requested_providers
from .packages import built_without, installed_packages

__all__ = ["ProviderChoice", "choose_providers", "open_session"]

_MODULE = Path(onnxruntime.__file__ or "")
_FOLDER = _MODULE.parent / "capi"
_SHARED_LIBRARY = "libonnxruntime_providers_shared.so"
_LIBRARIES = {CUDA: "libonnxruntime_providers_cuda.so", TENSORRT: "libonnxruntime_providers_tensorrt.so"}
_TENSORRT_LIBRARIES = ("libnvinfer", "libnvonnxparser")
_CUDA_FAILURE = re.compile(r"CUDA failure \d+: (?P<text>[^;]+?) *;")
_OLD_DRIVER = "driver version is insufficient"
_OLD_GPU = "no kernel image is available"
_OLD_CUDA = "the onnxruntime-gpu of CUDA 12"
_PROBE = (
    b'\x08\x08:9\n\x0e\n\x01x\n\x01x\x12\x01y"\x03Add\x12\x05probe'
    b"Z\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01"
    b"B\x04\n\x00\x10\r"
)
"""The ONNX model y = x + x of one float, to find out whether CUDA can be used, before the model is read."""


@dataclass(frozen=True)
class ProviderChoice:
    """The execution providers of an instance.

    Attributes:
        providers: In order of preference, the CPU last. Each can be used.
        warnings: What was requested and is not available.
    """

    providers: tuple[Provider, ...]
    warnings: tuple[str, ...]

    @property
    def label(self) -> str:
        """Name of the preferred provider in messages, such as `CUDA`."""
        return LABELS[self.providers[0][0]]


def choose_providers(config: Mapping[str, Any], *, kind: str, device: str) -> ProviderChoice:
    """Choose the execution providers of an instance.

    Args:
        config: The model's configuration.
        kind: Triton's instance kind, such as `CPU` or `GPU`.
        device: Index of its GPU.

    Raises:
        ModelRefusedError: If a provider for its GPU cannot be used and the configuration does not permit the CPU, or
            an accelerator or a value of its parameters is unknown.
    """
    requested = requested_providers(config, kind=kind, device=device)
    warnings = [*_gpu_warnings(config, requested, device)]
    chosen = [each for each in requested if each[0] == OPENVINO or not warnings]
    if OPENVINO in dict(chosen) and OPENVINO not in onnxruntime.get_available_providers():
        chosen = [each for each in chosen if each[0] != OPENVINO]
        warnings.append("runs without OpenVINO, for which this onnxruntime has no provider")
    return ProviderChoice((*chosen, (CPU, {})), tuple(warnings))


def open_session(source: str | bytes, options: Any, providers: Sequence[Provider]) -> Any:
    """Create a session that never leaves its providers, neither now nor when a run fails.

    Args:
        source: Path or content of the model.
        options: The `onnxruntime.SessionOptions`, or None for the defaults.
        providers: The execution providers in order of preference.

    Raises:
        RuntimeError: If the session lacks one of them.
        Exception: As `onnxruntime.InferenceSession`.
    """
    session = onnxruntime.InferenceSession(source, options, providers=list(providers), enable_fallback=0)
    session.disable_fallback()
    missing = [LABELS[name] for name, _ in providers if name not in session.get_providers()]
    if missing:
        raise RuntimeError(f"it did not create the provider {', '.join(missing)}; the log contains its reason")
    return session


def _gpu_warnings(config: Mapping[str, Any], requested: Sequence[Provider], device: str) -> tuple[str, ...]:
    """Return the warning of an instance that runs on the CPU, since one of its providers cannot use the GPU."""
    for name, _ in requested:
        obstacle = None if name == OPENVINO else _obstacle(name, device)
        if obstacle is not None:
            return (refuse_or_warn(config, f"the {LABELS[name]} provider of ONNX Runtime", obstacle),)
    return ()


def _obstacle(name: str, device: str) -> Obstacle | None:
    """Return why the provider of a GPU cannot be used, or None."""
    if name not in onnxruntime.get_available_providers():
        active = getattr(onnxruntime, "package_name", "") or "onnxruntime"
        return built_without(LABELS[name], installed_packages(_MODULE), active, _gpu_package())
    _preload()
    return driver_obstacle() or _library_obstacle(name) or (_gpu_obstacle(device) if name == CUDA else None)


def _gpu_package() -> str:
    """Return what to install for GPUs, as an argument of pip."""
    try:
        version("camserve")
    except PackageNotFoundError:  # this folder was mounted into a container
        return "'onnxruntime-gpu[cuda,cudnn]'"
    return "'camserve[server-gpu]'"


def _preload() -> None:
    """Load CUDA's libraries from the wheels of NVIDIA, which the loader does not find by itself."""
    if hasattr(onnxruntime, "preload_dlls"):  # since 1.21
        with redirect_stdout(StringIO()), suppress(RuntimeError):
            onnxruntime.preload_dlls()


def _library_obstacle(name: str) -> Obstacle | None:
    load_problem(_FOLDER / _SHARED_LIBRARY)
    problem = load_problem(_FOLDER / _LIBRARIES[name])
    if problem is None:
        return None
    if problem.startswith(_TENSORRT_LIBRARIES):
        remedy = "Serve it with NVIDIA's Triton container, or publish it with --accelerator cuda"
    else:
        remedy = f"Install CUDA's libraries: pip install {_gpu_package()}, or add their folder to LD_LIBRARY_PATH"
    return Obstacle(f"{_LIBRARIES[name]} cannot be loaded: {problem}", remedy)


def _gpu_obstacle(device: str) -> Obstacle | None:
    """Run a model of one operator on CUDA. A GPU for which no kernels were built is found only when one runs."""
    try:
        open_session(_PROBE, None, [(CUDA, {"device_id": device})]).run(None, {"x": np.ones(1, np.float32)})
    except Exception as error:  # noqa: BLE001 - whatever its class, ONNX Runtime cannot use this GPU
        failure = _CUDA_FAILURE.search(str(error))
        text = failure["text"] if failure else " ".join(str(error).split())
        return Obstacle(f"ONNX Runtime cannot use GPU {device}: {text}", _gpu_remedy(text))
    return None


def _gpu_remedy(text: str) -> str:
    older = f"{_OLD_CUDA}: pip install {_gpu_package()} 'onnxruntime-gpu<1.27'"
    if _OLD_DRIVER in text:
        return f"Update the driver, or install {older}"
    return f"Install {older}" if _OLD_GPU in text else "Check the driver and the GPUs: nvidia-smi"
