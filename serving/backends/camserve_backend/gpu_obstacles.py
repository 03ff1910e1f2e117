"""What keeps an instance from its GPU, and what becomes of the instance then: it is refused, or it runs on the CPU."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .parameters import ModelRefusedError, boolean_parameter

__all__ = ["Obstacle", "driver_obstacle", "load_problem", "refuse_or_warn"]

_DRIVER = "libcuda.so.1"
_FALLBACK = "cpu_fallback"  # as in camserve.serving.config.accelerator_options, which cannot be imported inside Triton
_MISSING = re.compile(r"(?P<name>\S+): cannot open shared object file")


@dataclass(frozen=True)
class Obstacle:
    """Why a GPU cannot be used.

    Attributes:
        reason: Why, as a clause.
        remedy: What to do, as a sentence that begins with a verb and contains the command.
    """

    reason: str
    remedy: str


def driver_obstacle() -> Obstacle | None:
    """Return an obstacle if NVIDIA's driver is missing."""
    problem = load_problem(_DRIVER)
    if problem is None:
        return None
    return Obstacle(
        f"NVIDIA's driver cannot be loaded: {problem}",
        "Install the driver, or start the container with its GPUs: docker run --gpus all",
    )


def load_problem(library: str | Path) -> str | None:
    """Load a shared library, which stays loaded, and return why that is not possible, or None.

    Returns:
        Which library is missing, such as `libcudnn.so.9 is missing`, or the message of the loader.
    """
    try:
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        found = _MISSING.match(str(error))
        return f"{Path(found['name']).name} is missing" if found else str(error)
    return None


def refuse_or_warn(config: Mapping[str, Any], requirement: str, obstacle: Obstacle) -> str:
    """Refuse a GPU instance that cannot use its GPU, unless the configuration permits the CPU.

    Args:
        config: The model's configuration.
        requirement: What the instance requires, such as `the CUDA provider of ONNX Runtime`.
        obstacle: Why it does not have that.

    Returns:
        The warning for an instance that runs on the CPU.

    Raises:
        ModelRefusedError: If the configuration does not permit the CPU.
    """
    if not boolean_parameter(config, _FALLBACK):
        raise ModelRefusedError(f"a GPU instance requires {requirement}, but {obstacle.reason}", hint=obstacle.remedy)
    return f"runs on the CPU instead of the GPU, since {obstacle.reason}. {obstacle.remedy}"
