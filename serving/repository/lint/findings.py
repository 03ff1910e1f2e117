"""What a rule checks, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from camserve.serving.repository.lint.onnx_metadata import OnnxMetadata
from camserve.serving.repository.lint.targets import Target

__all__ = ["Finding", "ModelFolder", "Note", "Rule", "Severity", "error", "warning"]

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class ModelFolder:
    """A model in a repository, read once for all rules.

    Attributes:
        name: Name of the folder.
        config: The `ModelConfig` message.
        files: Names of the files in the folder.
        folders: Names of the folders in it, versions or not.
        versions: By number, the names of the files and folders in the version's folder.
        onnx: By number, the metadata of the version's ONNX file, without versions that have none.
        precisions: By number, the precision of the version's export, without versions whose report does not state it.
    """

    name: str
    config: Any
    files: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()
    versions: Mapping[int, frozenset[str]] = field(default_factory=dict)
    onnx: Mapping[int, OnnxMetadata] = field(default_factory=dict)
    precisions: Mapping[int, str] = field(default_factory=dict)

    @property
    def runs_onnx(self) -> bool:
        """Whether ONNX Runtime runs it."""
        return bool(self.config.backend == "onnxruntime" or self.config.platform.startswith("onnxruntime"))

    @property
    def runs_openvino(self) -> bool:
        """Whether OpenVINO runs it."""
        return bool(self.config.backend == "openvino")


class Note(NamedTuple):
    """A finding of a rule: its severity, the problem, and how to fix it."""

    severity: Severity
    message: str
    hint: str


@dataclass(frozen=True)
class Finding:
    """A problem of a model.

    Attributes:
        rule: Name of the rule that found it.
        severity: `error` if the model will not load, return wrong results, or ignore an option; `warning` if it is
            slower or less safe than it could be.
        model: Name of the model's folder.
        message: The problem.
        hint: How to fix it.
    """

    rule: str
    severity: Severity
    model: str
    message: str
    hint: str


Rule = Callable[[ModelFolder, Target], Iterator[Note]]


def error(message: str, hint: str) -> Note:
    """Return a note with severity `error`."""
    return Note("error", message, hint)


def warning(message: str, hint: str) -> Note:
    """Return a note with severity `warning`."""
    return Note("warning", message, hint)
