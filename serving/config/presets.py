"""Options by the name of what they are for; what is given beside a preset goes before it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camserve.errors import UsageError

__all__ = ["PRESETS", "HostProfile", "host_cores", "preset_options", "preset_purpose"]

_LARGEST_TEAM = 4


@dataclass(frozen=True)
class HostProfile:
    """What a preset's figures depend on: cores of the host that will serve, precision of the model, its backend."""

    cores: int
    precision: str = "fp32"
    backend: str = "onnxruntime"


def cpu_latency(situation: HostProfile) -> dict[str, Any]:
    """One copy on all cores, nothing waits for company: the fastest answer while few ask at once."""
    return {
        "accelerator": "none",
        "instances": 1,
        "threads": situation.cores,
        "max_batch_size": 8,
        "max_queue_delay_us": 0,
    }


def cpu_throughput(situation: HostProfile) -> dict[str, Any]:
    """Copies side by side on few cores each, which wait less for each other: the most images a second."""
    threads = max(1, min(_LARGEST_TEAM, situation.cores // _LARGEST_TEAM))
    return {
        "accelerator": "none",
        "instances": max(1, situation.cores // threads),
        "threads": threads,
        "max_batch_size": 8,
        "max_queue_delay_us": 1_000,
    }


def gpu(situation: HostProfile) -> dict[str, Any]:
    """CUDA, batches of 32, two copies so that one computes while the other copies; convolutions chosen without trials.

    cuDNN's default is to try every algorithm for each batch size that it meets, which holds up the first of each.
    """
    options = {
        "accelerator": "cuda",
        "instances": 2,
        "threads": 1,
        "max_batch_size": 32,
        "max_queue_delay_us": 500,
    }
    return {**options, "cudnn_conv_algo_search": "heuristic"} if situation.backend == "onnxruntime" else options


def tensorrt(situation: HostProfile) -> dict[str, Any]:
    """TensorRT in the model's precision, one engine for batches of 1 to 32, kept on disk: minutes once, then fast."""
    return {
        "accelerator": "tensorrt",
        "instances": 1,
        "threads": 1,
        "max_batch_size": 32,
        "max_queue_delay_us": 500,
        "tensorrt_precision": situation.precision,
        "tensorrt_engine_cache": True,
        "tensorrt_timing_cache": True,
        "versions": "latest",
        "latest_versions": 1,
    }


PRESETS: Mapping[str, Callable[[HostProfile], dict[str, Any]]] = {
    "cpu-latency": cpu_latency,
    "cpu-throughput": cpu_throughput,
    "gpu": gpu,
    "tensorrt": tensorrt,
}
"""By name; the first line of each one's docstring says what it does and why."""


def preset_options(name: str, situation: HostProfile) -> dict[str, Any]:
    """The options of a preset, by name.

    Raises:
        UsageError: If there is none of that name.
    """
    if name not in PRESETS:
        raise UsageError(f"there is no preset {name!r}", hint=f"Choose one of {', '.join(PRESETS)}")
    return PRESETS[name](situation)


def preset_purpose(name: str) -> str:
    """What a preset does and why, in one line."""
    return (PRESETS[name].__doc__ or "").splitlines()[0]


def host_cores(limits: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """The cores that a process may use here: those it may run on, or fewer where a container is given less time.

    Args:
        limits: The control group's file: microseconds of processor time per period, and the period.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = limits.read_text(encoding="ascii").split()
        return max(1, min(allowed, int(quota) // int(period)))
    except (OSError, ValueError):  # none is set, or this is no Linux with control groups of version 2
        return allowed
