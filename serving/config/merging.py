"""Apply the difference between two configurations to a third."""

from __future__ import annotations

from typing import Any

__all__ = ["merge_changes"]

_MAP = "parameters"
_MERGED = ("optimization", "execution_accelerators")
_ACCELERATORS = "gpu_execution_accelerator"


def merge_changes(config: Any, before: Any, after: Any) -> None:
    """Apply the difference between two messages to a third.

    Messages are compared by field; `parameters` by key, and also what is below `optimization`.

    Args:
        config: The message to change; what is equal in the other two stays unchanged in it.
        before: The message that the current options produce.
        after: The message that the new options produce.
    """
    for field in config.DESCRIPTOR.fields:
        old, new = getattr(before, field.name), getattr(after, field.name)
        if old == new:
            continue
        if field.name == _MAP:
            _merge_parameters(getattr(config, _MAP), old, new)
        elif field.name in _MERGED:
            _merge_part(config, field.name, old, new)
        elif field.name == _ACCELERATORS:
            _merge_accelerators(getattr(config, field.name), old, new)
        else:
            _copy_field(config, after, field.name)


def _merge_part(config: Any, name: str, before: Any, after: Any) -> None:
    part = getattr(config, name)
    merge_changes(part, before, after)
    if not part.ByteSize():
        config.ClearField(name)


def _merge_accelerators(accelerators: Any, before: Any, after: Any) -> None:
    """Merge accelerators by name, and their parameters by key."""
    old, new = ({each.name: each for each in several} for several in (before, after))
    for each in [each for each in accelerators if each.name in old and each.name not in new]:
        accelerators.remove(each)
    current = {each.name: each for each in accelerators}
    for name, each in new.items():
        accelerator = current.get(name) or accelerators.add(name=name)
        merge_changes(accelerator, old.get(name, type(each)(name=name)), each)


def _merge_parameters(parameters: Any, before: Any, after: Any) -> None:
    for key in {*before, *after}:
        if key not in after:
            parameters.pop(key, None)
        elif key not in before or before[key] != after[key]:
            _set_parameter(parameters, key, after[key])


def _set_parameter(parameters: Any, key: str, value: Any) -> None:
    if isinstance(value, str):
        parameters[key] = value
    else:
        parameters[key].CopyFrom(value)


def _copy_field(config: Any, source: Any, name: str) -> None:
    part = type(source)()
    part.CopyFrom(source)
    for field in source.DESCRIPTOR.fields:
        if field.name != name:
            part.ClearField(field.name)
    config.ClearField(name)
    config.MergeFrom(part)
