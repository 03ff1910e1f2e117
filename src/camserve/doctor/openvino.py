"""OpenVINO: its version, and what it computes in on this processor."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from camserve.doctor.attempt import attempt_python
from camserve.doctor.problem import Problem
from camserve.extras import install_command

__all__ = ["OpenVino", "try_openvino"]


@dataclass(frozen=True)
class OpenVino:
    """OpenVINO.

    Attributes:
        version: Its version; None if it could not be imported.
        precisions: The data types that it computes in on this processor, such as `BF16`.
        problem: Why it cannot be used; None if it can.
        installed: Whether its package is installed.
    """

    version: str | None
    precisions: tuple[str, ...]
    problem: Problem | None
    installed: bool = True


def try_openvino() -> OpenVino:
    """Import OpenVINO in a process of its own."""
    install = f"Install it: {install_command('openvino')}"
    if find_spec("openvino") is None:
        return OpenVino(None, (), Problem("openvino is not installed", install), installed=False)
    found, failure = attempt_python("openvino_attempt")
    if failure is not None:
        return OpenVino(None, (), Problem(f"OpenVINO failed: {failure}", install.replace("it:", "it again:")))
    return OpenVino(found["version"], tuple(found["precisions"]), None)
