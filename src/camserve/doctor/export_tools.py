"""The export tools: TensorFlow, Keras and the packages for ONNX."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from camserve.doctor.attempt import attempt_python
from camserve.doctor.problem import Problem
from camserve.extras import install_command

__all__ = ["ExportTools", "try_export_tools"]

_MODULES = ("tensorflow", "keras", "tf_keras", "tf2onnx", "onnx", "onnxruntime")
_PACKAGES = {"tensorflow": ("tensorflow", "tensorflow-cpu"), "keras": ("keras",)}


@dataclass(frozen=True)
class ExportTools:
    """The export tools.

    Attributes:
        tensorflow: Version of TensorFlow; None if it is not installed.
        keras: Version of Keras; None if it is not installed.
        missing: Modules that are not installed.
        gpus: Number of GPUs that TensorFlow can use; None if it could not be imported.
        problem: Why export does not work; None if it does.
    """

    tensorflow: str | None
    keras: str | None
    missing: tuple[str, ...]
    gpus: int | None
    problem: Problem | None


def try_export_tools() -> ExportTools:
    """Import the export tools, as an export does, in a process of its own."""
    versions = (_version(*_PACKAGES["tensorflow"]), _version(*_PACKAGES["keras"]))
    missing = tuple(name for name in _MODULES if find_spec(name) is None)
    if missing:
        problem = Problem(f"not installed: {', '.join(missing)}", f"Install it: {install_command('export')}")
        return ExportTools(*versions, missing, None, problem)
    found, failure = attempt_python("export_attempt")
    if failure is not None:
        return ExportTools(*versions, (), None, Problem(f"importing the export tools failed: {failure}"))
    refused = None if found["reason"] is None else Problem(found["reason"], found["remedy"])
    return ExportTools(*versions, (), found["gpus"] if refused is None else None, refused)


def _version(*packages: str) -> str | None:
    """Return the version of the first of these packages that is installed."""
    for package in packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return None
