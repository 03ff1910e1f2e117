"""ONNX Runtime: its packages, its providers, and whether they compute."""

from __future__ import annotations

from dataclasses import dataclass

from camserve.doctor.attempt import attempt_python
from camserve.doctor.problem import Problem
from camserve.doctor.session_attempt import CPU
from camserve.extras import onnxruntime_packages, replace_command

__all__ = ["OnnxRuntime", "try_provider"]


@dataclass(frozen=True)
class OnnxRuntime:
    """ONNX Runtime with a provider.

    Attributes:
        packages: Versions of the installed packages that contain it, by name.
        version: Version of the imported module; None if it could not be imported.
        cuda: Version of CUDA that it is built for; None if it is built without.
        providers: The providers that it lists.
        problem: Why it does not compute with the provider; None if it does.
    """

    packages: dict[str, str]
    version: str | None
    cuda: str | None
    providers: tuple[str, ...]
    problem: Problem | None


def try_provider(provider: str) -> OnnxRuntime:
    """Compute with a provider in a process of its own.

    Args:
        provider: `CPU`, `CUDA` or `TensorRT`, as in `session_attempt`.
    """
    packages = onnxruntime_packages()
    if not packages:
        extra = "server" if provider == CPU else "server-gpu"
        problem = Problem("onnxruntime is not installed", f"Install it: pip install 'camserve[{extra}]'")
        return OnnxRuntime({}, None, None, (), problem)
    found, failure = attempt_python("session_attempt", provider)
    if failure is not None:
        remedy = f"Install it again: {replace_command(list(packages))}"
        return OnnxRuntime(packages, None, None, (), Problem(f"ONNX Runtime failed: {failure}", remedy))
    refused = None if found["reason"] is None else Problem(found["reason"], found["remedy"])
    return OnnxRuntime(packages, found["version"], found["cuda"], tuple(found["providers"]), refused)
