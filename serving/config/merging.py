"""Changes to a configuration that stands, made only where they say something."""

from __future__ import annotations

from typing import Any

__all__ = ["merge_changes"]

_MAP = "parameters"


def merge_changes(config: Any, before: Any, after: Any) -> None:
    """Carries the difference between two messages over to a third, field by field, and in `parameters` key by key.

    Args:
        config: The message to change; what the other two agree on stays in it as it is.
        before: What would have been written by the options that stand.
        after: What is written by the options that shall stand.
    """
    for field in config.DESCRIPTOR.fields:
        if field.name != _MAP and getattr(before, field.name) != getattr(after, field.name):
            _take(config, after, field.name)
    for key in {*before.parameters, *after.parameters}:
        if key not in after.parameters:
            config.parameters.pop(key, None)
        elif key not in before.parameters or before.parameters[key] != after.parameters[key]:
            config.parameters[key].CopyFrom(after.parameters[key])


def _take(config: Any, after: Any, name: str) -> None:
    part = type(after)()
    part.CopyFrom(after)
    for field in after.DESCRIPTOR.fields:
        if field.name != name:
            part.ClearField(field.name)
    config.ClearField(name)
    config.MergeFrom(part)
