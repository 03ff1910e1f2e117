"""What a rule looks at, and what it finds."""

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
    """A model as it stands in a repository, read once so that the rules are pure.

    Attributes:
        name: Of the folder.
        config: Its `ModelConfig` message.
        files: Names of the files beside the configuration.
        folders: Names of the folders there, versions or not.
        versions: By number, the names of files and folders in the version's folder.
        heads: By number, what the version's ONNX file says of itself; versions without one are left out.
    """

    name: str
    config: Any
    files: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()
    versions: Mapping[int, frozenset[str]] = field(default_factory=dict)
    heads: Mapping[int, OnnxMetadata] = field(default_factory=dict)


class Note(NamedTuple):
    """What a rule says: how bad it is, what is the matter, and what to do about it."""

    severity: Severity
    message: str
    hint: str


@dataclass(frozen=True)
class Finding:
    """One thing that is the matter with one model.

    Attributes:
        rule: Name of the rule that found it.
        severity: `error` where the model will not load, or will answer wrongly or by other options than it says;
            `warning` where it is slower or less safe than it could be.
        model: Name of the model's folder.
        message: What is the matter.
        hint: What to do about it.
    """

    rule: str
    severity: Severity
    model: str
    message: str
    hint: str


Rule = Callable[[ModelFolder, Target], Iterator[Note]]


def error(message: str, hint: str) -> Note:
    """A note that the model will not do what it says."""
    return Note("error", message, hint)


def warning(message: str, hint: str) -> Note:
    """A note that the model could do better."""
    return Note("warning", message, hint)
