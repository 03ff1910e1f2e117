"""TensorRT's profiles, as a configuration writes them: `image:8x224x224x3`, one for each input, by commas."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["profile_sizes"]

_BOUNDS = ("min", "opt", "max")


def profile_sizes(parameters: Mapping[str, str]) -> dict[str, int]:
    """The batch sizes that an engine is built for, by `min`, `opt` and `max`; what is not given is left out."""
    shapes = {bound: parameters.get(f"trt_profile_{bound}_shapes", "") for bound in _BOUNDS}
    sizes = {bound: shape.partition(":")[2].partition("x")[0] for bound, shape in shapes.items()}
    return {bound: int(size) for bound, size in sizes.items() if size.isdecimal()}
