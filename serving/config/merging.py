"""Apply the difference between two configurations to a third."""

from __future__ import annotations

from typing import Any

__all__ = ["merge_changes"]

_MAP = "parameters"


def merge_changes(config: Any, before: Any, after: Any) -> None:
    """Apply the difference between two messages to a third, by field, and in `parameters` by key.

    Args:
        config: The message to change; what is equal in the other two stays unchanged in it.
        before: The message that the current options produce.
        after: The message that the new options produce.
    """
    for field in config.DESCRIPTOR.fields:
        if field.name != _MAP and getattr(before, field.name) != getattr(after, field.name):
            _copy_field(config, after, field.name)
    for key in {*before.parameters, *after.parameters}:
        if key not in after.parameters:
            config.parameters.pop(key, None)
        elif key not in before.parameters or before.parameters[key] != after.parameters[key]:
            config.parameters[key].CopyFrom(after.parameters[key])


def _copy_field(config: Any, source: Any, name: str) -> None:
    part = type(source)()
    part.CopyFrom(source)
    for field in source.DESCRIPTOR.fields:
        if field.name != name:
            part.ClearField(field.name)
    config.ClearField(name)
    config.MergeFrom(part)
