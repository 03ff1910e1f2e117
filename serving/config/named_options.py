"""Serving options by name, as `--set NAME=VALUE`, presets and the Python API pass them.

The names are flat: `tensorrt_precision` is the field `precision` of the accelerator `TensorRT`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from camserve.errors import UsageError
from camserve.serving.config.accelerator_options import ACCELERATORS, TensorRT
from camserve.serving.config.option import Option, declared
from camserve.serving.config.option_kinds import format_value
from camserve.serving.config.serving_options import ServingOptions
from camserve.text import suggest

__all__ = [
    "DEFAULTS",
    "OPTIONS",
    "accelerators_with",
    "changed_options",
    "check_values",
    "format_value",
    "make_options",
    "overlay",
    "parse_settings",
]


def _options() -> dict[str, Option]:
    options: dict[str, Option] = {}
    for option in declared(ServingOptions).values():
        options[option.name] = option
        if option.name == "accelerator":
            options.update((each.name, each) for part in ACCELERATORS.values() for each in declared(part).values())
    return options


OPTIONS: Mapping[str, Option] = _options()
"""Every serving option by its name."""

DEFAULTS: Mapping[str, Any] = {
    name: str(option.default) if name == "accelerator" else option.default for name, option in OPTIONS.items()
}
"""The value of every option for a new model."""

_ACCELERATORS_WITH: Mapping[str, tuple[str, ...]] = {
    name: tuple(
        accelerator
        for accelerator, part in ACCELERATORS.items()
        if name in {option.name for option in declared(part).values()}
    )
    for name in OPTIONS
}


def accelerators_with(name: str) -> tuple[str, ...]:
    """Return the accelerators that have an option; none if it does not depend on the accelerator."""
    return _ACCELERATORS_WITH[name]


def make_options(values: Mapping[str, Any]) -> ServingOptions:
    """Make serving options from values by name; the others have their defaults.

    Raises:
        UsageError: If a name is unknown, a value is invalid, or options contradict each other.
    """
    check_values(values)
    values = {**DEFAULTS, **values}
    accelerator = ACCELERATORS[values["accelerator"]]
    for name, allowed in _ACCELERATORS_WITH.items():
        if allowed and accelerator.name not in allowed and values[name] != DEFAULTS[name]:
            raise UsageError(
                f"{name} is not an option of accelerator {accelerator.name}",
                hint=f"Leave it out, or choose accelerator {' or '.join(allowed)}",
            )
    own = {field: values[option.name] for field, option in declared(accelerator).items()}
    general = {field: values[option.name] for field, option in declared(ServingOptions).items()}
    return ServingOptions(**{**general, "accelerator": accelerator(**own)})


def changed_options(current: Mapping[str, Any], changes: Mapping[str, Any]) -> ServingOptions:
    """Return the current options with changes, as `overlay` combines them.

    Raises:
        UsageError: If a name is unknown, a value is invalid, or the result contradicts itself.
    """
    check_values(changes)
    return make_options(overlay(current, changes))


def overlay(current: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by name with changes, without the current values that a change makes meaningless.

    Those are the options of an accelerator when another one is chosen, fixed batch sizes when TensorRT is, the default
    priority when there are no priority levels, of `versions` and `latest_versions` the one that is not changed,
    and the instances of `NAME_file` without `image_files`.
    """
    return {**{name: value for name, value in current.items() if not _is_void(name, changes)}, **changes}


def check_values(values: Mapping[str, Any]) -> None:
    """Check names, and values regardless of the other options.

    Raises:
        UsageError: If a name is unknown or a value is invalid; the first one is reported.
    """
    for name, value in values.items():
        _option(name).check(tuple(value) if isinstance(value, list) else value)


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Parse settings such as `max_queue_size=64`; a later one takes precedence over an earlier one.

    Lists are separated by commas, sizes take K, M and G, and `none` is the default of an optional option.

    Raises:
        UsageError: If a setting has no `=`, an unknown name or an invalid value.
    """
    values: dict[str, Any] = {}
    for setting in settings:
        name, separator, text = (part.strip() for part in setting.partition("="))
        if not separator:
            raise UsageError(f"expected NAME=VALUE, got {setting!r}", hint="Pass e.g. --set max_queue_size=64")
        values[name] = _option(name).parse(text)
    return values


def _option(name: str) -> Option:
    if name not in OPTIONS:
        hint = suggest(name, OPTIONS) or f"The options are: {', '.join(OPTIONS)}"
        raise UsageError(f"unknown serving option {name!r}", hint=hint)
    return OPTIONS[name]


def _is_void(name: str, changes: Mapping[str, Any]) -> bool:
    if changes.get("accelerator") is not None and _ACCELERATORS_WITH.get(name):
        return changes["accelerator"] not in _ACCELERATORS_WITH[name]
    if name == "batch_sizes":
        return changes.get("accelerator") == TensorRT.name
    if name == "image_file_instances":
        return "image_files" in changes and not changes["image_files"]
    if name == "default_priority":
        return "priority_levels" in changes and not changes["priority_levels"]
    if name == "latest_versions":
        return "versions" in changes and bool(changes["versions"] != "latest")
    return name == "versions" and "latest_versions" in changes
