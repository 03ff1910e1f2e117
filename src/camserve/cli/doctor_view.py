"""How the facts, verdicts and faults of `camserve doctor` are printed: as tables, and as JSON."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from camserve import __version__
from camserve.cli.console import print_line
from camserve.cli.tables import print_table
from camserve.doctor import PURPOSES, Host, Problem, Verdict
from camserve.serving.server.host_memory import MEGABYTE, size_text
from camserve.text import count

__all__ = ["document", "show", "show_verdicts", "verdicts_document"]

_UNKNOWN = "unknown"


def document(host: Host, verdicts: Sequence[Verdict], faults: Sequence[Problem]) -> dict[str, Any]:
    """Return everything as JSON."""
    runtime = host.on_cpu
    return {
        "sound": not faults,
        "faults": [asdict(fault) for fault in faults],
        "purposes": verdicts_document(verdicts),
        "camserve": __version__,
        "python": {"version": platform.python_version(), "program": sys.executable},
        "processor": asdict(host.cpu),
        "memory": asdict(host.memory),
        "gpus": asdict(host.gpus),
        "libraries": host.libraries,
        "onnxruntime": {
            "packages": runtime.packages,
            "version": runtime.version,
            "cuda": runtime.cuda,
            "providers": list(runtime.providers),
            "problems": {name: problem and asdict(problem) for name, problem in _sessions(host).items()},
        },
        "openvino": asdict(host.openvino),
        "export_tools": asdict(host.export_tools),
        "triton": asdict(host.triton),
    }


def verdicts_document(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Return verdicts as JSON."""
    return [{**asdict(verdict), "description": PURPOSES[verdict.purpose].description} for verdict in verdicts]


def show(host: Host, verdicts: Sequence[Verdict], faults: Sequence[Problem]) -> None:
    """Print the facts, the verdicts and the faults."""
    print_table(("this host", ""), _facts(host))
    show_verdicts(verdicts)
    for fault in faults:
        print_line(f"fault: {fault.what}")
        if fault.remedy:
            print_line(f"  {fault.remedy}")
    print_line(count(len(faults), "fault") if faults else "no faults")


def show_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Print the table of verdicts, and below it, so that they can be pasted, what to do for each purpose."""
    print_table(
        ("purpose", "ready", "for what, or what is missing"), [row for verdict in verdicts for row in _rows(verdict)]
    )
    remedies: dict[str, list[str]] = {}
    for verdict in verdicts:
        for problem in verdict.missing:
            if problem.remedy:
                remedies.setdefault(problem.remedy, []).append(verdict.purpose)
    for purposes, group in groupby(remedies.items(), key=itemgetter(1)):
        print_line(f"for {', '.join(purposes)}:")
        for remedy, _ in group:
            print_line(f"  {remedy}")


def _rows(verdict: Verdict) -> list[tuple[str, str, str]]:
    if verdict.ready:
        details = filter(None, (PURPOSES[verdict.purpose].description, verdict.note))
        return [(verdict.purpose, "yes", "; ".join(details))]
    first, *others = (problem.what for problem in verdict.missing)
    return [(verdict.purpose, "no", first), *(("", "", other) for other in others)]


def _facts(host: Host) -> list[tuple[str, str]]:
    return [
        ("camserve", f"{__version__}, Python {platform.python_version()}, {sys.executable}"),
        ("processor", _processor(host)),
        ("memory", _memory(host)),
        ("/dev/shm", _shared_memory(host)),  # noqa: S108 - a heading
        *_gpus(host),
        ("CUDA libraries", _libraries(host)),
        *([("TensorRT", "none found; NVIDIA's container contains it")] if host.on_tensorrt is None else []),
        ("ONNX Runtime", _packages(host)),
        *((f"  with {name}", problem.what if problem else "works") for name, problem in _sessions(host).items()),
        ("OpenVINO", _openvino(host)),
        ("export tools", _export_tools(host)),
        ("Triton", host.triton.problem.what if host.triton.problem else f"nvidia-pytriton {host.triton.wheel}"),
    ]


def _processor(host: Host) -> str:
    features = _UNKNOWN if host.cpu.features is None else ", ".join(host.cpu.features) or "none"
    cores = f"{count(host.cpu.cores, 'core')}, {host.cpu.model or platform.machine()}"
    return f"{cores}; instructions: {features}"


def _memory(host: Host) -> str:
    memory = host.memory
    limit = f"; this container: {size_text(memory.limit)}" if memory.limit is not None else ""
    return f"{_size(memory.total)}, {_size(memory.available)} available{limit}"


def _shared_memory(host: Host) -> str:
    if host.memory.shared is None:
        return "none"
    return f"{_size(host.memory.shared)}, {_size(host.memory.shared_free)} free"


def _gpus(host: Host) -> list[tuple[str, str]]:
    gpus = host.gpus
    hidden = "" if gpus.visible is None else f"; CUDA_VISIBLE_DEVICES={gpus.visible}"
    if gpus.problem is not None:
        found = [("GPU", f"none found: {gpus.problem}{hidden}")]
    else:
        found = [
            (f"GPU {number}", f"{gpu.name}, {_gpu_memory(gpu.memory_mb)}, compute capability {gpu.compute_capability}")
            for number, gpu in enumerate(gpus.found)
        ]
    if gpus.driver is None:
        return [*found, ("driver", "none loaded")]
    return [*found, ("driver", f"{gpus.driver}, supports CUDA {gpus.cuda or _UNKNOWN}{hidden if gpus.found else ''}")]


def _gpu_memory(megabytes: int | None) -> str:
    return f"{_UNKNOWN} memory" if megabytes is None else size_text(megabytes * MEGABYTE)


def _libraries(host: Host) -> str:
    folders: dict[str, list[str]] = {}
    for name, file in host.libraries.items():
        folders.setdefault(str(Path(file).parent), []).append(name)
    return "; ".join(f"{', '.join(names)} in {folder}" for folder, names in folders.items()) or "none found"


def _packages(host: Host) -> str:
    runtime = host.on_cpu
    packages = " and ".join(f"{name} {version}" for name, version in runtime.packages.items()) or "not installed"
    built = f", built for CUDA {runtime.cuda}" if runtime.cuda else ""
    providers = ", ".join(name.removesuffix("ExecutionProvider") for name in runtime.providers)
    return f"{packages}{built}" + (f"; lists the providers {providers}" if providers else "")


def _sessions(host: Host) -> dict[str, Problem | None]:
    """Return why ONNX Runtime does not compute with each provider that can be tried."""
    if not host.on_cpu.packages:
        return {}
    sessions = {"CPU": host.on_cpu.problem, "CUDA": host.on_cuda.problem}
    return sessions if host.on_tensorrt is None else {**sessions, "TensorRT": host.on_tensorrt.problem}


def _openvino(host: Host) -> str:
    if host.openvino.problem is not None:
        return host.openvino.problem.what
    return f"openvino {host.openvino.version}; computes in {', '.join(host.openvino.precisions)}"


def _export_tools(host: Host) -> str:
    tools = host.export_tools
    if tools.problem is not None:
        return tools.problem.what
    gpus = count(tools.gpus, "GPU") if tools.gpus else "no GPU"
    return f"TensorFlow {tools.tensorflow}, Keras {tools.keras}; TensorFlow finds {gpus}"


def _size(size: int | None) -> str:
    return _UNKNOWN if size is None else size_text(size)
