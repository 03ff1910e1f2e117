"""Options given by name: made into `ServingOptions`, and laid over those that stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

from camserve.errors import UsageError
from camserve.serving.config.checks import ONLY_WITH, check_values
from camserve.serving.config.serving_options import ServingOptions

__all__ = ["DEFAULTS", "OPTION_NAMES", "changed_options", "check_changes", "check_names", "lay_over", "make_options"]

DEFAULTS: Mapping[str, Any] = {field.name: field.default for field in fields(ServingOptions)}
OPTION_NAMES: tuple[str, ...] = tuple(DEFAULTS)


def make_options(given: Mapping[str, Any]) -> ServingOptions:
    """The options by their names; what is not given takes its default.

    Raises:
        UsageError: If there is no such option, or a value is out of range.
    """
    check_names(given)
    return ServingOptions(**given)


def changed_options(standing: Mapping[str, Any], changes: Mapping[str, Any]) -> ServingOptions:
    """The options that stand, with the changes.

    Options that lose their meaning by a change go back to their defaults, unless they are among the changes: those of
    TensorRT when another accelerator is chosen, the default priority when there are no levels any more.

    Raises:
        UsageError: If there is no such option, a value is out of range, or the changes contradict each other or what
            stands.
    """
    check_names(changes)
    return make_options(lay_over(standing, changes))


def lay_over(standing: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Options by name with changes; without those that lose their meaning by a change."""
    return {**{name: value for name, value in standing.items() if not _made_void(name, changes)}, **changes}


def check_names(given: Iterable[str]) -> None:
    """Refuses names that are no option's.

    Raises:
        UsageError: It suggests the nearest name, or lists them all.
    """
    for name in given:
        if name not in OPTION_NAMES:
            near = get_close_matches(name, OPTION_NAMES, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(OPTION_NAMES)}"
            raise UsageError(f"there is no serving option {name}", hint=hint)


def check_changes(given: Mapping[str, Any]) -> None:
    """Refuses names that are no option's, and values that would be wrong whatever stands.

    Raises:
        UsageError: It names the first.
    """
    check_names(given)
    check_values(given)


def _made_void(option: str, changes: Mapping[str, Any]) -> bool:
    accelerator = changes.get("accelerator")
    if accelerator is not None and option in ONLY_WITH:
        return accelerator not in ONLY_WITH[option]
    if option == "default_priority":
        return "priority_levels" in changes and not changes["priority_levels"]
    if option == "latest_versions":
        return "versions" in changes and bool(changes["versions"] != "latest")
    return option == "versions" and "latest_versions" in changes
