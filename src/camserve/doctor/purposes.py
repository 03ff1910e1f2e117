"""What this host is ready for, and what it lacks for the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from camserve.doctor.cpu import AMX, VNNI
from camserve.doctor.cuda_fit import cuda_mismatch, fit_remedy
from camserve.doctor.faults import shared_memory_faults
from camserve.doctor.host import Host
from camserve.doctor.problem import Problem
from camserve.text import count

__all__ = ["PURPOSES", "Verdict", "judge"]

_CLIENT_MODULES = ("grpc", "numpy", "PIL", "pydantic", "tritonclient")
_EXPORT_INT8 = "Export in int8: camserve export SOURCE --out BUNDLE_DIR --precision int8 --calibration FOLDER"
_CONTAINER = "docker compose --file docker/compose.yaml --profile gpu up --build --detach --wait"


@dataclass(frozen=True)
class Verdict:
    """Whether this host is ready for a purpose.

    Attributes:
        purpose: Its name.
        ready: Whether nothing is missing.
        missing: What is missing.
        note: What else matters for this purpose.
    """

    purpose: str
    ready: bool
    missing: tuple[Problem, ...]
    note: str | None


@dataclass(frozen=True)
class _Purpose:
    """A purpose.

    Attributes:
        description: What it is, in one line.
        missing: Returns what a host lacks for it.
        note: Returns what else matters for it.
    """

    description: str
    missing: Callable[[Host], list[Problem]]
    note: Callable[[Host], str | None] = lambda _: None


def judge(purpose: str, host: Host) -> Verdict:
    """Judge whether a host is ready for one of `PURPOSES`."""
    missing = tuple(PURPOSES[purpose].missing(host))
    return Verdict(purpose, not missing, missing, PURPOSES[purpose].note(host))


def _for_clients(_: Host) -> list[Problem]:
    absent = [name for name in _CLIENT_MODULES if find_spec(name) is None]
    return [Problem(f"not installed: {', '.join(absent)}", "Install it: pip install camserve")] if absent else []


def _for_export(host: Host) -> list[Problem]:
    return [host.export_tools.problem] if host.export_tools.problem else []


def _export_note(host: Host) -> str:
    gpus = host.export_tools.gpus
    return f"TensorFlow uses {count(gpus, 'GPU')}" if gpus else "computes on the CPU and needs no GPU"


def _for_server(host: Host) -> list[Problem]:
    return ([host.triton.problem] if host.triton.problem else []) + shared_memory_faults(host)


def _for_cpu(host: Host) -> list[Problem]:
    missing = _for_server(host)
    return missing + ([host.on_cpu.problem] if host.on_cpu.problem and host.on_cpu.packages else [])


def _for_gpu(host: Host) -> list[Problem]:
    missing = _for_server(host)
    if host.on_cuda.problem is None:
        return missing
    if host.gpus.problem is not None:
        missing.append(Problem(f"no GPU of NVIDIA was found: {host.gpus.problem}"))
    elif (mismatch := cuda_mismatch(host)) is not None:
        missing.append(mismatch)
    return [*missing, fit_remedy(host.on_cuda.problem, host)]


def _gpu_note(host: Host) -> str | None:
    return ", ".join(gpu.name for gpu in host.gpus.found) or None


def _for_tensorrt(host: Host) -> list[Problem]:
    if host.on_tensorrt is not None and host.on_tensorrt.problem is None:
        return []
    missing = [] if host.gpus.found else [Problem(f"no GPU of NVIDIA was found: {host.gpus.problem}")]
    absent = host.missing_container_tools
    if absent:
        missing.append(
            Problem(f"not on the PATH: {' and '.join(absent)}", f"Install {' and '.join(absent)}, and restart Docker")
        )
    return missing


def _for_int8(host: Host) -> list[Problem]:
    features = host.cpu.features
    if features is None:
        return [Problem("the instructions of this processor are unknown")]
    return [] if VNNI in features else [Problem("this processor has no VNNI: int8 works, with a smaller gain")]


def _int8_note(host: Host) -> str | None:
    return None if AMX in (host.cpu.features or ()) else "the fastest precision on this processor"


def _for_bf16(host: Host) -> list[Problem]:
    if host.openvino.problem is not None:
        return [host.openvino.problem]
    if "BF16" not in host.openvino.precisions:
        return [Problem("this processor does not compute in bf16: int8 is the fastest precision", _EXPORT_INT8)]
    if AMX not in (host.cpu.features or ()):
        # On AVX512-BF16 alone, ResNet50 has 0.7 of the speed of float32: docs/export.md.
        return [Problem("this processor has no AMX: bf16 works, slower than float32; int8 is faster", _EXPORT_INT8)]
    return []


PURPOSES: Mapping[str, _Purpose] = {
    "clients": _Purpose("classify and score with a server", _for_clients),
    "export": _Purpose("export Keras models", _for_export, _export_note),
    "serve-cpu": _Purpose("camserve serve on the CPU", _for_cpu),
    "serve-gpu": _Purpose("camserve serve on a GPU, with CUDA", _for_gpu, _gpu_note),
    "serve-tensorrt": _Purpose("NVIDIA's container, with TensorRT", _for_tensorrt, lambda _: f"start it: {_CONTAINER}"),
    "int8-cpu": _Purpose("int8 models at full speed on the CPU", _for_int8, _int8_note),
    "bf16-cpu": _Purpose(
        "bf16 models at full speed on the CPU, with OpenVINO",
        _for_bf16,
        lambda _: "several times as fast as float32, without calibration",
    ),
}
"""By name."""
