"""Options of the CUDA provider that only fixed batch sizes can use, and what to attempt if a model cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .onnx_providers import CUDA, TENSORRT, Provider
from .parameters import ModelRefusedError, boolean_parameter

__all__ = ["Attempt", "check_free_sizes", "plan_attempts"]

_CHOICE = "cuda_graphs"
_GRAPHS = "enable_cuda_graph"
_LAYOUT = {"prefer_nhwc": "1", "fuse_conv_bias": "1"}
_TRUE = ("1", "true", "True")
_SHRINKAGE = "memory.enable_memory_arena_shrinkage"


@dataclass(frozen=True)
class Attempt:
    """Execution providers for all batch sizes.

    Attributes:
        providers: In order of preference.
        extras: Options of the first provider that the configuration does not request, for messages.
    """

    providers: tuple[Provider, ...]
    extras: str = ""

    @property
    def graphs(self) -> bool:
        """Whether CUDA graphs are recorded."""
        name, options = self.providers[0]
        return name == CUDA and options.get(_GRAPHS) in _TRUE

    @property
    def device(self) -> str:
        """The device of inputs and outputs, as ONNX Runtime names it."""
        return "cuda" if self.providers[0][0] in (CUDA, TENSORRT) else "cpu"

    @property
    def index(self) -> int:
        """The index of the device."""
        return int(self.providers[0][1].get("device_id", 0))


def check_free_sizes(config: Mapping[str, Any], providers: Sequence[Provider]) -> None:
    """Refuse CUDA graphs for batches of any size.

    Args:
        config: The model's configuration.
        providers: The execution providers that it requests, in order of preference.

    Raises:
        ModelRefusedError: If the parameter `cuda_graphs` requests them, or is invalid.
    """
    if boolean_parameter(config, _CHOICE) and providers[0][0] == CUDA:
        raise ModelRefusedError(
            f"{_CHOICE} cannot be 1 without fixed batch sizes",
            hint=f"Publish the model again with --set {_CHOICE}=none",
        )


def plan_attempts(
    config: Mapping[str, Any], providers: Sequence[Provider], run_entries: Mapping[str, str]
) -> list[Attempt]:
    """Plan which providers to attempt for fixed batch sizes, the fastest first.

    Options in the configuration take precedence. CUDA graphs that it requests with the parameter `cuda_graphs` are in
    every attempt.

    Args:
        config: The model's configuration.
        providers: The execution providers that it requests, in order of preference.
        run_entries: Run configuration entries.

    Raises:
        ModelRefusedError: If `cuda_graphs` is invalid or cannot be combined with another parameter.
    """
    name, requested = providers[0]
    graphs = boolean_parameter(config, _CHOICE)
    if name != CUDA:
        return [Attempt(tuple(providers))]
    if _SHRINKAGE in run_entries:
        # A recorded graph refers to memory that the arena would return.
        if graphs:
            raise ModelRefusedError(f"{_CHOICE} cannot be 1 together with {_SHRINKAGE}")
        graphs = False
    # ONNX Runtime cannot run fuse_conv_bias without prefer_nhwc.
    layout = _LAYOUT if requested.get("prefer_nhwc", "1") in _TRUE else {}
    on, off = {_GRAPHS: "1"}, {_GRAPHS: "0"}
    extras: list[dict[str, str]] = {
        None: [{**layout, **on}, {**layout, **off}, off],
        True: [{**layout, **on}, on],
        False: [{**layout, **off}, off],
    }[graphs]
    planned: dict[str, Attempt] = {}
    for extra in extras:
        own = ", ".join(f"{option}={value}" for option, value in extra.items() if option not in requested)
        options = {**extra, **requested}
        planned.setdefault(repr(sorted(options.items())), Attempt(((name, options), *providers[1:]), own))
    return list(planned.values())
