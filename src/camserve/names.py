"""Model names: safe as a folder of a model repository, in a shell and in a URL."""

from __future__ import annotations

import re

from camserve.errors import UsageError

__all__ = ["as_model_name", "check_model_name"]

_MAX_LENGTH = 128
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


def check_model_name(name: str) -> str:
    """Check a model name and return it unchanged.

    Raises:
        UsageError: If the name is empty or too long, or contains a character that is unsafe in a path or a shell or
            looks like another one.
    """
    if len(name) > _MAX_LENGTH:
        raise UsageError(
            f"a model name must have at most {_MAX_LENGTH} characters, got {len(name)}",
            hint="Choose a shorter name",
        )
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"invalid model name {name!r}",
            hint="Use ASCII letters, digits, '.', '_' and '-', starting with a letter or digit",
        )
    return name


def as_model_name(text: str) -> str:
    """Derive a valid model name from any text, such as the name of a file."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:_MAX_LENGTH] or "model"
