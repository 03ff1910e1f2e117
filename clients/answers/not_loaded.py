"""The error for a model that a server does not serve, with what it serves instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from camserve.errors import NotLoadedError
from camserve.text import count, printable, suggest

__all__ = ["explain_not_loaded"]

_MODELS_SHOWN = 20


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
        versions = ", ".join(map(printable, models[model]))
        return NotLoadedError(
            f"model {model!r} has no version {version}; the server at {url} has: {versions}",
            hint="Choose one of these versions, or omit it for the newest",
        )
    names = sorted(models)
    shown = ", ".join(map(printable, names[:_MODELS_SHOWN]))
    more = f" and {count(len(names) - _MODELS_SHOWN, 'other model')}" if len(names) > _MODELS_SHOWN else ""
    return NotLoadedError(
        f"unknown model {model!r}; the server at {url} has: {shown}{more}",
        hint=suggest(model, names) or "Check the name, and that the model is published and ready",
    )
