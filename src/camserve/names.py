"""The names that a model may be served under: a folder of a model repository, and nothing that reads as another."""

from __future__ import annotations

import re

from camserve.errors import UsageError

__all__ = ["as_model_name", "check_model_name"]

_LONGEST = 128
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


def check_model_name(name: str) -> str:
    """Returns the name if it can be a folder of a model repository.

    Raises:
        UsageError: If it is empty, too long, or has a character that a path, a shell or a reader could mistake.
    """
    if len(name) > _LONGEST:
        raise UsageError(
            f"a model name has at most {_LONGEST} characters and this one has {len(name)}", hint="Give a shorter one"
        )
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a model name",
            hint="Use ASCII letters, digits, '.', '_' and '-', and begin with a letter or digit",
        )
    return name


def as_model_name(text: str) -> str:
    """The nearest model name to any text, such as a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:_LONGEST] or "model"
