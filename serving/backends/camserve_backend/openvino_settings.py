"""OpenVINO settings of a model's configuration, with the names that they have in Triton's own backend.

The precision has a parameter of its own, which Triton's own backend ignores, since that one cannot pin float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .batch_sizes import choose_sizes
from .declared_tensors import configured_shape
from .parameters import ModelRefusedError, integer_parameter, text_parameter

__all__ = ["NetworkSettings", "network_settings"]

_PRECISION = "INFERENCE_PRECISION_HINT"  # as in camserve.serving.config.openvino, which cannot be imported in Triton
_BF16_OF_TRITON = "HINT_BF16"
_PRECISIONS = ("f32", "bf16")
_ONE_STREAM: Mapping[str, str] = {"NUM_STREAMS": "1", "PERFORMANCE_HINT": "latency"}
_SIZES = "batch_sizes"
_LARGE_FILE = 64 * 2**20
_PUBLISH = "Publish the model again: camserve publish BUNDLE_DIR --repository DIR --backend openvino"


@dataclass(frozen=True)
class NetworkSettings:
    """Settings of a model.

    Attributes:
        precision: What a network in float32 is computed in: `f32` or `bf16`.
        threads: Number of threads; 0 means one per core.
        compilation_threads: Number of threads that compile a network; 0 means one per core.
        extension: Library with custom operators.
        sizes: Batch sizes that have a network of their own, in increasing order; one network runs all others.
        warnings: Requested features that are not available.
    """

    precision: str
    threads: int = 0
    compilation_threads: int = 0
    extension: str | None = None
    sizes: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()


def network_settings(config: Mapping[str, Any], *, kind: str, file_size: int = 0) -> NetworkSettings:
    """Read the settings from a model's configuration.

    Args:
        config: The model's configuration.
        kind: Triton's instance kind, such as `CPU` or `GPU`.
        file_size: Size of the model's file in bytes, about that of its weights.

    Raises:
        ModelRefusedError: If the precision is not pinned, a parameter is invalid, or the instance is on a GPU.
    """
    if kind == "GPU":
        raise ModelRefusedError(
            "OpenVINO computes on the CPU only, and the configuration has an instance on a GPU",
            hint=f"{_PUBLISH} --accelerator none",
        )
    ignored = [
        f"ignores {name} {value}, since each instance is a process that runs one batch at a time"
        for name, expected in _ONE_STREAM.items()
        if (value := text_parameter(config, name)) is not None and value.lower() != expected
    ]
    return NetworkSettings(
        precision=_pinned(config),
        threads=_threads(config, "INFERENCE_NUM_THREADS"),
        compilation_threads=_threads(config, "COMPILATION_NUM_THREADS"),
        extension=text_parameter(config, "CPU_EXTENSION_PATH") or None,
        sizes=_sizes(config, file_size),
        warnings=tuple(ignored),
    )


def _pinned(config: Mapping[str, Any]) -> str:
    precision, hint = text_parameter(config, _PRECISION), text_parameter(config, _BF16_OF_TRITON)
    if precision is None:
        raise ModelRefusedError(
            f"its configuration has no {_PRECISION}: on processors with AMX or AVX512-BF16, OpenVINO computes in bf16 "
            "unless another precision is pinned",
            hint=_PUBLISH,
        )
    if precision not in _PRECISIONS:
        raise ModelRefusedError(f"{_PRECISION} must be {' or '.join(_PRECISIONS)}, got '{precision}'", hint=_PUBLISH)
    if hint is not None and precision != "bf16":
        raise ModelRefusedError(
            f"{_PRECISION} {precision} contradicts {_BF16_OF_TRITON} {hint}, with which Triton's own backend uses bf16",
            hint=_PUBLISH,
        )
    return precision


def _threads(config: Mapping[str, Any], name: str) -> int:
    number = integer_parameter(config, name)
    if number < 0:
        raise ModelRefusedError(f"parameter {name} must not be negative, got {number}")
    return number


def _sizes(config: Mapping[str, Any], file_size: int) -> tuple[int, ...]:
    """Return the batch sizes that are prepared: by default the powers of two and the largest.

    Each network has its own copy of the weights. A large model gets those of 1 and of the largest size only; what the
    others would save is small beside the time that it computes.
    """
    if text_parameter(config, _SIZES) is not None:
        return choose_sizes(config, cuda=False).sizes
    shapes = [configured_shape(tensor) for tensor in config["input"]]
    if config["max_batch_size"] <= 0 or any(-1 in shape for shape in shapes):
        return ()
    largest: int = config["max_batch_size"]
    powers = {2**power for power in range(largest.bit_length())} if file_size <= _LARGE_FILE else {1}
    return tuple(sorted({*powers, largest}))
