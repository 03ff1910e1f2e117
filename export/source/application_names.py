"""The names of the classifiers of `keras.applications`, without importing Keras, which takes seconds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from camserve.errors import SourceError
from camserve.text import suggest

__all__ = ["check_application_name", "exact_name"]

_IMPORTED = re.compile(r"\b([A-Z]\w*) as \1\b")
_CERTAIN = "ResNet50"  # without it, the list is not where it is expected


def check_application_name(name: str) -> None:
    """Refuse a name that the installed Keras does not mention among its classifiers.

    Raises:
        SourceError: If there is no such classifier.
    """
    text = _list_of_keras()
    known = _IMPORTED.findall(text)
    if _CERTAIN in known and not re.search(rf"\b{re.escape(name)}\b", text, re.IGNORECASE):
        exact_name(name, known)


def exact_name(name: str, known: Sequence[str]) -> str:
    """Return the known name that equals a name in any case.

    Args:
        name: The name.
        known: The names of the classifiers.

    Raises:
        SourceError: If there is none.
    """
    exact = next((candidate for candidate in known if candidate.lower() == name.lower()), None)
    if exact is None:
        raise SourceError(
            f"keras.applications has no classifier {name!r}",
            hint=suggest(name, known) or f"Choose one of: {', '.join(known)}",
        )
    return exact


def _list_of_keras() -> str:
    """Return the Python file in which Keras lists its classifiers; empty if there is none."""
    spec = find_spec("keras")
    if spec is None or spec.origin is None:
        return ""
    try:
        return (Path(spec.origin).parent / "applications" / "__init__.py").read_text(encoding="utf-8")
    except OSError:
        return ""
