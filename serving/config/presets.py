"""Presets: serving options for a kind of host. Options that are set explicitly take precedence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from camserve.errors import UsageError
from camserve.serving.config.fixed_sizes import complete_sizes
from camserve.text import suggest

__all__ = ["PRESETS", "HostProfile", "Preset", "find_preset", "preset_options"]

_MOST_THREADS = 4
_GPU_SIZES = (1, 8, 32)


@dataclass(frozen=True)
class HostProfile:
    """What the options of a preset depend on.

    Attributes:
        cores: Cores of the host that serves the model.
        precision: Precision of the model's file.
        backend: Triton's backend that runs the model.
        largest_batch: The largest batch (default: that of the preset).
    """

    cores: int
    precision: str = "fp32"
    backend: str = "onnxruntime"
    largest_batch: int | None = None


@dataclass(frozen=True)
class Preset:
    """A preset.

    Attributes:
        purpose: What it is for, in one line.
        options: Returns its options by name for a host.
    """

    purpose: str
    options: Callable[[HostProfile], dict[str, Any]]


def _cpu_latency(host: HostProfile) -> dict[str, Any]:
    return {
        "accelerator": "none",
        "instances": 1,
        "threads": host.cores,
        "max_batch_size": 8,
        "max_queue_delay_us": 0,
    }


def _cpu_throughput(host: HostProfile) -> dict[str, Any]:
    threads = max(1, min(_MOST_THREADS, host.cores // _MOST_THREADS))
    return {
        "accelerator": "none",
        "instances": max(1, host.cores // threads),
        "threads": threads,
        "max_batch_size": 8,
        "max_queue_delay_us": 1_000,
    }


def _gpu(host: HostProfile) -> dict[str, Any]:
    largest = host.largest_batch or _GPU_SIZES[-1]
    options = {
        "accelerator": "cuda",
        "instances": 2,
        "threads": 1,
        "max_batch_size": largest,
        "max_queue_delay_us": 500,
    }
    if host.backend != "onnxruntime":
        return options
    # On CUDA, ONNX Runtime plans each convolution again when the batch size changes. Camserve's backend has a session
    # for each of these sizes instead; in NVIDIA's, the heuristic search makes planning faster.
    sizes = complete_sizes(tuple(size for size in _GPU_SIZES if size <= largest), largest)
    return {**options, "batch_sizes": sizes, "cudnn_conv_algo_search": "heuristic"}


def _tensorrt(host: HostProfile) -> dict[str, Any]:
    return {
        "accelerator": "tensorrt",
        "instances": 1,
        "threads": 1,
        "max_batch_size": 32,
        "max_queue_delay_us": 500,
        "tensorrt_precision": host.precision,
        "tensorrt_engine_cache": True,
        "tensorrt_timing_cache": True,
        "versions": "latest",
        "latest_versions": 1,
    }


PRESETS: Mapping[str, Preset] = {
    "cpu-latency": Preset("Lowest latency at low load: one instance on all cores, no queue delay.", _cpu_latency),
    "cpu-throughput": Preset("Most images per second: several instances with few threads each.", _cpu_throughput),
    "gpu": Preset("CUDA: sessions for batches of 1, 8 and 32, two instances to overlap copies and computation.", _gpu),
    "tensorrt": Preset("TensorRT in the model's precision: the first start builds an engine, for minutes.", _tensorrt),
}
"""By name."""


def preset_options(name: str, host: HostProfile) -> dict[str, Any]:
    """Return the options of a preset by name.

    Raises:
        UsageError: If the preset is unknown.
    """
    if name not in PRESETS:
        raise UsageError(f"unknown preset {name!r}", hint=suggest(name, PRESETS) or f"Choose {', '.join(PRESETS)}")
    return PRESETS[name].options(host)


def find_preset(options: Mapping[str, Any], *, precision: str = "fp32", backend: str = "onnxruntime") -> str | None:
    """Return the preset whose options are all in effect, for whatever number of cores; None if there is none.

    Args:
        options: All options of a model, by name.
        precision: Precision of the model's file.
        backend: Triton's backend that runs the model.
    """
    team = (options["threads"] or 0) * options["instances"]
    # Up to three cores remain where the number of threads does not divide that of the cores.
    hosts = [HostProfile(cores, precision, backend) for cores in range(max(1, team), team + _MOST_THREADS)]
    for name, preset in PRESETS.items():
        if any(all(options[option] == value for option, value in preset.options(host).items()) for host in hosts):
            return name
    return None
