"""The embedded Triton."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from camserve.doctor.problem import Problem
from camserve.errors import ServerError
from camserve.serving.server.environment import find_triton

__all__ = ["EmbeddedTriton", "check_triton"]

_WHEEL = "nvidia-pytriton"


@dataclass(frozen=True)
class EmbeddedTriton:
    """The embedded Triton.

    Attributes:
        wheel: Version of the package that contains it; None if it is not installed.
        program: Path of its program; None if it cannot run.
        problem: Why it cannot run; None if it can.
    """

    wheel: str | None
    program: str | None
    problem: Problem | None


def check_triton() -> EmbeddedTriton:
    """Find the embedded Triton with all that it needs of this host, as a server does."""
    try:
        wheel = version(_WHEEL)
    except PackageNotFoundError:
        wheel = None
    try:
        return EmbeddedTriton(wheel, str(find_triton().program), None)
    except ServerError as error:
        return EmbeddedTriton(wheel, None, Problem(error.message, error.hint))
