"""The error for a model that a server does not serve, with what it serves instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from camserve.errors import NotLoadedError
from camserve.text import count, shortened, suggest

__all__ = ["explain_not_loaded"]

_SHOWN = 20
_NAME_CHARACTERS = 100
_MODELS_COMPARED = 10_000


def explain_not_loaded(
    error: NotLoadedError, model: str, version: str, url: str, models: Mapping[str, Sequence[str]]
) -> NotLoadedError:
    """Return the error with the models, or the versions of the model, that the server has.

    Args:
        error: The error of the request.
        model: Name of the requested model.
        version: Its version; empty for the newest.
        url: The server that lists its models.
        models: The versions that the server serves, by model; empty if it does not list them.
    """
    if not models or (model in models and not version):  # not listed, or loaded in the meantime
        return error
    if model in models:
        return NotLoadedError(
            f"model {model!r} has no version {version}; the server at {url} has: {_shown(models[model], 'version')}",
            hint="Choose one of these versions, or omit it for the newest",
        )
    names = sorted(models)
    similar = (name for name in names[:_MODELS_COMPARED] if len(name) <= _NAME_CHARACTERS)
    return NotLoadedError(
        f"unknown model {model!r}; the server at {url} has: {_shown(names, 'model')}",
        hint=suggest(model, similar) or "Check the name, and that the model is published and ready",
    )


def _shown(names: Sequence[str], noun: str) -> str:
    shown = ", ".join(shortened(name, _NAME_CHARACTERS) for name in names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {count(len(names) - _SHOWN, f'other {noun}')}"
